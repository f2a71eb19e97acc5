"""Workers in worktrees of their own: real tmux, real git, a shell as the worker."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from aiorch.engine.isolation import PREPARING
from aiorch.journal import Event, Tag
from aiorch.ui.event_line import format_event
from aiorch.workers.owner import held, lock_file
from support.lab import Lab, alive, until
from support.repository import Repo

APART = """
retries = 0
[types.apart]
command = ["sh", "-c", "{task}"]
isolation = "worktree"
[types.step]
command = ["sh", "-c", "{task}"]
"""


@pytest.fixture
def repo(lab: Lab) -> Repo:
    return Repo(lab.project, {"a.txt": "one\n", "b.txt": "two\n"})


def apart(lab: Lab, **tasks: str) -> None:
    """Ask for workers of the isolated type."""
    lab.delegate(*({"name": name, "type": "apart", "task": task} for name, task in tasks.items()))


def tree_of(lab: Lab, name: str = "api") -> Path:
    return lab.project.with_name(f"{lab.project.name}.aiorch") / name


def test_a_worker_works_in_a_worktree_and_the_users_tree_stays(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    before = repo.state()
    apart(lab, api="echo $AIORCH_BRANCH $PWD >a.txt")
    lab.wait_state(api="done")
    assert (tree_of(lab) / "a.txt").read_text() == f"aiorch/api {tree_of(lab)}\n"
    assert repo.state() == before
    assert lab.told("ISOLATED", "api: branch aiorch/api in")
    (record,) = json.loads(lab.aiorch("ps", "--json").stdout)["workers"]
    assert (record["branch"], record["worktree"]) == ("aiorch/api", str(tree_of(lab)))
    assert "aiorch/api" in lab.aiorch("ps").stdout


def test_others_go_on_in_the_users_tree(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    lab.delegate(("here", "echo x >here.txt"))
    lab.wait_state(here="done")
    assert (lab.project / "here.txt").exists()
    assert repo.branches == ["main"]


def test_without_a_repository_the_worker_is_refused_and_does_not_run(lab: Lab) -> None:
    lab.start(APART)
    apart(lab, api="touch ran")
    lab.wait_state(api="failed")
    assert "git init" in lab.workers()["api"].reason
    assert not (lab.project / "ran").exists()


def test_a_retry_has_the_same_worktree_and_its_work(lab: Lab, repo: Repo) -> None:
    lab.start(APART.replace("retries = 0", "retries = 1\nretry_delay = 0"))
    apart(lab, api="echo x >>tries; [ $(wc -l <tries) = 2 ]")
    lab.wait_state(api="done")
    assert (tree_of(lab) / "tries").read_text() == "x\nx\n"
    assert repo.branches == ["aiorch/api", "main"]


def test_two_whose_names_lead_to_one_worktree_get_one_each(lab: Lab, repo: Repo) -> None:
    repo.git("branch", "aiorch/claude")
    lab.start(APART)
    task = "echo $AIORCH_BRANCH >mine"
    apart(lab, **{"claude": task, "claude-2": task})
    lab.wait_state(**{"claude": "done", "claude-2": "done"})
    there = [Path(row.directory, "mine").read_text() for row in lab.workers().values()]
    assert sorted(there) == sorted(
        f"{name}\n" for name in repo.branches if name not in ("main", "aiorch/claude")
    )
    assert len(set(there)) == 2


QUICKER = """#!/bin/sh
[ -e {root}/once ] || git -C {top} worktree add -q -b aiorch/api {there}
touch {root}/once
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def test_one_that_another_session_was_quicker_with_gets_the_next(lab: Lab, repo: Repo) -> None:
    lab.put_program("bwrap", QUICKER.format(root=lab.root, top=repo.top, there=tree_of(lab)))
    lab.start(f'{APART}[types.boxed]\ncommand = ["sh", "-c", "{{task}}"]\n'
              'isolation = "worktree"\nsandbox = "bwrap"\n')  # fmt: skip
    lab.delegate({"name": "api", "type": "boxed", "task": "touch here"})
    lab.wait_state(api="done")
    assert lab.workers()["api"].directory == str(tree_of(lab, "api-2"))
    assert repo.branches == ["aiorch/api", "aiorch/api-2", "main"]


def test_what_is_not_the_workers_is_neither_merged_nor_discarded(lab: Lab, repo: Repo) -> None:
    lab.start(f'setup = ["false"]\n{APART}')
    apart(lab, api="true")
    lab.wait_state(api="failed")
    owner = repo.top / ".git/worktrees/api/aiorch"
    mine = owner.read_text()
    owner.write_text("another-run/w1\n")
    for verb in ("merge", "discard"):
        assert "somebody else's" in lab.aiorch(verb, "api", check=False).stderr
    owner.write_text(mine)
    lab.aiorch("discard", "api")
    assert repo.branches == ["main"]


def test_setup_that_fails_keeps_the_worker_from_running(lab: Lab, repo: Repo) -> None:
    lab.start(f'setup = ["sh", "-c", "echo no network; exit 4"]\n{APART}')
    apart(lab, api="touch ran")
    lab.wait_state(api="failed")
    assert "exit 4, no network" in lab.workers()["api"].reason
    assert not (tree_of(lab) / "ran").exists()


def test_a_setup_that_takes_long_holds_nobody_else_up(lab: Lab, repo: Repo) -> None:
    gate = lab.root / "gate"
    lab.start(f'setup = ["sh", "-c", "while [ ! -e {gate} ]; do sleep 0.02; done"]\n{APART}')
    apart(lab, api="true")
    lab.delegate(("here", "true"))
    lab.wait_state(here="done")
    assert lab.workers()["api"].reason == PREPARING
    gate.touch()
    lab.wait_state(api="done")


def test_one_that_is_killed_while_it_is_prepared_does_not_start(lab: Lab, repo: Repo) -> None:
    pid, gate = lab.root / "pid", lab.root / "gate"
    wait = f"echo $$ >{pid}; while [ ! -e {gate} ]; do sleep 0.02; done"
    lab.start(f'setup = ["sh", "-c", "{wait}"]\n{APART}')
    apart(lab, api="touch ran")
    until(lambda: pid.exists() and pid.read_text(), "its setup runs")
    assert "still being made" in lab.aiorch("discard", "api", check=False).stderr
    lab.aiorch("kill", "api")
    until(lambda: not alive(int(pid.read_text())), "its setup is ended")
    until(lambda: lab.aiorch("discard", "api", check=False).returncode == 0, "it is discarded")
    assert (lab.workers()["api"].state, repo.branches) == ("killed", ["main"])
    assert not tree_of(lab).exists()
    gate.touch()
    lab.aiorch("retry", "api")
    lab.wait_state(api="done")
    assert (tree_of(lab) / "ran").exists()


def test_what_is_still_being_made_is_not_discarded(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    apart(lab, api="true")
    lab.wait_state(api="done")
    with held(lock_file(lab.run / "workers", lab.workers()["api"].number)):
        assert "try again in a moment" in lab.aiorch("discard", "api", check=False).stderr
    lab.aiorch("discard", "api")
    assert not tree_of(lab).exists()


def test_an_engine_that_is_lost_during_the_setup_is_followed_by_one_that_does_it_again(
    lab: Lab, repo: Repo
) -> None:
    gate = lab.root / "gate"
    wait = f"echo $$ >>{lab.root}/setups; while [ ! -e {gate} ]; do sleep 0.02; done"
    lab.start(f'setup = ["sh", "-c", "{wait}"]\n{APART}')
    apart(lab, api="echo x >>ran")
    until((lab.root / "setups").exists, "the setup runs")
    lab.kill_engine()
    until(lambda: len((lab.root / "setups").read_text().split()) == 2, "the setup runs again")
    gate.touch()
    lab.wait_state(api="done")
    assert (tree_of(lab) / "ran").read_text() == "x\n"
    assert repo.branches == ["aiorch/api", "main"]


def test_uncommitted_changes_of_the_user_are_told(lab: Lab, repo: Repo) -> None:
    repo.write({"a.txt": "mine\n"})
    lab.start(APART)
    apart(lab, api="cat a.txt")
    lab.wait_state(api="done")
    assert lab.workers()["api"].result == "one"
    assert lab.told("ISOLATED", "your uncommitted changes (1 file) are not in it")


def test_the_work_is_shown_merged_and_discarded_by_commands(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    apart(lab, api="printf 'new\\033[31m\\n' >new.txt; echo two >>a.txt")
    lab.wait_state(api="done")
    assert (
        lab.aiorch("diff", "api", "--stat").stdout == "M a.txt    +1 -0\nA new.txt  +1 -0\n2 files, +2 -0\n"
    )
    record = json.loads(lab.aiorch("diff", "api", "--json").stdout)
    assert [one["path"] for one in record["files"]] == ["a.txt", "new.txt"]
    assert "+two" in lab.aiorch("diff", "api").stdout
    assert "merged api into main: 2 files" in lab.aiorch("merge", "api").stdout
    lab.wait_told("MERGED", "api into main")
    assert (lab.project / "a.txt").read_text() == "one\ntwo\n"
    assert "no work that is not in your branch" in lab.aiorch("discard", "api").stdout
    lab.wait_told("DISCARDED", "api")
    assert repo.branches == ["main"]
    assert "was discarded" in lab.aiorch("diff", "api", check=False).stderr


def test_a_conflict_is_told_with_its_files_and_exit_code_1(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    apart(lab, api="echo theirs >a.txt")
    lab.wait_state(api="done")
    repo.commit({"a.txt": "mine\n"})
    before = repo.state()
    done = lab.aiorch("merge", "api", check=False)
    assert (done.returncode, repo.state()) == (1, before)
    assert "  a.txt\n" in done.stderr
    assert "git merge aiorch/api" in done.stderr


def test_a_worker_at_work_is_not_merged_unasked_and_never_discarded(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    apart(lab, api="echo x >x.txt; exec sleep 60")
    until((tree_of(lab) / "x.txt").exists, "it works")
    for verb in ("merge", "discard"):
        assert "still at work" in lab.aiorch(verb, "api", check=False).stderr
    assert "merged api" in lab.aiorch("merge", "api", "--force").stdout
    assert (lab.project / "x.txt").exists()


def test_one_that_is_to_be_tried_again_keeps_its_worktree(lab: Lab, repo: Repo) -> None:
    lab.start(APART.replace("retries = 0", "retries = 1\nretry_delay = 60"))
    apart(lab, api="echo x >x.txt; exit 1")
    lab.wait_told("RETRYING", "api")
    assert "aiorch kill api" in lab.aiorch("discard", "api", check=False).stderr
    assert (tree_of(lab) / "x.txt").exists()


def test_after_the_run_the_work_is_still_in_reach(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    apart(lab, api="echo x >x.txt")
    lab.wait_state(api="done")
    lab.aiorch("tidy")
    lab.aiorch("stop")
    lab.aiorch("prune", "--older-than", "0m")
    assert "A x.txt" in lab.aiorch("diff", "api", "--stat").stdout
    lab.aiorch("merge", "api")
    assert (lab.project / "x.txt").exists()


def test_a_discarded_worker_that_is_tried_again_begins_anew(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    apart(lab, api="cat a.txt; echo more >>a.txt")
    lab.wait_state(api="done")
    kept = lab.aiorch("discard", "api").stdout
    assert "refs/aiorch/discarded/api-" in kept
    repo.commit({"a.txt": "second\n"})
    lab.aiorch("retry", "api")
    until(lambda: lab.workers()["api"].result == "second", "it ran again, from the commit of now")


def test_two_workers_with_the_same_file_are_told_once(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    gate = lab.root / "gate"
    wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
    apart(
        lab,
        api=f"echo api >>a.txt; {wait}",
        auth="echo auth >>a.txt; while ! grep -qs api ../api/a.txt; do sleep 0.02; done",
        ui=f"echo u >>b.txt; {wait}",
    )
    lab.wait_told("OVERLAP", "api and auth both change a.txt")
    assert "(a.txt changed by auth too)" in lab.aiorch("ps").stdout
    gate.touch()
    lab.wait_state(api="done", ui="done")
    assert sum(event.tag == "OVERLAP" for event in lab.events()) == 1


def test_one_that_was_cut_off_with_tmux_goes_on_in_its_worktree(lab: Lab, repo: Repo) -> None:
    lab.start(APART)
    task = f"echo x >>tries; [ -e {lab.root}/gate ] || exec sleep 60"
    lab.delegate({"name": "api", "type": "apart", "task": task, "idempotent": True})
    until((tree_of(lab) / "tries").exists, "it works")
    lab.wait_state(api="working")
    pids = [int(lab.tmux("display-message", "-p", "#{pid}")), *lab.engine_pids(), lab.workers()["api"].pid]
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in pids), "server, engine and worker are gone")
    (lab.root / "gate").touch()
    lab.__enter__()
    lab.aiorch("resume")
    lab.wait_state(api="done")
    assert (tree_of(lab) / "tries").read_text() == "x\nx\n"
    assert repo.branches == ["aiorch/api", "main"]


def test_every_tag_can_be_shown_in_colour() -> None:
    for tag in Tag:
        assert f"m[{tag}]" in format_event(Event(1, 0.0, tag, "x"), color=True)
