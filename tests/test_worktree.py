"""A worker's worktree: made beside the repository, made whole when half made, or refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiorch.errors import GitError, IsolationError, TakenError
from aiorch.plan.schema import clean_name
from aiorch.tree import Tree, TreeState, branch_name, label, tree_of
from aiorch.workers.carry import carry, forget_rules, set_up
from aiorch.workers.git import git_in
from aiorch.workers.owner import beginning, claim
from aiorch.workers.worktree import (
    MARK,
    admin_dir,
    again,
    choose,
    fill_submodules,
    is_own,
    make,
    survey,
    worktrees,
)
from support.lab import alive, until
from support.repository import HERE, Repo

ODD = "a b\nc 'ü𝒳"


@pytest.fixture(autouse=True)
def no_user_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "src" / "app", {"a.txt": "one\n", "sub/b.txt": "two\n"})


def made(directory: Path, name: str = "api") -> Tree:
    tree = choose(survey(str(directory)), name)
    make(tree, HERE)
    return tree._replace(state=TreeState.READY)


def test_a_worktree_is_beside_the_repository_on_a_branch_of_its_own(repo: Repo) -> None:
    tree = made(repo.top)
    assert (tree.path, tree.branch) == (f"{repo.top}.aiorch/api", "aiorch/api")
    assert Path(tree.path, "sub/b.txt").read_text() == "two\n"
    assert repo.git("branch", "--show-current", at=Path(tree.path)) == "aiorch/api"
    assert repo.git("status", "--porcelain") == ""
    assert Path(tree.path).parent.stat().st_mode & 0o777 == 0o700


def test_a_worker_begins_in_the_folder_of_the_lead(repo: Repo) -> None:
    tree = made(repo.top / "sub")
    assert tree.directory == f"{repo.top}.aiorch/api/sub"


@pytest.mark.parametrize("odd", [ODD, "-x", "%(refname)", "ends "])
def test_names_of_folders_may_be_anything(tmp_path: Path, odd: str) -> None:
    repo = Repo(tmp_path / odd, {f"{odd}/{odd}.txt": "x"})
    tree = made(repo.top / odd)
    assert Path(tree.directory, f"{odd}.txt").read_text() == "x"
    assert tree_of(tree.record()) == tree
    make(tree, HERE)


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    tree = made(Repo(tmp_path / os.fsdecode(b"l\xe9ger"), {"a": ""}).top)
    assert tree_of(tree.record()) == tree


def test_a_taken_branch_or_folder_gives_the_next_number(repo: Repo) -> None:
    repo.git("branch", "aiorch/api")
    Path(f"{repo.top}.aiorch/api-2").mkdir(parents=True)
    assert made(repo.top).branch == "aiorch/api-3"


def test_what_others_are_to_have_is_gone_around(repo: Repo) -> None:
    found = survey(str(repo.top))
    first = choose(found, "api")
    second = choose(found, "api", [first])
    assert (second.branch, choose(found, "api-2", [first, second]).branch) == (
        "aiorch/api-2",
        "aiorch/api-2-2",
    )


@pytest.mark.parametrize("state", [TreeState.CHOSEN, TreeState.READY])
def test_one_that_was_made_for_another_is_left_to_it(repo: Repo, state: TreeState) -> None:
    tree = made(repo.top)
    with pytest.raises(TakenError, match="somebody else's"):
        make(tree._replace(state=state), f"{HERE}-another")
    make(tree, HERE)


def test_one_that_another_is_just_making_is_left_to_it(repo: Repo) -> None:
    tree = choose(survey(str(repo.top)), "api")
    words = ("--lock", "--reason", beginning(f"{HERE}-another"), "-b", tree.branch)
    repo.git("worktree", "add", "-q", *words, tree.path)
    with pytest.raises(TakenError):
        make(tree, HERE)
    assert not is_own(tree, HERE)
    claim(admin_dir(tree), HERE)
    assert is_own(tree, HERE)


def test_one_in_which_a_worker_was_before_owners_were_written_down_is_gone_on_with(repo: Repo) -> None:
    tree = made(repo.top)
    Path(admin_dir(tree), "aiorch").unlink()
    make(tree, HERE)
    with pytest.raises(TakenError):
        make(tree._replace(state=TreeState.CHOSEN), HERE)


def test_a_branch_called_like_our_prefix_is_gone_around(repo: Repo) -> None:
    repo.git("branch", "aiorch")
    assert made(repo.top).branch == "aiorch-api"


def test_uncommitted_work_of_the_user_is_counted_and_not_in_it(repo: Repo) -> None:
    repo.write({"a.txt": "changed\n", "new.txt": "new\n"})
    assert survey(str(repo.top)).changed == 2
    tree = made(repo.top)
    assert Path(tree.path, "a.txt").read_text() == "one\n"


def test_a_detached_head_is_what_it_begins_at(repo: Repo) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.commit({"a.txt": "two\n"})
    repo.git("checkout", "-q", "--detach", first)
    found = survey(str(repo.top))
    assert (found.branch, made(repo.top).base) == ("", first)


@pytest.mark.parametrize("kind", ["none", "bare", "unborn", "git-dir"])
def test_where_there_can_be_no_worktree_it_says_what_to_do(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "here"
    place.mkdir()
    if kind == "bare":
        subprocess.run(["git", "init", "-q", "--bare"], cwd=place, check=True)
    elif kind != "none":
        Repo(place, {"a": ""} if kind == "git-dir" else None)
    words = {"none": "git init", "bare": "bare", "unborn": "without a commit", "git-dir": "bare"}[kind]
    with pytest.raises(IsolationError, match=words) as caught:
        survey(str(place / ".git" if kind == "git-dir" else place))
    assert 'isolation = "none"' in str(caught.value)


def test_inside_of_another_repository_it_goes_elsewhere(tmp_path: Path, repo: Repo) -> None:
    inner = Repo(repo.top / "vendor", {"c": ""})
    tree = made(inner.top)
    assert tree.path.startswith(f"{tmp_path}/home/.local/share/aiorch/worktrees/vendor-")
    assert "aiorch" not in repo.git("status", "--porcelain", "-uall")


OLD_GIT = """#!/bin/sh
case " $* " in
*" worktree list "*" -z "*) echo "error: unknown switch 'z'" >&2; exit 129 ;;
*" version "*) echo git version {version}; exit ;;
esac
exec {git} "$@"
"""


def put_old_git(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    program = folder / "bin" / "git"
    program.parent.mkdir()
    program.write_text(OLD_GIT.format(version=version, git=shutil.which("git")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_with_a_git_that_ends_names_by_lines(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_old_git(tmp_path, monkeypatch, "2.34.1")
    tree = made(repo.top)
    repo.git("worktree", "lock", "--reason", "two\nlines", tree.path)
    assert worktrees(git_in(tree.top))[tree.path]["branch"] == "refs/heads/aiorch/api"
    for name in ("a\nb", "a\nworktree /x", "a\nbranch x\n\nworktree /x"):
        repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "odd" / name))
        with pytest.raises(GitError, match="line break"):
            worktrees(git_in(tree.top))
        repo.git("worktree", "remove", str(tmp_path / "odd" / name))


def test_a_git_that_is_too_old_is_told(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_old_git(tmp_path, monkeypatch, "2.25.1")
    with pytest.raises(IsolationError, match=r"need git 2\.33 or newer, and this is git version 2\.25\.1"):
        survey(str(repo.top))


def test_hooks_and_monitors_of_a_project_do_not_run(repo: Repo) -> None:
    trap = repo.top.parent / "ran"
    repo.write({"hooks/post-checkout": f"#!/bin/sh\ntouch {trap}\n"})
    (repo.top / "hooks/post-checkout").chmod(0o755)
    repo.git("config", "core.hooksPath", "hooks")
    repo.git("config", "core.fsmonitor", str(repo.top / "hooks/post-checkout"))
    made(repo.top)
    assert not trap.exists()


def test_variables_of_another_repository_lead_nowhere(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repo(tmp_path / "other", {"x": ""})
    for name, value in {"GIT_DIR": ".git", "GIT_WORK_TREE": ".", "GIT_INDEX_FILE": "x"}.items():
        monkeypatch.setenv(name, f"{other.top}/{value}")
    assert survey(str(repo.top)).top == str(repo.top)


def test_making_it_again_changes_nothing(repo: Repo) -> None:
    tree = made(repo.top)
    repo.write({"mine.txt": "work"}, at=Path(tree.path))
    make(tree, HERE)
    make(tree._replace(state=TreeState.CHOSEN), HERE)
    assert Path(tree.path, "mine.txt").read_text() == "work"
    assert repo.branches == ["aiorch/api", "main"]


def test_one_that_git_did_not_finish_is_made_whole(repo: Repo) -> None:
    tree = made(repo.top)
    Path(tree.path, "a.txt").unlink()
    repo.git("worktree", "lock", "--reason", beginning(HERE), tree.path)
    make(tree._replace(state=TreeState.CHOSEN), HERE)
    assert Path(tree.path, "a.txt").exists()
    assert repo.branches == ["aiorch/api", "main"]


def test_one_whose_branch_alone_was_made_is_made_whole(repo: Repo) -> None:
    tree = choose(survey(str(repo.top)), "api")
    repo.git("branch", "aiorch/api")
    make(tree, HERE)
    assert Path(tree.path, "a.txt").exists()


def test_what_a_lost_engine_left_running_is_ended_first(repo: Repo, tmp_path: Path) -> None:
    tree = choose(survey(str(repo.top)), "api")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={MARK: str(tmp_path)})
    until(lambda: MARK.encode() in Path(f"/proc/{child.pid}/environ").read_bytes(), "it is there")
    make(tree, str(tmp_path))
    until(lambda: not alive(child.pid), "it is ended")
    child.wait()


def test_a_removed_worktree_is_made_again_from_its_branch(repo: Repo) -> None:
    tree = made(repo.top)
    repo.commit({"work.txt": "w"}, at=Path(tree.path))
    repo.git("worktree", "remove", "--force", tree.path)
    kept = again(tree)
    assert kept is not None
    make(kept, HERE)
    assert Path(tree.path, "work.txt").exists()
    repo.git("worktree", "remove", "--force", tree.path)
    repo.git("branch", "-D", tree.branch)
    assert again(tree) is None


def test_something_in_the_way_is_left_alone(repo: Repo) -> None:
    tree = choose(survey(str(repo.top)), "api")
    repo.write({"precious": "x"}, at=Path(tree.path))
    with pytest.raises(IsolationError, match="in the way"):
        make(tree, HERE)
    assert Path(tree.path, "precious").exists()


def test_submodules_are_filled_from_the_users_tree_without_the_network(tmp_path: Path, repo: Repo) -> None:
    library = Repo(tmp_path / "lib", {"lib.txt": "lib"})
    repo.git("submodule", "--quiet", "add", str(library.top), "deps/li b")
    repo.commit({})
    library.top.rename(tmp_path / "unreachable")
    tree = made(repo.top)
    assert fill_submodules(tree, HERE) == []
    assert Path(tree.path, "deps/li b/lib.txt").read_text() == "lib"
    assert repo.git("remote", "get-url", "origin", at=Path(tree.path, "deps/li b")) == str(library.top)
    assert repo.git("status", "--porcelain", at=Path(tree.path)) == ""


def test_files_are_copied_and_folders_linked_and_git_does_not_see_them(repo: Repo) -> None:
    repo.commit({".gitignore": "node_modules/\n.env\n"})
    repo.write({".env": "KEY=1", "node_modules/m/i.js": "js", "local [1].cfg": "c", "a.txt": "mine\n"})
    tree = made(repo.top)
    (repo.top / ".env").chmod(0o600)
    for _ in range(2):
        carry(tree, [".env", "local*", "a.txt", "missing"], ["node_modules"])
    there = Path(tree.path)
    assert (there / ".env").stat().st_mode & 0o777 == 0o600
    assert (there / "node_modules").readlink() == repo.top / "node_modules"
    assert (there / "a.txt").read_text() == "one\n"
    assert repo.git("status", "--porcelain", at=there) == ""
    exclude = repo.top / ".git/info/exclude"
    assert exclude.read_text().count("node_modules") == 1
    forget_rules(tree)
    assert "node_modules" not in exclude.read_text()


def test_many_at_once_each_have_their_rule(repo: Repo) -> None:
    names = [f"cache-{number}" for number in range(8)]
    repo.write(dict.fromkeys(names, "x"))
    trees = [made(repo.top, name) for name in names]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda tree, name: carry(tree, [name], []), trees, names))
    rules = (repo.top / ".git/info/exclude").read_text().splitlines()
    assert {f"/{name}" for name in names} <= set(rules)
    assert [path.name for path in (repo.top / ".git/info").iterdir()] == ["exclude"]


def test_a_link_in_the_tree_does_not_lead_copies_out_of_it(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (repo.top / "conf").symlink_to(tmp_path / "out")
    repo.commit({})
    (repo.top / "conf").unlink()
    repo.write({"conf/secret": "s"})
    with pytest.raises(IsolationError, match="leads out"):
        carry(made(repo.top), ["conf/secret"], [])
    assert not list((tmp_path / "out").iterdir())


def test_setup_runs_where_the_worker_begins_and_its_last_words_say_why_it_failed(
    repo: Repo, tmp_path: Path
) -> None:
    tree, log = made(repo.top / "sub"), tmp_path / "log"
    set_up(tree, ["sh", "-c", "pwd; touch done"], dict(os.environ), log)
    assert (log.read_text(), log.stat().st_mode & 0o777) == (f"{tree.directory}\n", 0o600)
    with pytest.raises(IsolationError, match=r"exit 3, no wheel"):
        set_up(tree, ["sh", "-c", "echo first; echo no wheel; exit 3"], dict(os.environ), log)
    with pytest.raises(IsolationError, match="cannot be run"):
        set_up(tree, ["no-such-program"], dict(os.environ), log)


@given(st.text(alphabet="ab.-_/@{}~^: LOCKlock", min_size=1, max_size=60))
@example("x.lock.lock")
@example("a..b")
@example("-")
def test_every_worker_has_a_branch_that_git_takes(text: str) -> None:
    part = label(clean_name(text))
    for below in (True, False):
        branch = branch_name(part, below=below)
        assert git_in("/").holds("check-ref-format", "--branch", branch), branch
    assert "/" not in part
    assert label(part) == part
