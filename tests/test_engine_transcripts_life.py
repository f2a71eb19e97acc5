"""The life of a session file: late, replaced, another agent's; nothing runs twice, nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from pathlib import Path

import pytest

from support.actor import AGENT, CONFIG, Actor, asking, directive, pids, taken, tasks, write_codex
from support.lab import Lab, alive, until


@pytest.fixture
def lab(agent_lab: Lab) -> Lab:
    return agent_lab


def test_what_was_said_before_the_start_is_listed_and_never_runs(lab: Lab) -> None:
    actor = Actor(lab)
    actor.both(directive("old in the file"))
    lab.start(CONFIG)
    lab.wait_told("IGNORED", "before start")
    actor.both(directive("echo new"))
    until(lambda: tasks(lab) == ["echo new"], "the new one alone")
    assert "old in the file" in [row.payload.get("task") for row in taken(lab) if row.state == "ignored"]


def test_an_old_conversation_that_is_resumed_runs_only_what_is_new(lab: Lab) -> None:
    actor = Actor(lab)
    actor.write(directive("from last week"), time="2026-01-01T00:00:00Z")
    os.utime(actor.file, (1_700_000_000, 1_700_000_000))
    lab.start(CONFIG)
    # Drawn again by --resume, before anything is written.
    actor.draw(directive("from last week"))
    actor.write("Here we are again.")
    actor.both(directive("echo new"))
    until(lambda: "echo new" in tasks(lab), "the new one")
    assert tasks(lab) == ["echo new"]
    assert not asking(lab)


def test_copied_history_of_a_fork_does_not_run_again(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    name = actor.write(directive("echo one"))
    actor.draw(directive("echo one"))
    until(lambda: tasks(lab) == ["echo one"], "the first")
    first, actor.session = actor.session, str(uuid.uuid4())
    origin = {"sessionId": first, "messageUuid": name}
    actor.write(directive("echo one"), forkedFrom=origin)
    actor.write(directive("echo strange"), forkedFrom={"sessionId": "s", "messageUuid": "of another run"})
    actor.both(directive("echo two"))
    until(lambda: "echo two" in tasks(lab), "the second")
    assert tasks(lab) == ["echo one", "echo two"]


def test_a_file_written_anew_in_its_place_runs_nothing_again(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo one"))
    until(lambda: tasks(lab) == ["echo one"], "the first")
    kept = actor.file.read_bytes()
    actor.file.unlink()
    actor.file.write_bytes(kept)
    actor.both(directive("echo two"))
    until(lambda: "echo two" in tasks(lab), "the second")
    assert tasks(lab) == ["echo one", "echo two"]


def test_the_same_said_twice_on_purpose_runs_twice(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo again"))
    until(lambda: tasks(lab) == ["echo again"], "the first")
    actor.both(directive("echo again"))
    until(lambda: tasks(lab) == ["echo again"] * 2, "both")


def test_an_id_counts_within_one_conversation(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo one", id=1))
    actor.both(directive("echo other", id=1))
    lab.wait_told("ERROR", "was used before for something else")
    first, actor.session = actor.session, str(uuid.uuid4())
    actor.write("<command-name>/clear</command-name>")
    actor.both(directive("echo cleared", id=1))
    until(lambda: tasks(lab) == ["echo one", "echo cleared"], "the id is free in a new conversation")
    actor.session = first
    actor.both(directive("echo back", id=1))
    until(lambda: len([e for e in lab.events() if "was used before" in e.text]) == 2, "the old id is known")


def test_a_folder_on_another_file_system_is_followed(lab: Lab, tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm") / tmp_path.name
    elsewhere.mkdir()
    try:
        (lab.home / ".claude").symlink_to(elsewhere)
        actor = Actor(lab)
        lab.start(CONFIG)
        actor.both(directive("echo far"))
        until(lambda: tasks(lab) == ["echo far"], "it runs")
        assert [row.source for row in taken(lab)] == ["transcript"]
    finally:
        shutil.rmtree(elsewhere)


def test_without_a_file_the_screen_counts_and_is_said_to(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.draw(directive("echo seen"))
    until(lambda: tasks(lab) == ["echo seen"], "it runs")
    assert [row.source for row in taken(lab)] == ["screen"]
    lab.wait_told("LISTENING", "the screen alone (unverified)")
    assert "the screen alone" in lab.aiorch("doctor", check=False).stdout
    # The file that comes later says it again.
    actor.write(directive("echo seen"))
    actor.both(directive("echo both"))
    until(lambda: "echo both" in tasks(lab), "it runs")
    assert tasks(lab) == ["echo seen", "echo both"]
    lab.wait_told("LISTENING", f"{actor.session}.jsonl")


def test_what_never_comes_to_the_file_asks(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo one"))
    actor.draw(directive("touch lost"))
    until(lambda: tasks(lab, "asking") == ["touch lost"], "it asks")
    assert tasks(lab) == ["echo one"]


def test_tool_output_in_the_pane_of_an_agent_does_not_count(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.write("First.")
    actor.draw(f"Read(plan.md)\n  ⎿  {directive('touch evil')}")
    actor.both(directive("echo good"))
    until(lambda: tasks(lab) == ["echo good"], "the good one")
    assert not asking(lab)


def test_another_agent_in_the_same_directory_is_not_taken_for_ours(lab: Lab) -> None:
    lab.start(CONFIG)
    ours, other = Actor(lab), Actor(lab, "%other")
    lab.tmux("new-session", "-d", "-s", "other", "-c", str(lab.project), "-e", "TMUX_PANE=%other",
             "--", "env", "TMUX_PANE=%other", str(lab.root / "bin" / "claude"))  # fmt: skip
    until(lambda: len((lab.home / "pids").read_text().split()) == 2, "both agents run")
    other.write(directive("touch not-ours"))
    ours.both(directive("echo ours"))
    until(lambda: "echo ours" in tasks(lab), "ours runs")
    other.write(directive("touch not-ours-either"))
    ours.both(directive("echo ours too"))
    until(lambda: "echo ours too" in tasks(lab), "ours runs")
    assert tasks(lab) == ["echo ours", "echo ours too"]
    assert not asking(lab)


def test_agents_come_and_go_in_the_pane_of_a_shell(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab") as lab:
        path = lab.put_program("claude", AGENT)
        actor = Actor(lab)
        lab.start(CONFIG)
        for number in (1, 2):
            lab.type(str(path))
            _wait_pids(lab, number)
            actor.session = str(uuid.uuid4())
            actor.both(directive(f"echo {number}", id="the same"))
            _wait_last(lab, f"echo {number}")
            os.kill(pids(lab)[-1], signal.SIGKILL)
            until(lambda: not alive(pids(lab)[-1]), "the agent is gone")
        assert tasks(lab) == ["echo 1", "echo 2"]
        assert {row.source for row in taken(lab) if row.state == "done"} == {"transcript"}
        # The shell that is left is no agent: what it shows asks.
        lab.say({"task": "echo shell"})
        until(lambda: tasks(lab, "asking") == ["echo shell"], "the shell asks")


def test_two_kinds_of_agents_in_a_row_each_have_their_own_files(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab") as lab:
        actor = Actor(lab)
        programs = [str(lab.put_program(name, AGENT)) for name in ("claude", "codex")]
        lab.start(CONFIG)
        lab.type(programs[0])
        _wait_pids(lab, 1)
        actor.both(directive("echo claude", id=1))
        _wait_last(lab, "echo claude")
        os.kill(pids(lab)[-1], signal.SIGKILL)
        lab.type(programs[1])
        _wait_pids(lab, 2)
        lab.wait_told("LISTENING", "Codex")
        # Another window goes on with the conversation that was left.
        actor.write(directive("touch not-this-panes"))
        write_codex(lab, directive("echo codex", id=1))
        actor.draw(directive("echo codex", id=1))
        _wait_last(lab, "echo codex")
        assert tasks(lab) == ["echo claude", "echo codex"]
        assert {row.source for row in taken(lab) if row.state != "ignored"} == {"transcript"}


def test_an_agent_on_another_machine_is_read_from_its_screen(tmp_path: Path) -> None:
    # Stands for `ssh host claude`: no process here is the agent, only the user says so.
    lab = Lab(tmp_path / "lab")
    lab._primary = [str(lab.put_program("ssh", AGENT))]
    with lab:
        actor = Actor(lab)
        actor.write("a conversation of another agent in this directory")
        lab.start(CONFIG, "--agent", "claude")
        actor.draw(directive("echo there"))
        until(lambda: tasks(lab) == ["echo there"], "it runs")
        assert [row.source for row in taken(lab)] == ["screen"]
        lab.wait_told("LISTENING", "the screen alone (unverified)")


def test_a_program_that_the_user_calls_an_agent_is_looked_after_like_one(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    lab._primary = [str(lab.put_program("my-own-start-script", AGENT))]
    with lab:
        actor = Actor(lab)
        lab.start(CONFIG, "--agent", "claude")
        actor.both(directive("echo exact"))
        until(lambda: tasks(lab) == ["echo exact"], "it runs")
        assert [row.source for row in taken(lab)] == ["transcript"]


def test_a_killed_engine_takes_what_the_file_got_meanwhile(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(CONFIG)
    actor.both(directive("echo one"))
    until(lambda: tasks(lab) == ["echo one"], "the first")
    killed = lab.kill_engine()
    actor.write(directive("echo two"))
    actor.both(directive("echo three"))
    until(lambda: lab.engine_pids() not in ([], [killed]), "another engine")
    until(lambda: len(tasks(lab)) == 3, "all ran")
    assert tasks(lab) == ["echo one", "echo two", "echo three"]


def test_a_fence_may_ask_or_not_count(lab: Lab) -> None:
    actor = Actor(lab)
    lab.start(f'fenced = "ignore"\n{CONFIG}')
    actor.write(f"For example:\n\n```\n{directive('echo fenced')}\n```\n")
    actor.both(directive("echo bare"))
    until(lambda: tasks(lab) == ["echo bare"], "the bare one")
    lab.wait_told("IGNORED", "it stands in a code fence")


def test_an_unreadable_file_leaves_the_screen(lab: Lab) -> None:
    actor = Actor(lab)
    actor.folder.mkdir(parents=True)
    os.mkfifo(actor.file)
    lab.start(CONFIG)
    actor.draw(directive("echo seen"))
    until(lambda: tasks(lab) == ["echo seen"], "it runs")
    assert [row.source for row in taken(lab)] == ["screen"]


def _wait_pids(lab: Lab, count: int) -> None:
    until(lambda: len(pids(lab)) == count, "the agent runs")


def _wait_last(lab: Lab, task: str) -> None:
    until(lambda: tasks(lab)[-1:] == [task], f"{task} runs")
