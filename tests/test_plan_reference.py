"""Payloads in files: what is read, and every way of pointing somewhere else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiorch.capture.reference import MAX_BYTES, Reference, merged, read_reference
from aiorch.errors import DirectiveError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".aiorch").mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"task": "secret"}')
    return root


def write(path: Path, text: str = '{"task": "a"}') -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_payload_and_hash_of_a_file(project: Path) -> None:
    write(project / ".aiorch" / "plan.json", '{"task": "木", "cmd": 1}\n')
    reference = read_reference(".aiorch/plan.json", project)
    assert reference.payload == {"task": "木", "cmd": 1}
    assert reference.sha256 == hashlib.sha256('{"task": "木", "cmd": 1}\n'.encode()).hexdigest()


def test_absolute_name_inside_the_project(project: Path) -> None:
    path = write(project / "plan.json")
    assert read_reference(str(path), project).payload == {"task": "a"}


def test_largest_file_is_read(project: Path) -> None:
    text = json.dumps({"task": "a", "pad": ""})
    write(project / "p", text[:-2] + "x" * (MAX_BYTES - len(text)) + text[-2:])
    assert read_reference("p", project).payload["task"] == "a"


def test_project_itself_may_be_reached_through_a_symlink(project: Path, tmp_path: Path) -> None:
    write(project / "p")
    (tmp_path / "link").symlink_to(project)
    assert read_reference("p", tmp_path / "link").payload == {"task": "a"}


class Attack(NamedTuple):
    test_id: str
    prepare: Callable[[Path], object]
    name: str
    words: str


def other_owner(root: Path) -> None:
    path = write(root / "p")
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)


def unix_socket(root: Path) -> None:
    # The path of a socket is short, a test's folder is not.
    with contextlib.chdir(root), socket.socket(socket.AF_UNIX) as listener:
        listener.bind("p")


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


ATTACKS = [
    Attack("missing", lambda root: None, "p", "No such file"),
    Attack(
        "symlink", lambda root: (root / "p").symlink_to(write(root / "q")), "p", "symlinks are not followed"
    ),
    Attack("symlink-outside", lambda root: (root / "p").symlink_to("../secret.json"), "p", "symlinks"),
    Attack("folder-symlink", lambda root: (root / "d").symlink_to(".."), "d/secret.json", "symlinks"),
    Attack("dots", lambda root: None, "../secret.json", 'must not hold ".."'),
    Attack("dots-inside", lambda root: write(root / "p"), ".aiorch/../p", 'must not hold ".."'),
    Attack("absolute", lambda root: None, "/etc/passwd", "outside of the project"),
    Attack("sibling", lambda root: None, "{root}-2/p", "outside of the project"),
    Attack("root-itself", lambda root: None, "{root}", "must be the path of a file"),
    Attack("dot", lambda root: None, ".", "must be the path of a file"),
    Attack("folder", lambda root: None, ".aiorch", "not a regular file"),
    Attack("fifo", lambda root: os.mkfifo(root / "p"), "p", "not a regular file"),
    Attack("socket", unix_socket, "p", "cannot be read"),
    Attack("file-as-folder", lambda root: write(root / "p"), "p/q", "cannot be read"),
    Attack("hard-link", lambda root: (root / "p").hardlink_to(write(root / "q")), "p", "second name"),
    Attack("other-owner", other_owner, "p", "belongs to another user"),
    Attack("big", lambda root: write(root / "p", "x" * (MAX_BYTES + 1)), "p", "larger than 1 MiB"),
    Attack("nul", lambda root: None, "a\0b", "must be the path of a file"),
    Attack("long", lambda root: None, "a" * 300, "File name too long"),
    Attack("half-character", lambda root: None, "\ud800", "not a name"),
    Attack("not-json", lambda root: write(root / "p", "task: a"), "p", "holds no JSON"),
    Attack("not-utf8", lambda root: (root / "p").write_bytes(b'{"task": "\xff"}'), "p", "holds no JSON"),
    Attack("nan", lambda root: write(root / "p", '{"task": NaN}'), "p", "holds no JSON"),
    Attack("half", lambda root: write(root / "p", '{"task": "\\ud83d"}'), "p", "holds no JSON"),
    Attack("deep", lambda root: write(root / "p", "[" * 200_000), "p", "holds no JSON"),
    Attack("list", lambda root: write(root / "p", '[{"task": "a"}]'), "p", "one JSON object"),
    Attack("empty", lambda root: write(root / "p", ""), "p", "holds no JSON"),
    Attack("nested", lambda root: write(root / "p", '{"file": "q"}'), "p", "must not name another file"),
]


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.test_id)
def test_anything_else_is_refused_with_one_sentence(case: Attack, project: Path) -> None:
    case.prepare(project)
    before = open_files()
    with pytest.raises(DirectiveError) as caught:
        read_reference(case.name.replace("{root}", str(project)), project)
    assert case.words in str(caught.value)
    assert "secret" not in str(caught.value).replace("secret.json", "")
    assert open_files() == before


def test_file_that_is_swapped_for_a_symlink_meanwhile_is_never_followed(
    project: Path, tmp_path: Path
) -> None:
    (project / "d").mkdir()
    write(project / "d" / "p")
    outside = tmp_path / "outside"
    outside.mkdir()
    write(outside / "p", '{"task": "secret"}')
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (project / "d").rename(project / "e")
            (project / "d").symlink_to(outside)
            (project / "d").unlink()
            (project / "e").rename(project / "d")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(2000):
            with contextlib.suppress(DirectiveError):
                assert read_reference("d/p", project).payload == {"task": "a"}
    finally:
        stop.set()
        swapper.join()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.text(alphabet="./ap\0\\\n~$é", max_size=20) | st.text(max_size=10))
def test_any_name_gives_a_payload_or_a_directive_error(project: Path, name: str) -> None:
    write(project / "a")
    with contextlib.suppress(DirectiveError):
        assert read_reference(name, project).payload == {"task": "a"}


def test_id_of_the_directive_goes_with_the_payload() -> None:
    assert merged({"file": "p", "id": 7}, Reference({"task": "a"}, "")) == {"task": "a", "id": 7}
    assert merged({"file": "p"}, Reference({"task": "a", "id": 8}, "")) == {"task": "a", "id": 8}
    with pytest.raises(DirectiveError, match='"id" in the file'):
        merged({"file": "p", "id": 7}, Reference({"task": "a", "id": 8}, ""))
