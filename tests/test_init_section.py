"""A section in a file's bytes: in, replaced, out again, and nothing else touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import InstructionFileError
from aiorch.teach.lesson import BEGIN, END, FORMS, section
from aiorch.teach.section import find, insert, remove

OLD = f"{BEGIN}\nold words\n{END}"
NEW = section("line")

# Everything that a line end or a blank line could be confused by, and what editors leave.
pieces = st.sampled_from(
    ["\n", "\r\n", "\r", "\n\n", " ", "\ufeff", "# Title", "text", "```", "木", "<!-- x -->", "\t"]
)
# A text with markers of its own is refused.
texts = (st.lists(pieces, max_size=12).map("".join) | st.text(max_size=30)).filter(
    lambda text: "aiorch:" not in text
)


def put(content: bytes | None, text: str = NEW) -> bytes:
    """Insert, and check that doing so again changes nothing."""
    done = insert(content, text)
    assert insert(done, text) == done
    return done


@given(texts)
def test_what_was_inserted_comes_out_without_a_trace(text: str) -> None:
    assert remove(put(text.encode())) == text.encode()


@given(texts)
def test_an_old_section_is_replaced_where_it_stands(text: str) -> None:
    content = text.encode()
    assert insert(put(content, OLD), NEW) == put(content)
    assert remove(insert(put(content, OLD), NEW)) == content


@given(texts, texts)
def test_what_is_written_around_a_section_stays(before: str, after: str) -> None:
    joined = before.encode() + (b"\n" if before else b"") + OLD.encode() + b"\n" + after.encode()
    changed = insert(joined, NEW)
    place = find(changed)
    assert place
    old = find(joined)
    assert old
    assert changed[: place[0]] == joined[: old[0]]
    assert changed[place[1] :] == joined[old[1] :]
    assert after.encode().strip() in (remove(changed) or b"")


def test_a_new_file_holds_the_section_alone_and_is_deleted_with_it() -> None:
    made = put(None)
    assert made == NEW.encode() + b"\n"
    assert remove(made) is None
    assert remove(b"\xef\xbb\xbf" + made.replace(b"\n", b"\r\n")) is None


def test_an_empty_file_is_empty_again() -> None:
    assert remove(put(b"")) == b""


def test_words_added_to_our_file_stay_when_the_section_goes() -> None:
    assert remove(put(None) + b"\nMine.\n") == b"\nMine.\n"
    assert remove(b"Mine.\n" + put(None)) == b"Mine.\n"
    assert remove(b"Mine.\n\n" + put(None) + b"More.\n") == b"Mine.\nMore.\n"


@pytest.mark.parametrize(
    ("content", "newline"),
    [(b"a\r\nb\r\n", b"\r\n"), (b"a\r\nb", b"\r\n"), (b"a\nb\r\nc\n", b"\n"), (b"a", b"\n")],
)
def test_section_has_the_line_ends_of_the_file(content: bytes, newline: bytes) -> None:
    added = put(content)[len(content) :]
    assert added.count(b"\n") == added.count(newline) > 20
    assert added.endswith(b"\n") == content.endswith(b"\n")


def test_a_file_of_ours_that_an_editor_gave_other_line_ends_is_unchanged() -> None:
    windows = put(None).replace(b"\n", b"\r\n")
    assert insert(windows, NEW) == windows


def test_a_file_without_a_section_is_left_alone() -> None:
    content = f"See {BEGIN} and {END}, says the manual of aiorch.\n".encode()
    assert find(content) is None
    assert remove(content) == content


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"one\n{BEGIN}\ntext\n", "line 2: .* has no end"),
        (f"one\ntext\n{END}\n", "line 3: .* has no beginning"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", "3 markers"),
        (f"{OLD}\n{OLD}\n", "4 markers"),
        (f"{END}\n{BEGIN}\n", "2 markers"),
        (f"{BEGIN}\nx\n{END} and my own words\n", "line 3: .* damaged"),
        (f"<!-- aiorch:begin\nx\n{END}\n", "line 1: .* damaged"),
    ],
)
def test_damaged_markers_are_refused_by_line(text: str, said: str) -> None:
    for act in (remove, lambda content: insert(content, NEW)):
        with pytest.raises(InstructionFileError, match=said):
            act(text.encode())


def test_markers_are_found_as_editors_leave_them() -> None:
    moved = f"# A\r\n  {BEGIN} \r\nx\r\n\t{END}\t\r\n".encode()
    assert remove(moved) is not None
    assert b"aiorch" not in (remove(moved) or b"")


def test_every_form_fills_the_lesson() -> None:
    for form in FORMS:
        text = section(form)
        assert "{form}" not in text
        assert find(text.encode()) == (0, len(text.encode()))
