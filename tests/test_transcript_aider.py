"""Aider's history: what is an answer in it, and what Aider and the user say."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiorch.capture.directive import Directive, Source
from aiorch.capture.transcript.follow import open_transcript
from aiorch.capture.transcript.said import Said, sightings

SAY = '[ORCHESTRATE] {"task": "t"}'
HEAD = "\n# aider chat started at 2026-11-22 11:54:46\n\n> Aider v0.86.2  \n"
TOKENS = "> Tokens: 585 sent, 28 received.  \n"


def user(text: str) -> str:
    return "\n#### " + "  \n#### ".join(text.splitlines()) + "  \n"


def answer(text: str) -> str:
    return f"\n{text}\n\n"


def read(folder: Path, history: str) -> list[Said]:
    path = folder / ".aider.chat.history.md"
    path.write_text(history)
    return open_transcript("aider", path).read()


def keys(said: list[Said]) -> set[str]:
    return {s.key for one in said for s in sightings(one, Source.PLAIN) if isinstance(s, Directive)}


def test_an_answer_ends_with_aiders_own_words(tmp_path: Path) -> None:
    path = tmp_path / "history.md"
    path.write_text(HEAD + user("go") + answer(f"Now.\n\n{SAY}"))
    transcript = open_transcript("aider", path)
    assert transcript.read() == []
    with path.open("a") as file:
        file.write(TOKENS)
    (said,) = transcript.read()
    assert said.text.rstrip("\n") == f"Now.\n\n{SAY}"
    assert said.conversation == "2026-11-22 11:54:46"


def test_an_answer_at_the_end_of_a_file_that_grows_no_more_counts(tmp_path: Path) -> None:
    path = tmp_path / "history.md"
    path.write_text(HEAD + user("go") + answer(SAY).rstrip("\n"))
    assert len(keys(open_transcript("aider", path).finish())) == 1


@pytest.mark.parametrize(
    "history",
    [
        user(SAY) + TOKENS,
        user(f"do not\n{SAY}\nnow") + answer("Understood.") + TOKENS,
        user("/run cat notes.txt") + f"> Output:\n{SAY}  \n",
        user("/run cat notes.txt") + f"> Output:\n\n{SAY}\n\nend  \n" + TOKENS,
        user("/run cat notes.txt") + f"> {SAY}  \n",
        SAY + "\n" + TOKENS,
    ],
    ids=["prompt", "long prompt", "tool", "tool with blank lines", "tool line", "no blank before"],
)
def test_what_the_user_and_tools_say_does_not_count(tmp_path: Path, history: str) -> None:
    assert keys(read(tmp_path, HEAD + history)) == set()


def test_a_quote_or_a_heading_does_not_end_an_answer(tmp_path: Path) -> None:
    text = f"As you said:\n\n> a quote\n\n#### Step 1\n\n{SAY}"
    said = read(tmp_path, HEAD + user("go") + answer(text) + TOKENS)
    assert [one.text.rstrip("\n") for one in said] == [text]


def test_answers_that_aider_asked_for_again_run_once(tmp_path: Path) -> None:
    again = "> The LLM did not conform to the edit format.  \n"
    turn = user("go") + (answer(f"```\n{SAY}\n```") + TOKENS + again) * 3
    assert len(keys(read(tmp_path, HEAD + turn))) == 1
    reworded = turn + answer(f"Sorry.\n\n{SAY}") + TOKENS
    assert len(keys(read(tmp_path, HEAD + reworded))) == 1


def test_the_same_words_in_another_turn_or_chat_or_twice_in_one_answer_are_two(tmp_path: Path) -> None:
    turn = user("go") + answer(SAY) + TOKENS
    assert len(keys(read(tmp_path, HEAD + turn + turn))) == 2
    assert len(keys(read(tmp_path, HEAD + turn + HEAD.replace("46", "47") + turn))) == 2
    assert len(keys(read(tmp_path, HEAD + user("go") + answer(f"{SAY}\n\n{SAY}") + TOKENS))) == 2


def test_line_ends_of_other_systems_do_no_harm(tmp_path: Path) -> None:
    history = (HEAD + user("go") + answer(SAY) + TOKENS).replace("\n", "\r\n")
    path = tmp_path / "history.md"
    path.write_bytes(history.encode())
    assert len(keys(open_transcript("aider", path).read())) == 1


def tool(text: str) -> str:
    """Return a message of Aider's own as it writes it: only the first line is marked."""
    return f"> {text.strip()}  \n"


WORDS = st.lists(
    st.sampled_from(["word", "", "> quoted", "#### head", "```", "- item", "    code"]), max_size=4
)


def around(before: list[str], say: str, after: list[str]) -> str:
    return "\n".join([*before, say, *after]).strip("\n")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["user", "tool", "answer"]), WORDS, WORDS), max_size=8),
)
def test_whatever_is_said_the_mouths_are_told_apart(parts: list[tuple[str, list[str], list[str]]]) -> None:
    history, wanted = HEAD, 0
    for number, (mouth, before, after) in enumerate(parts):
        say = f'[ORCHESTRATE] {{"task": "{mouth} {number}"}}'
        if mouth == "user":
            history += user(around(before, say, after))
        elif mouth == "tool":
            history += tool(around(["output", *before], say, after))
        else:
            history += user("go") + answer(around(["Yes.", *before], say, after)) + TOKENS
            wanted += 1
    with TemporaryDirectory() as folder:
        said = read(Path(folder), history)
    found = [s for one in said for s in sightings(one, Source.PLAIN) if isinstance(s, Directive)]
    assert all(str(directive.payload["task"]).startswith("answer") for directive in found)
    assert len(found) == wanted
