"""How agents name the folders of their sessions, where new ones appear, and what their first lines tell."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch import process
from aiorch.capture.transcript import find as finding
from aiorch.capture.transcript.locate import files
from aiorch.capture.transcript.locate.gemini import project_hash, project_name
from aiorch.capture.transcript.locate.lead import identity, is_agent
from aiorch.capture.transcript.locate.projects import folder_name, folder_names
from aiorch.workers.profile import recognise
from aiorch.workers.profile_file import load_profiles
from support.lab import Lab, until
from support.sessions import first, new_id, path_of, write
from support.standin import StandIn

# Whatever a file system holds, which is bytes.
PATHS = st.binary(min_size=1).map(lambda name: "/" + os.fsdecode(name.replace(b"\0", b"")))


def test_folder_name_as_real_agents_write_it() -> None:
    assert folder_name("/tmp/prö j_𝒳.x") == "-tmp-pr--j----x"
    assert folder_names(["/o\u0308"]) == ["--", "-o-"]


@given(PATHS)
def test_folder_name_is_one_plain_name_of_the_paths_length(path: str) -> None:
    name = folder_name(path)
    assert name.isascii()
    assert set(name) <= {"-"} | {letter for letter in path if letter.isalnum()}
    assert len(name) == len(path.encode("utf-16-le", "surrogatepass")) // 2
    assert folder_name(name) == name
    assert name in folder_names([path])


@given(PATHS)
def test_gemini_name_is_one_plain_name(path: str) -> None:
    name = project_name(path)
    assert files.is_session(name) or len(name) > 128
    assert name == project_name(f"/{name}")
    assert len(project_hash(path)) == 64


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a/My Project_2", "my-project-2"), ("/a/--x--", "x"), ("/a/дом", "project"), ("/", "project")],
)
def test_gemini_name_as_the_program_makes_it(path: str, name: str) -> None:
    assert project_name(path) == name


@given(st.text(), st.text(), st.text(), st.integers(0, 400))
def test_first_string_is_the_value_of_the_key_or_nothing(
    before: str, value: str, after: str, cut: int
) -> None:
    hostile = f'"cwd": "{before}", \\"cwd\\":"x'
    text = json.dumps({"a": hostile, hostile: [before], "cwd": value, "z": {"cwd": after}})
    assert files.first_string(text, "cwd") == value
    assert files.first_string(text[:cut], "cwd") in (None, value)


@given(st.text())
def test_first_string_takes_any_text(text: str) -> None:
    assert files.first_string(text, "cwd") is None or "cwd" in text
    assert files.first_time(text) is None or text


@given(st.text(min_size=1))
def test_names_of_sessions_never_leave_their_folder(name: str) -> None:
    if files.is_session(name):
        assert Path("/base", f"{name}.jsonl").parent == Path("/base")
        assert not Path(name).is_absolute()
        assert name not in (".", "..")


@pytest.mark.parametrize(
    ("argv", "run"),
    [
        (("claude",), "claude"),
        (("/usr/bin/node", "/x/bin/gemini", "-m", "x"), "/x/bin/gemini"),
        (("node", "--expose-gc", "/x/cli.js"), "/x/cli.js"),
        (("python3.12", "-m", "aider"), "aider"),
        (("claude --resume x",), "claude"),
        (("node", "--require", "/x/hook.js", "/x/cli.js"), "/x/cli.js"),
        (("-bash",), None),
        (("sh", "-c", "claude"), None),
        ((), None),
        (("",), None),
    ],
)
def test_what_a_command_line_runs(argv: tuple[str, ...], run: str | None) -> None:
    assert identity(argv) == ((run,) if run else ())


@pytest.mark.parametrize(
    ("name", "argv", "is_one"),
    [
        ("claude", ("claude", "-p", "x"), True),
        ("claude", ("/opt/claude.exe",), True),
        ("claude", ("node", "/x/node_modules/@anthropic-ai/claude-code/cli.js"), True),
        ("qwen", ("node", "/x/node_modules/@qwen-code/qwen-code/cli.js"), True),
        ("copilot", ("/x/node_modules/@github/copilot-linux-x64/index",), True),
        ("aider", ("/venv/bin/python", "-m", "aider"), True),
        ("claude", ("vim", "claude"), False),
        ("claude", ("node", "/home/claude/server.js"), False),
        ("claude", ("/home/u/claude-monitor",), False),
    ],
)
def test_which_command_lines_are_another_agent(name: str, argv: tuple[str, ...], is_one: bool) -> None:
    assert is_agent(name, argv) is is_one


@pytest.mark.parametrize("format", ["claude", "codex", "copilot", "gemini", "opencode", "qwen"])
def test_places_lead_to_the_session_step_by_step(format: str, tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    with StandIn(format, home, project) as agent:
        path = path_of(agent, new_id())
        assert agent.places() == [home]
        for folder in reversed([path.parent, *path.parent.parents]):
            if folder.is_relative_to(home) and folder != home:
                folder.mkdir()
                assert folder in agent.places()


def test_places_are_in_the_directory_for_aider(tmp_path: Path) -> None:
    with StandIn("aider", tmp_path, tmp_path) as agent:
        assert agent.places() == [tmp_path]


def test_agent_in_a_real_pane_as_the_engine_sees_it(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "claude"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho ready\nwhile read -r file text; do echo "$text" >>"$file"; echo wrote; done\n'
    )
    program.chmod(0o755)
    with Lab(tmp_path, primary=("sh", "-c", "claude; sleep 60")) as lab:
        until(lambda: "ready" in lab.tmux("capture-pane", "-p", "-t", "m:"), "the stand-in")
        pane = int(lab.tmux("display-message", "-p", "-t", "m:", "#{pane_pid}"))
        profiles = load_profiles(None)
        pid = next(one.pid for one in process.tree(pane) if recognise(profiles, [one.argv]))
        cwd, environment = process.working_directory(pid), process.environment(pid)
        assert cwd is not None
        assert finding.find("claude", pid, cwd, environment) == []
        path = Path(environment["HOME"], ".claude/projects", folder_name(cwd), f"{new_id()}.jsonl")
        path.parent.mkdir(parents=True)
        record = json.dumps(first("claude", new_id(), "/srv/w/elsewhere")).replace(" ", "")
        lab.tmux("send-keys", "-t", "m:", "-l", f"{path} {record}")
        lab.tmux("send-keys", "-t", "m:", "Enter")
        found = until(lambda: finding.find("claude", pid, cwd, environment), "the session")
        assert [(one.path, one.certain) for one in found] == [(path, True)]


def test_process_table(tmp_path: Path) -> None:
    before = time.time()
    with StandIn("claude", tmp_path, tmp_path, launches=True) as agent:
        began = process.started(agent.pid)
        assert began is not None
        assert before - 0.1 < began < time.time() + 0.1
        assert process.started(agent.writer) is not None
        assert [one.pid for one in process.family(agent.pid)] == [agent.pid, agent.writer]
        assert process.parent(agent.writer) == agent.pid
        assert os.getpid() not in [one.pid for one in process.family(agent.pid)]
        path = write(agent, new_id())
        agent.hold(path)
        assert str(path) in process.written_files(agent.writer)
        found = dict(process.working_directories() or [])
        assert found[agent.pid] == found[agent.writer] == str(tmp_path)
        assert "claude" in process.command_line(agent.pid)[1]
    assert process.started(agent.pid) is None
    assert process.family(agent.pid) == []
    assert process.written_files(agent.pid) == []
    assert process.command_line(agent.pid) == ()
    assert process.parent(agent.pid) is None
