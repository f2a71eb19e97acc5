"""Sessions that something names: the agent's own register, an open file, the command line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aiorch import process
from aiorch.capture.transcript.locate.gemini import project_hash
from aiorch.capture.transcript.locate.projects import folder_name
from support.sessions import first, new_id, path_of, rows, stamp, write
from support.standin import StandIn

HOSTILE = ["../../secret", "/etc/passwd", "..", ".", "", "a/b", "a\0b", "x" * 200, 7, None, ["a"], "agent\n"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


class Case(NamedTuple):
    """A variable of the environment, and where a session is because of it."""

    format: str
    variable: str
    value: str
    path: str


def register(agent: StandIn, session: object, pid: int = 0, **more: Any) -> Path:
    """Let an agent enter itself into its register, as Claude Code 2.1.330 and Qwen Code 0.24.4 do."""
    pid = pid or agent.writer
    record = {
        "pid": pid,
        "sessionId": session,
        "cwd": str(agent.cwd),
        "procStart": str(process.start_ticks(pid)),
    }
    path = agent.home / f".{agent.format}" / "sessions" / f"{pid}.json"
    path.unlink(missing_ok=True)
    return agent.append(path, {**record, **more})


@pytest.mark.parametrize("format", ["claude", "qwen"])
def test_registered_session_is_certain_whoever_else_is_there(format: str, home: Path, project: Path) -> None:
    with StandIn(format, home, project) as one, StandIn(format, home, project) as two:
        paths = {}
        for agent in (one, two):
            session = new_id()
            register(agent, session)
            assert agent.find() == []
            paths[agent] = write(agent, session)
        for agent, path in paths.items():
            [found] = agent.find()
            assert (found.path, found.certain) == (path, True)
            assert "register" in found.how


@pytest.mark.parametrize("format", ["claude", "qwen"])
def test_what_another_agent_has_registered_is_not_ours(format: str, home: Path, project: Path) -> None:
    with StandIn(format, home, project) as one, StandIn(format, home, project) as two:
        session = new_id()
        register(two, session)
        write(two, session)
        assert one.find() == []
        path = write(one, new_id())
        assert [(found.path, found.certain) for found in one.find()] == [(path, True)]


@pytest.mark.parametrize("format", ["claude", "qwen"])
def test_register_of_the_process_that_the_launcher_started(format: str, home: Path, project: Path) -> None:
    with StandIn(format, home, project, launches=True) as agent:
        assert agent.writer != agent.pid
        session = new_id()
        register(agent, session)
        path = write(agent, session)
        write(agent, new_id())
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


@pytest.mark.parametrize("format", ["claude", "codex", "copilot", "gemini", "opencode", "qwen"])
def test_launcher_and_what_it_launched_are_one_agent(format: str, home: Path, project: Path) -> None:
    with StandIn(format, home, project, launches=True) as agent:
        path = write(agent, new_id())
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


def test_register_follows_clear_and_a_change_of_directory(home: Path, project: Path, tmp_path: Path) -> None:
    with StandIn("claude", home, project) as agent:
        for session in (new_id(), new_id()):
            register(agent, session)
            path = write(agent, session)
            assert [found.path for found in agent.find()] == [path]
        session = new_id()
        register(agent, session, cwd=str(tmp_path / "tree"))
        assert agent.find() == []
        path = agent.append(path_of(agent, session, str(tmp_path / "tree")), first("claude", session, "/"))
        assert [found.path for found in agent.find()] == [path]


def test_register_finds_a_session_in_a_folder_of_another_name(home: Path, project: Path) -> None:
    with StandIn("claude", home, project) as agent:
        session = new_id()
        register(agent, session)
        path = agent.append(home / ".claude/projects/given-by-hand" / f"{session}.jsonl", {"type": "user"})
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


@pytest.mark.parametrize("format", ["claude", "qwen"])
@pytest.mark.parametrize("broken", [{"procStart": "1"}, {"procStart": None}, {"pid": 1}, {"sessionId": None}])
def test_register_that_speaks_of_another_process_is_not_believed(
    format: str, broken: dict[str, Any], home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as agent:
        session = new_id()
        write(agent, session, time=stamp(time.time() - 5))
        path = write(agent, new_id())
        register(agent, session, **broken)
        assert [found.path for found in agent.find() if found.certain] == [path]


@pytest.mark.parametrize("format", ["claude", "qwen"])
@pytest.mark.parametrize("session", HOSTILE)
def test_register_cannot_lead_out_of_the_sessions(
    format: str, session: object, home: Path, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.jsonl").write_text("{}\n")
    (home / "secret.jsonl").write_text("{}\n")
    with StandIn(format, home, project) as agent:
        path_of(agent, "x").parent.mkdir(parents=True)
        register(agent, session, cwd="/../../..")
        assert agent.find() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": {}}', "[" * 100_000, "\xff" * 50])
def test_register_that_is_no_record(text: str, home: Path, project: Path) -> None:
    with StandIn("claude", home, project) as agent:
        agent.append(home / f".claude/sessions/{agent.pid}.json", text)
        path = write(agent, new_id())
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


def test_keys_beside_the_register_are_never_opened(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real_open = os.open

    def noting(path: str, *rest: int) -> int:
        opened.append(str(path))
        return real_open(path, *rest)

    monkeypatch.setattr("os.open", noting)
    with StandIn("claude", home, project) as agent:
        agent.append(home / f".claude/sessions/{agent.pid}.0f.key", "token")
        register(agent, session := new_id())
        write(agent, session)
        assert agent.find()[0].certain
    assert opened
    assert not any(path.endswith(".key") for path in opened)


def test_codex_session_held_open_is_certain_whoever_else_is_there(home: Path, project: Path) -> None:
    with (
        StandIn("codex", home, project) as one,
        StandIn("codex", home, project, launches=True) as two,
        StandIn("codex", home, project) as three,
    ):
        for agent in (one, two):
            session = new_id()
            agent.hold(home / f".codex/thread-writer-locks/{session}.lock")
            assert agent.find() == []
            path = write(agent, session)
            agent.hold(path)
            [found] = agent.find()
            assert (found.path, found.certain, found.how) == (path, True, "held open by the agent")
        # Both others are accounted for, so what is left is the third one's.
        path = write(three, new_id())
        assert [(found.path, found.certain) for found in three.find()] == [(path, True)]


def test_codex_subagent_held_open_is_not_the_session(home: Path, project: Path) -> None:
    with StandIn("codex", home, project) as agent:
        main, side = new_id(), new_id()
        agent.hold(write(agent, main))
        agent.hold(write(agent, side, source={"subagent": "review"}))
        assert [(found.path, found.certain) for found in agent.find()] == [(path_of(agent, main), True)]


def test_files_held_open_elsewhere_say_nothing(home: Path, project: Path, tmp_path: Path) -> None:
    with StandIn("codex", home, project) as agent:
        agent.hold(tmp_path / f"rollout-{new_id()}.jsonl")
        assert agent.find() == []


def test_copilot_session_marked_as_in_use(home: Path, project: Path) -> None:
    with (
        StandIn("copilot", home, project) as one,
        StandIn("copilot", home, project, launches=True) as two,
        StandIn("copilot", home, project) as three,
    ):
        for agent in (one, two):
            session = new_id()
            folder = path_of(agent, session).parent
            agent.append(folder / f"inuse.{agent.writer}.lock", str(agent.writer))
            agent.hold(folder / f"inuse.{agent.writer}.hold")
            assert agent.find() == []
            assert folder in agent.places()
            path = write(agent, session)
            [found] = agent.find()
            assert (found.path, found.certain) == (path, True)
            assert "in use" in found.how
        assert three.find() == []


def test_copilot_note_of_a_process_that_ended_is_not_believed(home: Path, project: Path) -> None:
    with StandIn("copilot", home, project) as agent:
        agent.append(path_of(agent, new_id()).parent / f"inuse.{agent.pid}.lock", "1")
        path = write(agent, new_id())
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("claude", ["--resume", "{}"]),
        ("claude", ["--model", "x", "-r", "{}"]),
        ("claude", ["--resume={}"]),
        ("claude", ["--session-id", "{}"]),
        ("qwen", ["--resume", "{}"]),
        ("copilot", ["--resume={}"]),
        ("codex", ["resume", "{}"]),
        ("codex", ["-m", "x", "resume", "--last", "{}"]),
        ("gemini", ["--resume", "{}"]),
        ("opencode", ["--session", "{}"]),
        ("opencode", ["-s", "{}"]),
    ],
)
def test_session_that_the_command_line_names(
    format: str, words: list[str], home: Path, project: Path
) -> None:
    session = new_id()
    argv = [word.format(session) for word in words]
    with StandIn(format, home, project, *argv) as agent, StandIn(format, home, project) as other:
        path = write(agent, session)
        write(other, new_id())
        [found] = agent.find()
        assert (found.path, found.certain, found.how) == (path, True, "named on its command line")
        assert found.session == (session if format == "opencode" else "")
        assert not any(one.certain for one in other.find())


def test_forked_session_gets_another_name(home: Path, project: Path) -> None:
    session = new_id()
    argv = ["--resume", session, "--fork-session"]
    with StandIn("claude", home, project, *argv) as agent, StandIn("claude", home, project):
        write(agent, session)
        assert not agent.find()[0].certain


def test_named_session_that_was_left_for_another(home: Path, project: Path) -> None:
    session = new_id()
    with StandIn("qwen", home, project, "--resume", session) as agent:
        write(agent, session)
        path = write(agent, new_id())
        assert [(found.path == path, found.certain) for found in agent.find()] == [
            (True, True),
            (False, False),
        ]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_aider_file_under_another_name(way: str, home: Path, project: Path) -> None:
    words = ["--chat-history-file", "notes/chat.md"] if way == "option" else []
    env = {"AIDER_CHAT_HISTORY_FILE": str(project / "notes/chat.md")} if way == "variable" else {}
    with StandIn("aider", home, project, *words, env=env) as agent:
        write(agent, "")
        assert agent.find() == []
        assert agent.places() == [project]
        path = agent.append(project / "notes/chat.md", first("aider", "", ""))
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]
        assert agent.places() == [project / "notes"]


def test_aider_file_of_the_work_tree(home: Path, project: Path) -> None:
    (project / ".git").mkdir()
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    with StandIn("aider", home, below) as agent:
        path = agent.append(project / ".aider.chat.history.md", first("aider", "", ""))
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]
        with StandIn("aider", home, project / "src") as other:
            # Both write the one file of the work tree.
            assert [found.certain for found in [*agent.find(), *other.find()]] == [False, False]


def test_aider_file_that_is_a_link_out_of_the_project(home: Path, project: Path, tmp_path: Path) -> None:
    with StandIn("aider", home, project) as agent:
        target = agent.append(tmp_path / "chat.md", first("aider", "", ""))
        (project / ".aider.chat.history.md").symlink_to(target)
        assert agent.find() == []


@pytest.mark.parametrize("layout", ["registered", "marked", "hash", "taken", "foreign"])
def test_gemini_project_folders(layout: str, home: Path, project: Path, tmp_path: Path) -> None:
    root = home / ".gemini"
    name = {"registered": "some-name", "hash": project_hash(str(project)), "foreign": "of-nobody"}.get(
        layout, "project-1"
    )
    (root / "tmp" / "project" / "chats").mkdir(parents=True)
    (root / "tmp" / "project" / ".project_root").write_text(str(tmp_path))
    with StandIn("gemini", home, project) as agent:
        if layout == "registered":
            agent.append(root / "projects.json", {"projects": {str(project): name, "/x": "../../.."}})
        if layout in ("marked", "taken"):
            agent.append(root / "tmp" / name / ".project_root", f"{project}\n")
        wrong = agent.append(
            root / "tmp/project/chats/session-1-aaaaaaaa.jsonl", first("gemini", "x", str(tmp_path))
        )
        suffix = "json" if layout == "hash" else "jsonl"
        directory = "/srv/none/such" if layout == "foreign" else str(project)
        path = root / "tmp" / name / "chats" / f"session-2-bbbbbbbb.{suffix}"
        agent.append(path, first("gemini", "y", directory))
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]
        assert path.parent in agent.places()
        assert wrong.parent not in agent.places()


def test_variables_of_the_process_say_where_its_files_are(home: Path, project: Path, tmp_path: Path) -> None:
    name = folder_name(str(project))
    cases = [
        Case("claude", "CLAUDE_CONFIG_DIR", "{}/c", f"c/projects/{name}/s.jsonl"),
        Case("codex", "CODEX_HOME", "{}/x", "x/sessions/2026/01/02/rollout-1.jsonl"),
        Case("copilot", "COPILOT_HOME", "{}/p", "p/session-state/s/events.jsonl"),
        Case("gemini", "GEMINI_CLI_HOME", "{}/g", "g/.gemini/tmp/project/chats/session-1.jsonl"),
        Case("qwen", "QWEN_HOME", "{}/q", f"q/projects/{name}/chats/s.jsonl"),
        Case("qwen", "QWEN_RUNTIME_DIR", "~/r", f"home/r/projects/{name}/chats/s.jsonl"),
    ]
    for case in cases:
        env = {case.variable: case.value.format(tmp_path)}
        with StandIn(case.format, home, project, env=env) as agent:
            path = agent.append(tmp_path / case.path, first(case.format, "s", str(project)))
            assert [(found.path, found.certain) for found in agent.find()] == [(path, True)], case


def test_opencode_database_of_another_name(home: Path, project: Path, tmp_path: Path) -> None:
    for env, path in (
        ({}, home / ".local/share/opencode/opencode-dev.db"),
        ({"XDG_DATA_HOME": str(tmp_path / "d")}, tmp_path / "d/opencode/opencode.db"),
        ({"OPENCODE_DB": "mine.db"}, home / ".local/share/opencode/mine.db"),
        ({"OPENCODE_DB": str(tmp_path / "own.db")}, tmp_path / "own.db"),
    ):
        with StandIn("opencode", home, project, env=env) as agent:
            agent.sql(path, *rows(session := new_id(), str(project)))
            [found] = agent.find()
            assert (found.path, found.session, found.certain) == (path, session, True)


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\0" * 100])
def test_opencode_file_that_is_no_database(content: bytes, home: Path, project: Path) -> None:
    with StandIn("opencode", home, project) as agent:
        path = path_of(agent, "")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        assert agent.find() == []


def test_agent_by_the_path_of_its_package(home: Path, project: Path) -> None:
    script = "node_modules/@anthropic-ai/claude-code/cli.js"
    with (
        StandIn("claude", home, project, script=script) as one,
        StandIn("claude", home, project) as two,
    ):
        write(two, new_id())
        assert not one.find()[0].certain
        assert not two.find()[0].certain
        assert json.dumps([found.how for found in two.find()]).count("another agent") == 1
