"""What changed in a git tree: read from what git says, whatever the files are called."""

from __future__ import annotations

import os
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import ChangesError
from aiorch.workers.changes import (
    Changes,
    FileChange,
    Tree,
    as_json,
    changes_since,
    compare,
    described,
    from_json,
    parse_diff,
    parse_status,
    tree_of,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def git(folder: Path, *argv: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", *identity, *argv], cwd=folder, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@given(st.binary())
def test_noise_is_no_tree_and_no_error(data: bytes) -> None:
    assert parse_status(data) is None
    parse_diff(data)


@given(st.lists(PATHS, unique=True), st.data())
def test_status_gives_every_path_as_it_is(paths: list[str], data: st.DataObject) -> None:
    facts = "1 .M N... 100644 100644 100644 aa bb "
    kinds = {path: data.draw(st.sampled_from([facts, "? "])) for path in paths}
    text = f"# branch.oid {COMMIT}\0# branch.head main\0" + "".join(
        f"{kinds[path]}{path}\0" for path in paths
    )
    found = parse_status(text.encode())
    assert found is not None and found.commit == COMMIT
    assert found.entries == {path: "?" if kind == "? " else facts.strip() for path, kind in kinds.items()}


@given(
    st.dictionaries(
        PATHS, st.tuples(st.sampled_from("AMD"), st.integers(0, 9), st.integers(0, 9)), max_size=5
    )
)
def test_diff_gives_every_path_with_its_lines(files: dict[str, tuple[str, int, int]]) -> None:
    raw = "".join(f":100644 100644 aa bb {kind}\0{path}\0" for path, (kind, _, _) in files.items())
    counts = "".join(f"{added}\t{removed}\t{path}\0" for path, (_, added, removed) in files.items())
    found = parse_diff((raw + counts).encode())
    words = {"A": "added", "M": "modified", "D": "deleted"}
    assert found == {path: FileChange(path, words[kind], a, r) for path, (kind, a, r) in files.items()}


@given(st.dictionaries(st.sampled_from(string.ascii_lowercase), st.sampled_from(["?", "1 .M"])))
def test_tree_that_nobody_touched_has_no_changes(entries: dict[str, str]) -> None:
    tree = Tree(COMMIT, entries)
    diff = {path: FileChange(path, "modified", 1, 1) for path, kind in entries.items() if kind != "?"}
    assert compare(tree, tree, diff, lambda _: False, lambda _: 1).files == ()


def test_binary_file_has_no_lines() -> None:
    found = parse_diff(b":100644 100644 a b M\0p.png\0-\t-\tp.png\0")
    assert found["p.png"] == FileChange("p.png", "modified", None, None)


def test_changes_come_back_from_their_text_with_names_that_are_no_utf_8() -> None:
    name = os.fsdecode(b"\xff\xfe")
    changes = Changes((FileChange(name, "added", 1, 0),), 2, COMMIT, COMMIT, ("b",))
    text = as_json(changes)
    assert text.isascii() and from_json(text) == changes
    assert from_json("{}") is None
    assert described(changes) == "3 files, +1 -0"


def test_tree_of_ones_own_is_compared_with_its_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "gone").write_text("x\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    base = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "a").write_text("1\n2\n3\n")
    git(tmp_path, "commit", "-qam", "two")
    (tmp_path / "gone").unlink()
    (tmp_path / "d").mkdir()
    (tmp_path / "d/new").write_bytes(b"\0\1")
    (tmp_path / ".gitignore").write_text("*.o\n")
    (tmp_path / "x.o").write_text("ignored\n")
    found = changes_since(tmp_path / "d", base)
    assert found.files == (
        FileChange(".gitignore", "added", 1, 0),
        FileChange("a", "modified", 1, 0),
        FileChange("d/new", "added", None, 0),
        FileChange("gone", "deleted", 0, 1),
    )
    assert found.base == base != found.head
    assert tree_of(str(tmp_path / "d")) == tmp_path
    with pytest.raises(ChangesError):
        changes_since(tmp_path, "f" * 40)


def test_what_is_no_git_tree_is_told(tmp_path: Path) -> None:
    assert tree_of(str(tmp_path)) is None
    with pytest.raises(ChangesError, match="git does not tell what changed"):
        changes_since(tmp_path, COMMIT)
