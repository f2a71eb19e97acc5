"""Finding the session file of a live process: by its directory, by time, and by who else is there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from aiorch.capture.transcript import find as finding
from aiorch.capture.transcript.locate import judge
from support.lab import until
from support.sessions import age, first, new_id, path_of, rows, stamp, write
from support.standin import StandIn

FORMATS = ("aider", "claude", "codex", "copilot", "gemini", "opencode", "qwen")
TELL_DIRECTORY = ("codex", "copilot", "opencode")
FILE_EACH = tuple(name for name in FORMATS if name not in ("aider", "opencode"))
LONG_AGO = "2020-01-02T03:04:05.678Z"


def settled(home: Path) -> None:
    """Wait until the clock of file times (4 to 10 ms a tick) goes on, so that an order is seen in it."""
    probe = home.parent / "probe"
    probe.write_text("")
    first_time = probe.stat().st_mtime_ns

    def goes_on() -> bool:
        probe.write_text("")
        return probe.stat().st_mtime_ns > first_time

    until(goes_on, "the clock goes on")


@pytest.mark.parametrize("format", FORMATS)
def test_session_is_found_once_the_agent_writes_it(format: str, home: Path, project: Path) -> None:
    session = new_id()
    with StandIn(format, home, project) as agent:
        assert agent.find() == []
        path = write(agent, session)
        [found] = agent.find()
        assert (found.format, found.path, found.certain) == (format, path, True), found
        assert found.session == (session if format == "opencode" else "")
        assert path.parent in agent.places()


@pytest.mark.parametrize("format", FORMATS)
def test_old_session_is_not_the_agents_until_it_is_written_again(
    format: str, home: Path, project: Path
) -> None:
    session, past = new_id(), time.time() - 3600
    with StandIn(format, home, project) as before:
        path = write(before, session)
        if format == "opencode":
            before.sql(path, *rows(session, str(project), past, past))
            before.sql(
                path, ("UPDATE session SET time_created = ?, time_updated = ?", [past * 1000, past * 1000])
            )
    age(path)
    with StandIn(format, home, project) as agent:
        assert agent.find() == []
        write(agent, session)
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


@pytest.mark.parametrize("format", FORMATS)
def test_file_of_the_agent_that_was_in_the_pane_before_is_never_taken_for_sure(
    format: str, home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as before:
        old = new_id()
        path = write(before, old)
        if format == "opencode":
            before.sql(path, *rows(old, str(project), updated=time.time() - 1))
    age(path, 1)
    with StandIn(format, home, project) as agent:
        assert not any(found.certain for found in agent.find())
        session = new_id()
        path = write(agent, session)
        [found] = agent.find()
        assert (found.path, found.certain) == (path, True), found
        assert found.session in ("", session)


@pytest.mark.parametrize("format", FORMATS)
def test_two_agents_in_a_directory_are_not_told_apart_by_guessing(
    format: str, home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as one, StandIn(format, home, project) as two:
        write(one, new_id())
        settled(home)
        write(two, new_id())
        for agent in (one, two):
            found = agent.find()
            assert found
            assert not any(one.certain for one in found)
            assert len(found) == (1 if format == "aider" else 2)
            assert "another agent" in found[0].how


@pytest.mark.parametrize("format", FORMATS)
def test_agents_in_other_directories_or_of_other_homes_do_not_count(
    format: str, home: Path, project: Path, tmp_path: Path
) -> None:
    beside, other_home = tmp_path / "beside", tmp_path / "other" / "home"
    beside.mkdir()
    other_home.mkdir(parents=True)
    directory = beside if format == "aider" else project
    with (
        StandIn(format, home, project) as agent,
        StandIn(format, home, beside) as elsewhere,
        StandIn(format, other_home, directory) as other,
    ):
        write(elsewhere, new_id())
        write(other, new_id())
        path = write(agent, new_id())
        [found] = agent.find()
        assert (found.path, found.certain) == (path, True), found


@pytest.mark.parametrize("format", FORMATS)
def test_session_of_a_directory_that_is_not_there_is_taken_when_nothing_else_is(
    format: str, home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as agent:
        if format == "opencode":
            # A database that was copied has times of long ago.
            path = agent.sql(path_of(agent, ""), *rows("ses_1", "/srv/none/such", 1e9, 1e9))
        else:
            path = write(agent, new_id(), "/srv/none/such", LONG_AGO)
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


@pytest.mark.parametrize("format", TELL_DIRECTORY)
def test_session_of_another_directory_is_not_the_agents(
    format: str, home: Path, project: Path, tmp_path: Path
) -> None:
    with StandIn(format, home, project) as agent:
        write(agent, new_id(), str(tmp_path))
        assert agent.find() == []


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "aider"])
def test_newest_of_several_is_only_a_guess_later_on(
    format: str, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "FRESH", -1.0)
    with StandIn(format, home, project) as agent:
        write(agent, new_id())
        settled(home)
        last = new_id()
        path = write(agent, last)
        found = agent.find()
        assert [one.certain for one in found] == [False, False]
        assert found[0].path == path
        assert found[0].session in ("", last)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "aider"])
def test_session_begun_by_the_agent_wins_over_older_ones(
    format: str, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "FRESH", -1.0)
    with StandIn(format, home, project) as agent:
        past = time.time() - 3600
        old = new_id()
        if format == "opencode":
            agent.sql(path_of(agent, old), *rows(old, str(project), past))
        else:
            agent.append(
                path_of(agent, old),
                first(format, old, str(project), stamp(past)),
                {"timestamp": stamp()},
            )
        assert [found.certain for found in agent.find()] == [True]
        settled(home)
        session = new_id()
        path = write(agent, session)
        [found] = agent.find()
        assert (found.path, found.certain) == (path, True)
        assert found.session in ("", session)
        settled(home)
        # The older one is gone on with: which one counts now cannot be told.
        write(agent, old)
        assert [found.certain for found in agent.find()] == [False, False]


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "aider"])
def test_session_that_begins_while_nobody_else_is_there_is_the_agents(
    format: str, home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as agent:
        write(agent, new_id())
        settled(home)
        session = new_id()
        path = write(agent, session)
        sure, *rest = agent.find()
        assert (sure.path, sure.certain) == (path, True)
        assert sure.session in ("", session)
        assert [found.certain for found in rest] == [False]
        with StandIn(format, home, project):
            assert [found.certain for found in agent.find()] == [False, False]


def test_clear_begins_a_session_in_the_running_agent(home: Path, project: Path) -> None:
    with StandIn("claude", home, project) as agent:
        write(agent, new_id(), time=LONG_AGO)
        settled(home)
        cleared = {"content": "<command-name>/clear</command-name>"}
        path = write(agent, new_id(), time=LONG_AGO, message=cleared)
        found = agent.find()
        assert [(one.path == path, one.certain) for one in found] == [(True, True), (False, False)]


@pytest.mark.parametrize(
    ("format", "more"),
    [
        ("claude", {"isSidechain": True}),
        ("codex", {"source": {"subagent": "review"}}),
        ("codex", {"thread_source": "subagent"}),
        ("gemini", {"kind": "subagent"}),
    ],
)
def test_sessions_of_subagents_do_not_count(
    format: str, more: dict[str, Any], home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as agent:
        write(agent, new_id(), **more)
        assert agent.find() == []


def test_claude_files_of_subagents_do_not_count(home: Path, project: Path) -> None:
    with StandIn("claude", home, project) as agent:
        agent.append(path_of(agent, f"agent-{new_id()}"), first("claude", new_id(), str(project)))
        assert agent.find() == []


@pytest.mark.parametrize(
    ("format", "more"), [("claude", {"entrypoint": "sdk-cli"}), ("codex", {"source": "exec"})]
)
def test_runs_without_a_terminal_come_after_those_with_one(
    format: str, more: dict[str, Any], home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as agent:
        path = write(agent, new_id())
        settled(home)
        write(agent, new_id(), **more)
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


@pytest.mark.parametrize("format", ["claude", "codex"])
def test_run_without_a_terminal_is_found_when_it_is_the_only_one(
    format: str, home: Path, project: Path
) -> None:
    with StandIn(format, home, project, {"claude": "-p", "codex": "exec"}[format]) as agent:
        path = write(
            agent, new_id(), **{"claude": {"entrypoint": "sdk-cli"}, "codex": {"source": "exec"}}[format]
        )
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


def test_directories_whose_folder_is_the_same_are_told_apart(home: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "a-b", tmp_path / "a" / "b"
    one.mkdir()
    two.mkdir(parents=True)
    with StandIn("claude", home, one) as first_agent, StandIn("claude", home, two) as second:
        paths = [write(agent, new_id()) for agent in (first_agent, second)]
        assert paths[0].parent == paths[1].parent
        assert [agent.find()[0].path for agent in (first_agent, second)] == paths
        assert all(agent.find()[0].certain for agent in (first_agent, second))


def test_directory_reached_through_a_link(home: Path, project: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(project)
    with StandIn("opencode", home, link, env={"PWD": str(link)}) as agent:
        path = agent.sql(path_of(agent, ""), *rows("ses_1", str(link)))
        found = finding.find("opencode", agent.pid, str(link), agent.environment, None)
        assert [(one.path, one.session, one.certain) for one in found] == [(path, "ses_1", True)]


@pytest.mark.parametrize("format", FORMATS)
def test_agents_below_the_directory_do_not_count(format: str, home: Path, project: Path) -> None:
    worker = project / "worker"
    (worker / ".git").mkdir(parents=True)
    with StandIn(format, home, project) as agent, StandIn(format, home, worker) as other:
        path = write(agent, new_id())
        write(other, new_id())
        for one in (agent, other):
            assert [found.certain for found in one.find()] == [True]
        assert agent.find()[0].path == path


@pytest.mark.parametrize("format", FORMATS)
def test_agents_that_reach_one_home_in_two_ways_are_in_each_others_way(
    format: str, home: Path, project: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link" / "home"
    link.parent.mkdir()
    link.symlink_to(home)
    with StandIn(format, home, project) as one, StandIn(format, link, project) as two:
        write(one, new_id())
        assert [found.certain for found in [*one.find(), *two.find()]] == [False, False]
