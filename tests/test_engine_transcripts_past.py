"""What an earlier agent, or an earlier engine, left behind: what still counts of it, and what does not."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.actor import (
    AGENT,
    CONFIG,
    Actor,
    asking,
    directive,
    other_window,
    pids,
    restarted,
    say_and_wait,
    taken,
    tasks,
    wait_look,
    write_codex,
)
from support.lab import Lab, alive, until


@pytest.fixture
def lab(agent_lab: Lab) -> Lab:
    return agent_lab


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose primary is a shell, with two kinds of agents to start."""
    with Lab(tmp_path / "lab") as lab:
        for name in ("claude", "codex"):
            lab.put_program(name, AGENT)
        yield lab


def begin(lab: Lab, name: str, count: int) -> None:
    lab.type(name)
    until(lambda: len(pids(lab)) == count, f"{name} runs")
    lab.wait_told("LISTENING", {"claude": "Claude Code", "codex": "Codex"}[name])


def end(lab: Lab) -> None:
    pid = pids(lab)[-1]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "the agent is gone")


def test_a_file_found_by_what_the_screen_showed_is_the_agents_after_a_restart_too(lab: Lab) -> None:
    lead = Actor(lab)
    lab.start(CONFIG)
    other = other_window(lab)
    other.write("I work on something else.")
    lead.both(directive("echo one"))
    until(lambda: tasks(lab) == ["echo one"], "it runs")
    lab.wait_told("LISTENING", "which alone says what the pane shows")
    restarted(lab, lab.kill_engine())
    lab.wait_told("LISTENING", "again, after the engine was restarted")
    # Nothing on the screen could tell again whose file it is.
    lead.write(directive("echo two"))
    until(lambda: tasks(lab) == ["echo one", "echo two"], "the second")


def test_a_session_that_may_be_another_windows_stays_doubtful_after_a_restart(lab: Lab) -> None:
    lead = Actor(lab)
    lab.start(CONFIG)
    say_and_wait(lab, lead, "echo lead")
    other = other_window(lab)
    other.write("I begin.")
    lead.both("Something that makes the engine look, with both there.")
    wait_look()
    killed = lab.kill_engine()
    end(lab)
    restarted(lab, killed)
    lab.wait_told("LISTENING", "again, after the engine was restarted")
    other.write(directive("touch others"))
    lead.both("Something that makes the engine look, alone again.")
    wait_look()
    say_and_wait(lab, lead, "echo lead", "echo more")


def test_a_file_made_while_no_engine_ran_holds_nothing_old(lab: Lab) -> None:
    lead = Actor(lab)
    lab.start(CONFIG)
    killed = lab.kill_engine()
    # Recordings that are played bear the times of their making.
    lead.write(directive("echo meanwhile"), time="2026-01-01T00:00:00Z")
    restarted(lab, killed)
    until(lambda: tasks(lab) == ["echo meanwhile"], "it runs")


def test_what_is_added_to_the_session_of_an_agent_that_has_ended_is_not_its_own(shell: Lab) -> None:
    actor = Actor(shell)
    shell.start(CONFIG)
    begin(shell, "claude", 1)
    actor.both(directive("echo one"))
    until(lambda: tasks(shell) == ["echo one"], "the first")
    end(shell)
    shell.wait_told("LISTENING", "no agent")
    killed = shell.kill_engine()
    actor.write(directive("touch others"))
    restarted(shell, killed)
    shell.wait_told("LISTENING", "again, after the engine was restarted")
    begin(shell, "claude", 2)
    actor.session = str(uuid.uuid4())
    say_and_wait(shell, actor, "echo one", "echo two")


def test_what_one_agent_showed_last_asks_when_another_has_the_pane(shell: Lab) -> None:
    actor = Actor(shell)
    shell.start(CONFIG)
    begin(shell, "claude", 1)
    wait_look()
    actor.draw(directive("touch whose"))
    until(lambda: "touch whose" in actor.state(), "it waits for a file")
    end(shell)
    begin(shell, "codex", 2)
    until(lambda: asking(shell) == ["touch whose"], "it asks")
    assert tasks(shell) == []


def test_two_agents_in_a_row_may_say_the_same(shell: Lab) -> None:
    actor = Actor(shell)
    shell.start(CONFIG)
    begin(shell, "claude", 1)
    wait_look()
    actor.draw(directive("echo same"))
    until(lambda: tasks(shell) == ["echo same"], "the screen alone is believed")
    end(shell)
    begin(shell, "codex", 2)
    write_codex(shell, directive("echo same"))
    until(lambda: tasks(shell) == ["echo same"] * 2, "it is said by another agent")


def test_what_a_doubtful_file_said_is_not_forgotten_by_a_restart(lab: Lab) -> None:
    lead = Actor(lab)
    lab.start(CONFIG)
    other = other_window(lab)
    other.write("I work on something else.")
    lead.draw("Something that makes the engine look.")
    wait_look()
    lead.write(directive("echo exact"))
    lead.draw("Something that makes the engine read.")
    wait_look()
    restarted(lab, lab.kill_engine())
    lab.wait_told("LISTENING", "again, after the engine was restarted")
    lead.draw(directive("echo exact"))
    until(lambda: tasks(lab) == ["echo exact"], "it runs")
    assert [row.source for row in taken(lab)] == ["transcript"]


def test_a_question_of_the_screen_is_answered_by_the_file_that_comes_to_say_it(lab: Lab) -> None:
    lead = Actor(lab)
    lab.start(CONFIG)
    say_and_wait(lab, lead, "echo one")
    lead.draw(directive("echo late"))
    until(lambda: tasks(lab, "asking") == ["echo late"], "it asks")
    lead.write(directive("echo late"))
    until(lambda: tasks(lab) == ["echo one", "echo late"], "its exact text runs")
    assert not asking(lab)
    assert tasks(lab, "ignored") == ["echo late"]


def test_what_an_earlier_agent_showed_is_no_news_to_an_engine_that_takes_over(shell: Lab) -> None:
    actor = Actor(shell)
    shell.start(CONFIG)
    begin(shell, "claude", 1)
    wait_look()
    actor.draw(directive("echo seen"))
    until(lambda: tasks(shell) == ["echo seen"], "the screen alone is believed")
    killed = shell.kill_engine()
    end(shell)
    shell.type("claude")
    until(lambda: len(pids(shell)) == 2, "another one runs")
    restarted(shell, killed)
    shell.wait_told("LISTENING", "again, after the engine was restarted")
    say_and_wait(shell, actor, "echo seen", "echo new")
    assert not asking(shell)
