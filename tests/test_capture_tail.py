"""Following the segments that `split` writes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from aiorch.capture.tail import Cursor, SegmentTail


def drain(tail: SegmentTail) -> bytes:
    return b"".join(data for _, data in tail.read())


def test_an_empty_or_missing_directory_gives_nothing(tmp_path: Path) -> None:
    tail = SegmentTail(tmp_path / "none", Cursor("", 0))
    assert drain(tail) == b""
    assert tail.cursor == Cursor("", 0)


def test_segments_are_read_in_order_and_followed(tmp_path: Path) -> None:
    (tmp_path / "000001-aaaaa").write_bytes(b"one")
    tail = SegmentTail(tmp_path, Cursor("", 0), chunk=2)
    assert list(tail.read()) == [(Cursor("000001-aaaaa", 2), b"on"), (Cursor("000001-aaaaa", 3), b"e")]
    with (tmp_path / "000001-aaaaa").open("ab") as segment:
        segment.write(b" more")
    (tmp_path / "000001-aaaab").write_bytes(b" two")
    (tmp_path / "000002-aaaaa").write_bytes(b" three")
    (tmp_path / ".hidden").write_bytes(b"no")
    assert drain(tail) == b" more two three"
    assert tail.cursor == Cursor("000002-aaaaa", 6)
    assert drain(tail) == b""
    tail.close()
    (tmp_path / "000002-aaaaa").write_bytes(b" three!")
    assert drain(tail) == b"!"
    tail.close()


def test_a_cursor_resumes_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "000001-aaaaa").write_bytes(b"0123456789")
    (tmp_path / "000001-aaaab").write_bytes(b"abc")
    assert drain(SegmentTail(tmp_path, Cursor("000001-aaaaa", 7))) == b"789abc"


def test_lost_and_truncated_segments_are_no_end(tmp_path: Path) -> None:
    (tmp_path / "000002-aaaaa").write_bytes(b"later")
    assert drain(SegmentTail(tmp_path, Cursor("000001-aaaaa", 700))) == b"later"
    assert drain(SegmentTail(tmp_path, Cursor("000002-aaaaa", 700))) == b"later"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    logs = tmp_path / "log"
    logs.mkdir()
    (logs / "000001-aaaaa").symlink_to(secret)
    assert drain(SegmentTail(logs, Cursor("", 0))) == b""


def test_what_split_writes_is_read_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    subprocess.run(
        ["split", "-b", "1000", "-a", "5", "-", f"{tmp_path}/000001-"], input=data, check=True, timeout=20
    )
    assert drain(SegmentTail(tmp_path, Cursor("", 0), chunk=77)) == data
