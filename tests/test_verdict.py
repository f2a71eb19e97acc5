"""What exit codes mean, and when 0 is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiorch.capture.transcript.last import Last
from aiorch.errors import ConfigError
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.state import MAX_REASON
from aiorch.workers.verdict import exit_words, refuted

PROFILES = load_profiles(None)


@pytest.mark.parametrize(
    ("agent", "status", "words"),
    [
        ("gemini", 55, "exit 55: it does not trust this folder"),
        ("gemini", 144, "exit 144: the model's service refused the request (HTTP 400)"),
        ("gemini", 1, "exit 1"),
        ("claude", 143, "signal 15"),
        ("none", 3, "exit 3"),
    ],
)
def test_exit_code_in_words(agent: str, status: int, words: str) -> None:
    assert exit_words(status, PROFILES.get(agent)).startswith(words)


REFUSED = "The user doesn't want to proceed with this tool use."
USAGE = "ruflo v3\n\n  Usage: claude-flow task create\n"
RESULT = '{"type":"result","permission_denials":[{"tool_name":"Bash"},{"tool_name":"Wri\nte"}]}'


@pytest.mark.parametrize(
    ("agent", "screen", "last", "seconds", "words"),
    [
        ("claude", "", Last("done"), 9.0, ""),
        ("claude", "", Last("done", denied=("no\nway",)), 9.0, "permission: it was not allowed what"),
        ("claude", "", Last(failed=("Claude requested permissions to use Bash, but",)), 9.0, "permission:"),
        ("claude", "", Last(failed=("exit code 1: no such file",)), 9.0, ""),
        ("claude", "", Last(failed=(REFUSED,)), 9.0, ""),
        ("claude", "", Last(failed_last=(REFUSED,)), 9.0, "permission"),
        ("claude", RESULT, Last(), 9.0, "permission: it was not allowed to use Bash, Write"),
        ("claude", RESULT[:60], Last(), 9.0, ""),
        ("claude", '{"type":"result","permission_denials":[]}', Last(), 9.0, ""),
        ("claude-flow", USAGE, Last(), 1.2, "no-op: it printed its usage and did nothing (Usage:"),
        ("claude-flow", USAGE, Last(), 60.0, ""),
        ("shell", USAGE, Last(), 1.2, ""),
        ("aider", "", Last(notes=("litellm.BadRequestError: x",)), 9.0, "service: the model's"),
        ("aider", "", Last("fine", notes=("Tokens: 5 sent",)), 9.0, ""),
    ],
)  # fmt: skip
def test_exit_code_0_is_believed_unless_something_speaks_against_it(
    agent: str, screen: str, last: Last, seconds: float, words: str
) -> None:
    found = refuted(PROFILES[agent], screen, last, seconds)
    assert found.startswith(words) if words else found == ""
    assert "\n" not in found


def test_own_profile_may_say_what_its_exit_codes_mean(tmp_path: Path) -> None:
    text = '[oneshot]\nargv = ["{agent}", "{task}"]\n'
    mine = tmp_path / "mine.toml"
    mine.write_text(
        text + '[exit]\n7 = "it ran out of luck"\n[[not_done]]\nreason = "idle"\nscreen = ["nothing"]\n'
    )
    profile = load_profiles(tmp_path)["mine"]
    assert exit_words(7, profile) == "exit 7: it ran out of luck"
    assert refuted(profile, "Nothing to do", Last(), 99.0) == "idle: it did nothing (Nothing to do)"
    mine.write_text(text + '[exit]\n0 = "fine"\n256 = "far"\n[[not_done]]\nreason = "x"\n')
    with pytest.raises(ConfigError) as caught:
        load_profiles(tmp_path)
    assert [word for word in ("exit.0", "exit.256", "not_done[0].reason") if word in str(caught.value)] == [
        "exit.0",
        "exit.256",
        "not_done[0].reason",
    ]


def test_words_that_let_an_agent_read_a_folder_need_their_place(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[oneshot]\nargv = ["{agent}", "{task}"]\ninputs = ["--dir", "{folder}"]\n'
    )
    with pytest.raises(ConfigError, match=r"oneshot.inputs.*needs"):
        load_profiles(tmp_path)


def test_tools_that_were_denied_are_told_in_one_short_line() -> None:
    denials = json.dumps([{"tool_name": "\ud83d\x1b[2J"}, {"tool_name": "x" * 9000}])
    told = refuted(None, f'{{"type":"result","permission_denials":{denials}}}', Last(), 1.0)
    assert told.startswith("permission: it was not allowed to use [2J, x") and len(told) < 2 * MAX_REASON
    assert told.isprintable()
