"""What a worker did in its worktree: shown, merged as a whole or not at all, never lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aiorch.errors import ConflictError, GitError, WorkError
from aiorch.tree import Tree, TreeState
from aiorch.workers import work
from aiorch.workers.carry import carry
from aiorch.workers.worktree import choose, make, survey
from support.repository import HERE, Repo

FILES = {"a.txt": "one\ntwo\nthree\n", "b.txt": "b\n", "c.txt": "c\n", ".gitignore": "*.log\n.env\n"}


@pytest.fixture(autouse=True)
def no_user_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "my app", FILES)


@pytest.fixture
def tree(repo: Repo) -> Tree:
    chosen = choose(survey(str(repo.top)), "api")
    make(chosen, HERE)
    return chosen._replace(state=TreeState.READY)


def do(repo: Repo, tree: Tree) -> None:
    """Be a worker: commit something, leave something uncommitted, make a file, delete one."""
    repo.commit({"a.txt": "ONE\ntwo\nthree\n"}, at=Path(tree.path))
    repo.write({"b.txt": "b\nmore\n", "new 'ü\n.txt": "new\n", "x.log": "log\n"}, at=Path(tree.path))
    Path(tree.path, "c.txt").unlink()


def kinds(changes: list[work.Change]) -> dict[str, str]:
    return {change.path: change.kind for change in changes}


DONE = {"a.txt": "M", "b.txt": "M", "c.txt": "D", "new 'ü\n.txt": "A"}


def test_a_snapshot_has_all_of_the_work_and_leaves_the_worktree_as_it_is(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    there = Path(tree.path)
    before = repo.git("status", "--porcelain", at=there), repo.git("ls-files", "-s", at=there)
    taken = work.snapshot(tree)
    assert kinds(work.changes(tree, taken)) == DONE
    assert not taken.is_committed
    assert (repo.git("status", "--porcelain", at=there), repo.git("ls-files", "-s", at=there)) == before
    assert work.touched(tree) == set(DONE)
    assert work.ignored(tree) == ["x.log"]


def test_a_patch_applies(repo: Repo, tree: Tree, tmp_path: Path) -> None:
    do(repo, tree)
    Path(tree.path, "binary").write_bytes(bytes(range(256)))
    file = tmp_path / "patch"
    file.write_bytes(work.patch(tree, work.snapshot(tree)))
    repo.git("apply", str(file))
    assert (repo.top / "binary").read_bytes() == bytes(range(256))
    assert (repo.top / "new 'ü\n.txt").read_text() == "new\n"


def test_a_merge_brings_committed_and_uncommitted_work_and_is_a_real_merge(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    repo.commit({"other.txt": "mine"})
    done = work.merge(tree, "api: the task")
    assert (done.into, kinds(list(done.changes))) == ("main", DONE)
    assert repo.git("rev-list", "--parents", "-1", "HEAD").count(" ") == 2
    assert repo.git("status", "--porcelain") == ""
    assert (repo.top / "b.txt").read_text() == "b\nmore\n"
    assert (repo.top / "other.txt").read_text() == "mine"
    assert "api: the task" in repo.git("log", "-1", "--format=%B", "aiorch/api")
    assert repo.git("status", "--porcelain", at=Path(tree.path)) == ""


def test_a_second_merge_has_only_what_is_new(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    work.merge(tree, "first")
    assert work.merge(tree, "again").commit == ""
    repo.write({"later.txt": "l"}, at=Path(tree.path))
    assert kinds(list(work.merge(tree, "second").changes)) == {"later.txt": "A"}


def test_the_users_own_changes_elsewhere_stay_as_they_are(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    repo.commit({"d.txt": "d"})
    repo.write({"d.txt": "mine", "mine.txt": "m"})
    repo.git("add", "d.txt")
    work.merge(tree, "m")
    assert repo.git("status", "--porcelain") == "M  d.txt\n?? mine.txt"


def conflict(repo: Repo) -> None:
    repo.commit({"a.txt": "EINS\ntwo\nthree\n", "b.txt": "B\n"})


def dirty(repo: Repo) -> None:
    repo.write({"a.txt": "mine\n"})


def staged(repo: Repo) -> None:
    repo.write({"b.txt": "mine\n"})
    repo.git("add", "b.txt")


def untracked(repo: Repo) -> None:
    repo.write({"new 'ü\n.txt": "mine"})


def merging(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "side", "HEAD")
    repo.commit({"a.txt": "side\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a.txt": "main\n"})
    repo.git("merge", "side", check=False)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (conflict, ConflictError, "a.txt\n  b.txt\n.*git merge aiorch/api"),
        (dirty, WorkError, "in the way: a.txt"),
        (staged, WorkError, "in the way: b.txt"),
        (untracked, WorkError, r"in the way: \"new 'ü\\n.txt\""),
        (merging, WorkError, "midst of a merge"),
    ],
)
def test_what_cannot_be_merged_leaves_the_users_tree_exactly_as_it_was(
    repo: Repo, tree: Tree, spoil: Callable[[Repo], None], error: type[WorkError], words: str
) -> None:
    do(repo, tree)
    spoil(repo)
    before = repo.state()
    with pytest.raises(error, match=f"(?s){words}"):
        work.merge(tree, "m")
    assert repo.state() == before
    assert kinds(work.changes(tree, work.snapshot(tree))) == DONE


def test_an_ignored_file_of_the_user_is_not_overwritten(repo: Repo, tree: Tree) -> None:
    repo.write({".env": "user's"})
    repo.write({".env": "worker's"}, at=Path(tree.path))
    repo.git("add", "-f", ".env", at=Path(tree.path))
    with pytest.raises(WorkError, match="git left your tree as it was"):
        work.merge(tree, "m")
    assert (repo.top / ".env").read_text() == "user's"


def test_a_merge_into_a_detached_head_says_so(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    repo.git("checkout", "-q", "--detach")
    assert "detached" in work.merge(tree, "m").into


def test_settings_of_the_user_that_would_ask_or_run_do_not(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    trap = repo.top.parent / "ran"
    hooks = repo.top / ".git/hooks"
    for name in ("pre-commit", "commit-msg", "post-merge", "reference-transaction", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{trap}'\nexit 1\n")
        (hooks / name).chmod(0o755)
    for name, value in {
        "commit.gpgSign": "true", "gpg.program": "false", "core.editor": "false", "merge.ff": "false",
        "core.fsmonitor": str(hooks / "pre-commit"), "user.useConfigOnly": "true", "diff.external": "false",
    }.items():  # fmt: skip
        repo.git("config", name, value)
    assert work.patch(tree, work.snapshot(tree))
    assert work.merge(tree, "m").commit
    assert not trap.exists()
    assert "aiorch@localhost" in repo.git("log", "-1", "--format=%ae")


def test_work_of_one_that_still_works_is_merged_with_its_branch_left_to_it(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    tip = repo.git("rev-parse", "aiorch/api")
    work.merge(tree, "m", is_working=True)
    assert repo.git("rev-parse", "aiorch/api") == tip
    assert (repo.top / "b.txt").read_text() == "b\nmore\n"


def test_a_worktree_in_the_midst_of_a_merge_is_not_taken_for_done(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    repo.git("commit", "-qam", "w", at=Path(tree.path))
    conflict(repo)
    repo.git("merge", "main", at=Path(tree.path), check=False)
    for act in (work.snapshot, work.discard):
        with pytest.raises(WorkError, match="midst of a merge"):
            act(tree)


def test_a_discarded_worktree_can_be_had_back_whole(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    done = work.discard(tree)
    assert (Path(tree.path).exists(), repo.branches) == (False, ["main"])
    assert not Path(tree.path).parent.exists()
    assert done.ignored == ["x.log"]
    repo.git("checkout", "-q", done.ref)
    assert (repo.top / "b.txt").read_text() == "b\nmore\n"
    assert not (repo.top / "c.txt").exists()
    assert repo.git("show", f"{done.ref}~1:a.txt").startswith("ONE")


def test_what_has_no_work_or_is_merged_needs_no_ref(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    work.merge(tree, "m")
    assert work.discard(tree).ref == ""
    make(chosen := choose(survey(str(repo.top)), "other"), HERE)
    assert work.discard(chosen).ref == ""


@pytest.mark.parametrize("is_known", [True, False])
def test_work_that_the_user_only_looks_at_is_kept(repo: Repo, tree: Tree, is_known: bool) -> None:
    commit = repo.commit({"own.txt": "o"}, at=Path(tree.path))
    repo.git("checkout", "-q", "--detach", "aiorch/api")
    # Without a run that knows it, where it began is taken from where the user is.
    done = work.discard(tree if is_known else tree._replace(base=commit))
    assert repo.git("rev-parse", done.ref) == commit


def test_work_on_another_branch_of_the_workers_is_kept_too(repo: Repo, tree: Tree) -> None:
    repo.commit({"own.txt": "o"}, at=Path(tree.path))
    repo.git("checkout", "-q", "-b", "feature", "main", at=Path(tree.path))
    repo.commit({"feature.txt": "f"}, at=Path(tree.path))
    repo.write({"wip.txt": "w"}, at=Path(tree.path))
    tip = repo.git("rev-parse", "feature")
    ref = work.discard(tree).ref
    assert repo.git("rev-parse", "feature") == tip
    kept = repo.git("log", "--format=", "--name-only", "--diff-filter=A", "-m", ref).split()
    assert {"own.txt", "feature.txt", "wip.txt"} <= set(kept)


def test_a_worker_that_went_back_has_the_work_of_its_branch(repo: Repo, tree: Tree) -> None:
    repo.commit({"own.txt": "o"}, at=Path(tree.path))
    repo.git("checkout", "-q", "--detach", "main", at=Path(tree.path))
    assert kinds(work.changes(tree, work.snapshot(tree))) == {"own.txt": "A"}
    assert kinds(list(work.merge(tree, "m").changes)) == {"own.txt": "A"}
    assert work.merge(tree, "m").commit == ""


@pytest.mark.parametrize("is_committed", [True, False])
def test_work_in_two_places_is_merged_when_it_is_brought_together(
    repo: Repo, tree: Tree, is_committed: bool
) -> None:
    there = Path(tree.path)
    repo.commit({"own.txt": "o"}, at=there)
    repo.git("checkout", "-q", "-b", "feature", "main", at=there)
    repo.write({"feature.txt": "f"}, at=there)
    if is_committed:
        repo.commit({}, at=there)
    before = repo.state()
    with pytest.raises(WorkError, match=r"on feature, which has not all of aiorch/api.*git merge aiorch/api"):
        work.merge(tree, "m")
    assert repo.state() == before
    repo.git("merge", "-q", "--no-edit", "aiorch/api", at=there)
    assert kinds(list(work.merge(tree, "m").changes)) == {"feature.txt": "A", "own.txt": "A"}


def test_a_repository_in_the_worktree_is_not_thrown_away(repo: Repo, tree: Tree) -> None:
    Repo(Path(tree.path, "clone"), {"x": "x"})
    for act in (lambda: work.discard(tree), lambda: work.merge(tree, "m")):
        with pytest.raises(WorkError, match=r"clone .*repository of its own"):
            act()
    assert Path(tree.path, "clone/x").exists()


def test_one_whose_worktree_was_removed_is_discarded_with_its_branch_kept(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    repo.git("worktree", "remove", "--force", tree.path)
    with pytest.raises(GitError, match="removed"):
        work.snapshot(tree)
    assert repo.git("show", f"{work.discard(tree).ref}:a.txt").startswith("ONE")
    assert repo.branches == ["main"]


def test_carried_files_are_never_merged(repo: Repo, tree: Tree) -> None:
    repo.write({"secrets.ini": "key", "cache/x": "x"})
    carry(tree, ["secrets.ini"], ["cache"])
    do(repo, tree)
    assert kinds(list(work.merge(tree, "m").changes)) == DONE


def test_a_worktree_that_calls_itself_another_repository_is_not_believed(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    trap = repo.top.parent / "ran"
    Path(tree.path, "x.log").unlink()
    other = Repo(Path(tree.path, "x.log"), {"a": ""})
    other.git("config", "core.fsmonitor", f"touch '{trap}'")
    Path(tree.path, ".git").write_text(f"gitdir: {other.top}/.git\n")
    assert kinds(work.changes(tree, work.snapshot(tree))) == DONE
    assert not trap.exists()


def test_a_head_that_names_the_users_branch_does_not_move_it(repo: Repo, tree: Tree) -> None:
    repo.write({"b.txt": "b\nmore\n"}, at=Path(tree.path))
    main = repo.git("rev-parse", "main")
    (repo.top / ".git/worktrees/api/HEAD").write_text("ref: refs/heads/main\n")
    work.merge(tree, "m")
    assert repo.git("rev-parse", "main^1") == main
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("act", [lambda tree: work.merge(tree, "m"), work.discard])
def test_a_branch_that_stands_for_the_users_is_refused(
    repo: Repo, tree: Tree, act: Callable[[Tree], object]
) -> None:
    do(repo, tree)
    (repo.top / ".git/refs/heads/aiorch/api").write_text("ref: refs/heads/main\n")
    before = repo.state()
    with pytest.raises(WorkError, match="stands for refs/heads/main"):
        act(tree)
    assert repo.state() == before
    assert Path(tree.path, "b.txt").exists()


def test_a_branch_that_is_a_link_to_the_users_does_not_move_it(repo: Repo, tree: Tree) -> None:
    repo.write({"new.txt": ""}, at=Path(tree.path))
    main = repo.git("rev-parse", "main")
    branch = repo.top / ".git/refs/heads/aiorch/api"
    branch.unlink()
    branch.symlink_to("../main")
    work.merge(tree, "m")
    assert repo.git("rev-parse", "main^1") == main


def test_an_index_that_leads_to_the_users_is_not_followed(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    own = (repo.top / ".git/index").read_bytes()
    index = repo.top / ".git/worktrees/api/index"
    index.unlink()
    index.symlink_to(repo.top / ".git/index")
    with pytest.raises(WorkError, match="no regular file"):
        work.snapshot(tree)
    assert (repo.top / ".git/index").read_bytes() == own


def test_links_beside_the_index_lead_to_nothing_that_is_written(
    repo: Repo, tree: Tree, tmp_path: Path
) -> None:
    do(repo, tree)
    mine = tmp_path / "bashrc"
    mine.write_text("mine\n")
    for name in ("index.aiorch", "index.lock", "index.aiorch.lock"):
        (repo.top / ".git/worktrees/api" / name).symlink_to(mine)
    work.merge(tree, "m")
    assert mine.read_text() == "mine\n"
    assert kinds(work.changes(tree, work.snapshot(tree))) == DONE


def test_a_change_in_the_same_second_as_the_checkout_is_seen(repo: Repo, tree: Tree) -> None:
    file, index = Path(tree.path, "a.txt"), repo.top / ".git/worktrees/api/index"
    repo.git("config", "core.trustctime", "false")
    os.utime(file, (1_000_000_000,) * 2)
    repo.git("update-index", "--refresh", at=Path(tree.path))
    os.utime(index, (1_000_000_000,) * 2)
    file.write_text(file.read_text().upper())
    os.utime(file, (1_000_000_000,) * 2)
    assert kinds(work.changes(tree, work.snapshot(tree))) == {"a.txt": "M"}


def test_what_is_no_file_is_left_out(repo: Repo, tree: Tree) -> None:
    do(repo, tree)
    os.mkfifo(Path(tree.path, "pipe"))
    assert kinds(work.changes(tree, work.snapshot(tree))) == DONE


def test_a_sparse_checkout_has_no_deletions(repo: Repo) -> None:
    repo.commit({"in/x": "x", "out/y": "y"})
    repo.git("sparse-checkout", "set", "in")
    make(tree := choose(survey(str(repo.top)), "api"), HERE)
    repo.write({"in/x": "changed"}, at=Path(tree.path))
    assert not Path(tree.path, "out").exists()
    assert kinds(work.changes(tree, work.snapshot(tree))) == {"in/x": "M"}
    assert kinds(list(work.merge(tree, "m").changes)) == {"in/x": "M"}


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_what_git_was_told_to_pass_over_is_work(repo: Repo, tree: Tree, flag: str) -> None:
    repo.git("update-index", flag, "a.txt", at=Path(tree.path))
    repo.write({"a.txt": "hidden\n"}, at=Path(tree.path))
    assert kinds(work.changes(tree, work.snapshot(tree))) == {"a.txt": "M"}
    assert repo.git("ls-files", "-v", "a.txt", at=Path(tree.path))[0] in "hS"
    assert repo.git("show", f"{work.discard(tree).ref}:a.txt") == "hidden"


def test_files_outside_of_a_sparse_checkout_are_work(repo: Repo) -> None:
    repo.commit({"in/x": "x", "out/y": "y", "out/z": "z"})
    repo.git("sparse-checkout", "set", "in")
    make(tree := choose(survey(str(repo.top)), "api"), str(repo.top))
    repo.write({"out/y": "changed", "out/new": "n"}, at=Path(tree.path))
    assert kinds(work.changes(tree, work.snapshot(tree))) == {"out/y": "M", "out/new": "A"}


def test_the_users_tree_may_be_a_worktree_itself(repo: Repo, tmp_path: Path) -> None:
    own = tmp_path / "own"
    repo.git("worktree", "add", "-q", "-b", "mine", str(own))
    make(tree := choose(survey(str(own)), "api"), HERE)
    do(repo, tree)
    assert tree.path == f"{own}.aiorch/api"
    assert work.merge(tree, "m").into == "mine"
    assert (own / "b.txt").read_text() == "b\nmore\n"
    work.discard(tree)
    assert own.exists()


def test_the_lead_may_be_in_a_submodule(repo: Repo, tmp_path: Path) -> None:
    library = Repo(tmp_path / "lib", {"l": "l\n"})
    repo.git("submodule", "--quiet", "add", str(library.top), "dep")
    repo.commit({})
    make(tree := choose(survey(str(repo.top / "dep")), "api"), HERE)
    repo.write({"l": "changed\n"}, at=Path(tree.path))
    assert kinds(list(work.merge(tree, "m").changes)) == {"l": "M"}
    assert (repo.top / "dep/l").read_text() == "changed\n"
    assert tree.top == str(repo.top / "dep")
