"""What a worker in a sandbox can write, and that it never runs without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aiorch.config import load_config
from aiorch.errors import ConfigError
from aiorch.tree import Tree
from aiorch.workers import sandbox
from support.lab import Lab, until
from support.repository import Repo

BOXED = """
[types.boxed]
command = ["sh", "-c", "{task}"]
isolation = "worktree"
sandbox = "bwrap"
"""


def works() -> bool:
    program = shutil.which("bwrap")
    argv = [str(program), "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    return program is not None and subprocess.run(argv, check=False, capture_output=True).returncode == 0


needs_bwrap = pytest.mark.skipif(not works(), reason="bwrap is missing, or user namespaces are off here")


@pytest.fixture
def repo(lab: Lab) -> Repo:
    return Repo(lab.project, {"a.txt": "one\n"})


def boxed(lab: Lab, task: str) -> Path:
    """Run one worker in a sandbox and return its worktree."""
    lab.start(BOXED)
    lab.delegate({"name": "api", "type": "boxed", "task": task})
    lab.wait_state(api="done")
    return lab.project.with_name(f"{lab.project.name}.aiorch") / "api"


@needs_bwrap
def test_it_works_commits_and_leaves_a_result(lab: Lab, repo: Repo) -> None:
    there = boxed(
        lab,
        "echo two >>a.txt; git -c user.name=w -c user.email=w@w commit -qam two && echo x >new.txt;"
        " echo all is well >$AIORCH_RESULT",
    )
    assert (there / "new.txt").read_text() == "x\n"
    assert repo.git("log", "-1", "--format=%s", "aiorch/api") == "two"
    assert lab.workers()["api"].result == "all is well"
    assert "merged api into main: 2 files" in lab.aiorch("merge", "api").stdout


@needs_bwrap
@pytest.mark.parametrize(
    "place",
    [
        "{project}/a.txt",
        "{project}/.git/config",
        "{project}/.git/hooks/pre-commit",
        "{project}/.git/refs/heads/main",
        "{project}/.git/worktrees/api/config.worktree",
        "{project}/.git/worktrees/api/commondir",
        "{project}/.git/worktrees/api/aiorch.sandbox",
        "{project}.aiorch/api/.git",
        "{home}/.profile",
        "{run}/workers/w1-1/exit",
        "{run}/inbox/x.json",
    ],
)
def test_it_writes_nothing_else(lab: Lab, repo: Repo, place: str) -> None:
    lab.start(BOXED)
    path = Path(place.format(project=lab.project, home=lab.home, run=lab.run))
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.exists() else None
    lab.delegate({"name": "api", "type": "boxed", "task": f"echo bad >{path}; true"})
    lab.wait_state(api="done")
    after = path.read_bytes() if path.exists() else None
    assert after == before or b"bad" not in (after or b"")


@needs_bwrap
def test_it_reaches_no_tmux_and_sees_no_other_process(lab: Lab, repo: Repo) -> None:
    there = boxed(
        lab,
        f"tmux -S {lab.socket} list-panes >out 2>&1 && echo reached >>out;"
        " [ -w /etc ] && echo reached >>out; echo TMUX=$TMUX >>out; ls -d /proc/[0-9]* | wc -l >count",
    )
    text = (there / "out").read_text()
    assert "reached" not in text
    assert "TMUX=\n" in text
    assert int((there / "count").read_text()) < 10


@needs_bwrap
def test_it_can_commit_when_the_user_packs_the_branches(lab: Lab, repo: Repo) -> None:
    lab.start(BOXED)
    there = lab.project.with_name(f"{lab.project.name}.aiorch") / "api"
    commit = "git -c user.name=w -c user.email=w@w commit -qam two --allow-empty"
    lab.delegate(
        {"name": "api", "type": "boxed", "task": f"touch in; until [ -e go ]; do sleep 0.05; done; {commit}"}
    )
    until((there / "in").exists, "it works")
    repo.git("pack-refs", "--all")
    (there / "go").touch()
    lab.wait_state(api="done")
    assert repo.git("log", "-1", "--format=%s", "aiorch/api") == "two"
    assert repo.git("fsck") == ""
    lab.aiorch("discard", "api")
    assert not list(repo.top.glob(".git/**/heads/aiorch"))


@needs_bwrap
def test_the_setup_of_what_it_committed_runs_inside(lab: Lab, repo: Repo) -> None:
    repo.commit({"setup": "touch set-up\n", ".gitmodules": ""})
    mark = lab.home / "escaped"
    lab.start(f'retries = 0\n{BOXED}setup = ["sh", "./setup"]\n')
    task = (
        f"echo 'touch set-up {mark}; true' >setup; git -c user.name=w -c user.email=w@w commit -qam x; exit 3"
    )
    lab.delegate({"name": "api", "type": "boxed", "task": task})
    lab.wait_state(api="failed")
    there = Path(lab.workers()["api"].directory)
    shutil.rmtree(there)
    repo.git("worktree", "prune")
    lab.aiorch("retry", "api")
    until(lambda: lab.workers()["api"].attempt > 1 and lab.workers()["api"].state == "failed", "it ran again")
    assert (there / "set-up").exists()
    assert not mark.exists()


# A repository of its own, whose settings run a program of its own.
TAKE_OVER = """
rm -rf .git; git init -q . && git add -A && git -c user.name=w -c user.email=w@w commit -qm x
git config filter.x.clean 'touch {mark}; cat'; echo '* filter=x' >.gitattributes; echo two >a.txt; true
"""


@needs_bwrap
def test_what_it_leaves_is_looked_at_from_inside(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", project="top/src") as lab:
        Repo(lab.root / "top", {"src/a.txt": "one\n"})
        mark = lab.home / "escaped"
        boxed(lab, TAKE_OVER.format(mark=mark))
        there = lab.root / "top.aiorch/api/src"
        assert (there / "a.txt").read_text() == "two\n"
        assert (there / ".git").is_dir()
        assert not mark.exists()


@needs_bwrap
def test_it_reads_the_results_of_the_workers_before_and_cannot_change_them(lab: Lab, repo: Repo) -> None:
    lab.start(BOXED)
    read = "cat $AIORCH_INPUTS/one.md; echo bad 2>&- >>$AIORCH_INPUTS/one.md || cp $AIORCH_INPUTS/one.json ."
    lab.delegate(
        {"name": "one", "type": "boxed", "task": "echo hello >$AIORCH_RESULT"},
        {"name": "two", "type": "boxed", "after": "one", "task": read},
    )
    lab.wait_state(one="done", two="done")
    assert lab.workers()["two"].result == "hello"
    record = json.loads(Path(lab.workers()["two"].directory, "one.json").read_text())
    assert Path(record["result_file"]).read_text() == "hello\n"
    assert json.loads(lab.aiorch("show", "one", "--json").stdout)["result_file"] == record["result_file"]


@needs_bwrap
def test_a_check_whose_sandbox_cannot_be_made_fails_and_holds_no_other_up(lab: Lab, repo: Repo) -> None:
    lab.start(f'retries = 0\n{BOXED}check = ["test", "-e", "go"]\n')
    wait = "touch in; while [ ! -e go ]; do sleep 0.02; done"
    lab.delegate(*({"name": name, "type": "boxed", "task": wait} for name in ("api", "auth")))
    trees = [lab.project.with_name(f"{lab.project.name}.aiorch") / name for name in ("api", "auth")]
    until(lambda: all((tree / "in").exists() for tree in trees), "they work")
    shutil.rmtree(repo.top / ".git/worktrees/api")
    for tree in trees:
        (tree / "go").touch()
    lab.wait_state(api="failed", auth="done")
    assert "check: git knows no worktree" in lab.workers()["api"].reason


@needs_bwrap
def test_what_git_does_with_its_work_is_done_inside(lab: Lab, repo: Repo) -> None:
    # Both a filter of the user's that is found where git runs, and a log that leads out.
    mark, mine = lab.home / "escaped", lab.home / "mine"
    mine.write_text("mine\n")
    repo.git("config", "filter.x.clean", "sh ./clean")
    boxed(
        lab,
        f"echo '* filter=x' >.gitattributes; echo 'touch {mark}; cat' >clean; echo two >a.txt;"
        f" ln -sf {mine} $(git rev-parse --git-dir)/logs/HEAD",
    )
    assert "+two" in lab.aiorch("diff", "api").stdout
    assert not mark.exists()
    lab.aiorch("merge", "api", check=False)
    assert mine.read_text() == "mine\n"


@needs_bwrap
def test_the_log_of_a_branch_to_come_leads_nowhere(lab: Lab, repo: Repo) -> None:
    mine = lab.home / "mine"
    mine.write_text("mine\n")
    boxed(lab, f"ln -s {mine} $(git rev-parse --git-common-dir)/logs/refs/heads/aiorch/web; true")
    lab.delegate({"name": "web", "type": "boxed", "task": "true"})
    lab.wait_state(web="done")
    assert mine.read_text() == "mine\n"


@needs_bwrap
def test_without_bwrap_its_work_is_not_looked_at(lab: Lab, repo: Repo) -> None:
    boxed(lab, "echo two >a.txt")
    bare = lab.root / "bare"
    bare.mkdir()
    for name in ("git", "tmux"):
        (bare / name).symlink_to(str(shutil.which(name)))
    done = lab.aiorch("diff", "api", check=False, env={"PATH": f".:{bare}"})
    assert done.returncode == 1
    assert "needs bwrap" in done.stderr


@needs_bwrap
def test_places_of_the_user_can_be_opened(lab: Lab, repo: Repo) -> None:
    (lab.home / "cache").mkdir()
    lab.start(f'sandbox_writes = ["~/cache"]\n{BOXED}')
    lab.delegate({"name": "api", "type": "boxed", "task": "echo x >~/cache/x"})
    lab.wait_state(api="done")
    assert (lab.home / "cache/x").exists()


def words(tmp_path: Path, socket: Path, *writes: str) -> str:
    tree = Tree(str(tmp_path / "w"), "aiorch/api", "0" * 40, str(tmp_path), str(tmp_path / ".git"))
    box = sandbox.Box(tree, "/admin", "", "/runs", str(socket), writes)
    return " ".join(sandbox.command("bwrap", box, {"HOME": "/h"}, tree.path))


def test_a_place_within_another_is_not_bound_again(tmp_path: Path) -> None:
    # The worker of the attempt before may have made a link of it, which bwrap would follow.
    found = words(tmp_path, tmp_path, "~/.cache/x", "~/.cache", "~/.cache-2")
    assert "--bind-try /h/.cache /h/.cache --bind-try /h/.cache-2 /h/.cache-2" in found
    assert "/h/.cache/x" not in found


def test_sockets_of_tmux_beside_ours_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_EMPTIED", ())
    socket = tmp_path / f"tmux-{os.getuid()}" / "default"
    socket.parent.mkdir()
    socket.touch()
    assert f"--tmpfs {socket.parent}" in words(tmp_path, socket)
    (tmp_path / "own").touch()
    assert f"--ro-bind /dev/null {tmp_path}/own" in words(tmp_path, tmp_path / "own")


def test_without_bwrap_it_is_refused(lab: Lab, repo: Repo) -> None:
    lab.put_program("bwrap", "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n")
    lab.start(BOXED)
    lab.delegate({"name": "api", "type": "boxed", "task": "touch ran"})
    lab.wait_state(api="failed")
    reason = lab.workers()["api"].reason
    assert "Permission denied" in reason
    assert 'sandbox = "none"' in reason
    assert not lab.finds("ran")


@pytest.mark.parametrize(
    "text",
    [
        'sandbox = "bwrap"',
        '[types.x]\ncommand = ["x", "{task}"]\nsandbox = "bwrap"',
        'sandbox = "bwrap"\nisolation = "worktree"\n[types.claude]\nisolation = "none"',
        'copy = ["../secrets"]',
        'link = ["/etc"]',
        'sandbox_writes = ["cache"]',
        'isolation = "yes"',
    ],
)
def test_settings_that_make_no_sense_are_mistakes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)
