"""Other repositories in a worker's worktree: their work is never lost, and what they name is never run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aiorch.errors import WorkError
from aiorch.tree import Tree
from aiorch.workers import work
from aiorch.workers.worktree import choose, fill_submodules, make, survey
from support.repository import Repo

FILES = {"a.txt": "a\n", ".gitignore": "build/\n"}


@pytest.fixture(autouse=True)
def no_user_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


def with_submodule(tmp_path: Path) -> tuple[Repo, Tree]:
    """Make a repository with the submodule `dep`, and a worker's worktree of it."""
    repo, library = Repo(tmp_path / "whole", FILES), Repo(tmp_path / "lib", {"l": "l"})
    repo.git("submodule", "--quiet", "add", str(library.top), "dep")
    repo.commit({})
    make(tree := choose(survey(str(repo.top)), "api"), str(tmp_path))
    assert fill_submodules(tree, str(tmp_path)) == []
    return repo, tree


@pytest.mark.parametrize("where", ["file", "hidden", "branch", "stash", "tag", "gone", "removed"])
def test_work_in_a_submodule_is_not_thrown_away(tmp_path: Path, where: str) -> None:
    repo, tree = with_submodule(tmp_path)
    there = Path(tree.path, "dep")
    before = repo.git("rev-parse", "HEAD", at=there)
    repo.write({"l": where}, at=there)
    if where == "hidden":
        repo.git("update-index", "--assume-unchanged", "l", at=there)
    elif where == "stash":
        repo.git("stash", "-q", at=there)
        repo.write({"l": "again"}, at=there)
        repo.git("stash", "-q", at=there)
        # The first of the two is in the log of the ref alone.
        repo.git("fetch", "-q", str(there), "refs/stash", at=repo.top / "dep")
    elif where != "file":
        new = repo.commit({}, at=there)
        repo.git("tag" if where == "tag" else "branch", "fix", new, at=there)
        repo.git("checkout", "-q", before, at=there)
    if where in ("gone", "removed"):
        repo.git("submodule", "--quiet", "deinit", "-f", "dep", at=Path(tree.path))
    if where == "removed":
        shutil.rmtree(tree.path)
    with pytest.raises(WorkError, match=r"(dep|modules/dep).* would be lost"):
        work.discard(tree)
    assert (repo.top / ".git/worktrees/api/modules/dep").exists()


def test_a_submodule_with_nothing_of_its_own_goes_with_the_worktree(tmp_path: Path) -> None:
    repo, tree = with_submodule(tmp_path)
    there = Path(tree.path, "dep")
    repo.git("checkout", "-q", "-b", "fix", at=there)
    repo.commit({"l": "new"}, at=there)
    repo.git("fetch", "-q", str(there), "fix", at=repo.top / "dep")
    work.discard(tree)
    assert not Path(tree.path).exists()


@pytest.mark.parametrize("act", [work.snapshot, work.discard, lambda tree: work.merge(tree, "m")])
@pytest.mark.parametrize("is_submodule", [False, True])
def test_filters_of_a_repository_in_the_worktree_do_not_run(
    tmp_path: Path, act: Callable[[Tree], object], is_submodule: bool
) -> None:
    """The worker writes their settings, from inside a sandbox too, and all of this runs outside."""
    repo, tree = with_submodule(tmp_path)
    there = Path(tree.path, "dep" if is_submodule else "clone")
    if not is_submodule:
        Repo(there, {"l": "l"})
        repo.commit({}, at=Path(tree.path))
    trap = tmp_path / "ran"
    repo.git("config", "filter.x.clean", f"touch '{trap}'; cat", at=there)
    repo.write({".gitattributes": "* filter=x\n", "l": "L"}, at=there)
    with suppress(WorkError):
        act(tree)
    assert not trap.exists()
    repo.git("status", at=there)
    assert trap.exists()


def test_the_commit_that_a_submodule_is_on_is_work(tmp_path: Path) -> None:
    repo, tree = with_submodule(tmp_path)
    commit = repo.commit({"l": "new"}, at=Path(tree.path, "dep"))
    work.merge(tree, "m")
    assert repo.git("rev-parse", "HEAD:dep") == commit
    assert repo.git("status", "--porcelain", at=Path(tree.path)) == ""


def test_files_that_took_the_place_of_a_submodule_are_work(tmp_path: Path) -> None:
    _, tree = with_submodule(tmp_path)
    Path(tree.path, "dep/.git").unlink()
    found = work.changes(tree, work.snapshot(tree))
    assert [(one.path, one.kind) for one in found] == [("dep", "D"), ("dep/l", "A")]


@pytest.mark.parametrize("folder", ["build/deep/tool", "src"])
def test_a_repository_that_git_does_not_show_is_not_thrown_away(tmp_path: Path, folder: str) -> None:
    repo = Repo(tmp_path / "whole", {**FILES, "src/x": "x"})
    make(tree := choose(survey(str(repo.top)), "api"), str(tmp_path))
    Repo(Path(tree.path, folder), {"y": "y"})
    repo.commit({}, at=Path(tree.path))
    with pytest.raises(WorkError, match=f"{folder} in .* has a git repository of its own"):
        work.discard(tree)
    shutil.rmtree(Path(tree.path, folder, ".git"))
    work.discard(tree)
    assert not Path(tree.path).exists()
