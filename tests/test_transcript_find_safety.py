"""Finding a session file among what is no session: links, pipes, odd names, homes that are of no use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from aiorch import process
from aiorch.capture.transcript import find as finding
from support.sessions import age, first, new_id, path_of, write
from support.standin import StandIn

FORMATS = ("aider", "claude", "codex", "copilot", "gemini", "opencode", "qwen")
FILE_EACH = tuple(name for name in FORMATS if name not in ("aider", "opencode"))
LONG_AGO = "2020-01-02T03:04:05.678Z"


@pytest.mark.parametrize("format", FORMATS)
def test_home_and_what_is_in_it_may_be_links(format: str, home: Path, project: Path, tmp_path: Path) -> None:
    link, real = tmp_path / "linked", tmp_path / "disk"
    link.symlink_to(home)
    real.mkdir()
    for name in (".claude", ".codex", ".copilot", ".gemini", ".qwen"):
        (real / name).mkdir()
        (home / name).symlink_to(real / name)
    with StandIn(format, link, project) as agent:
        path = write(agent, new_id())
        assert [(found.path, found.certain) for found in agent.find()] == [(path.resolve(), True)]


@pytest.mark.parametrize("format", FILE_EACH)
def test_only_plain_files_count(format: str, home: Path, project: Path, tmp_path: Path) -> None:
    with StandIn(format, home, project) as agent:
        secret = agent.append(tmp_path / "secret.jsonl", first(format, new_id(), str(project)))
        paths = [path_of(agent, new_id()) for _ in range(3)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        paths[0].symlink_to(secret)
        os.mkfifo(paths[1])
        paths[2].mkdir()
        assert agent.find() == []
        kept = write(agent, new_id())
        assert [found.path for found in agent.find()] == [kept]


@pytest.mark.parametrize("format", FILE_EACH)
def test_folder_that_is_a_link_elsewhere_is_not_followed(
    format: str, home: Path, project: Path, tmp_path: Path
) -> None:
    with StandIn(format, home, project) as agent:
        folder = path_of(agent, new_id()).parent
        path = agent.append(tmp_path / "elsewhere" / path_of(agent, new_id()).name, "{}\n")
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(path.parent)
        assert agent.find() == []


@pytest.mark.parametrize("format", ["claude", "codex", "copilot", "gemini", "qwen"])
def test_project_folder_that_is_a_link_elsewhere_is_not_followed(
    format: str, home: Path, project: Path, tmp_path: Path
) -> None:
    with StandIn(format, home, project) as agent:
        path = path_of(agent, new_id())
        folder = path.parent.parent if format in ("gemini", "qwen") else path.parent
        elsewhere = tmp_path / "elsewhere"
        agent.append(elsewhere / path.relative_to(folder), first(format, "x", str(project)))
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(elsewhere)
        assert agent.find() == []


@pytest.mark.parametrize("format", ["claude", "codex", "copilot", "qwen"])
@pytest.mark.parametrize(
    "directory", ["\ud800", "/\ud800", "/" + "x" * 5000, "/\0", "relative", "", "/proc/1/root/x"]
)
def test_recorded_directories_that_make_no_sense_say_nothing(
    format: str, directory: str, home: Path, project: Path
) -> None:
    with StandIn(format, home, project) as agent:
        path = path_of(agent, new_id())
        agent.append(path, first(format, new_id(), directory))
        assert [(found.path, found.certain) for found in agent.find()] == [(path, True)]


@pytest.mark.parametrize("format", FORMATS)
def test_directory_whose_name_is_no_text(format: str, home: Path, tmp_path: Path) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    place.mkdir()
    with StandIn(format, home, place) as agent:
        assert agent.find() == []
        assert agent.places()
        if format in ("claude", "qwen"):
            path = path_of(agent, new_id())
            agent.append(path, {"type": "user"})
            assert [found.path for found in agent.find()] == [path]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("broken", ["missing", "file", "unset", "relative", "unreadable"])
def test_home_that_is_of_no_use_gives_nothing(format: str, broken: str, home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with StandIn(format, home, place) as agent:
        there = tmp_path / "nothing" / "there"
        if broken == "file":
            there = tmp_path / "file"
            there.write_text("")
        if broken == "unreadable":
            there.mkdir(parents=True)
            there.chmod(0)
        environment = {**agent.environment, "HOME": {"relative": "here"}.get(broken, str(there))}
        if broken == "unset":
            del environment["HOME"]
            environment["XDG_DATA_HOME"] = environment["CLAUDE_CONFIG_DIR"] = str(there)
            environment |= {"CODEX_HOME": str(there), "COPILOT_HOME": str(there), "QWEN_HOME": str(there)}
            environment["GEMINI_CLI_HOME"] = str(there)
        if broken != "relative":
            assert finding.find(format, agent.pid, str(place), environment, None) == []
        assert all(
            path.is_dir() for path in finding.places(format, agent.pid, str(place), environment).values()
        )


def test_process_that_is_gone_and_format_nobody_knows(home: Path, project: Path) -> None:
    with StandIn("claude", home, project) as agent:
        write(agent, new_id())
        assert finding.find("nobody", agent.pid, str(project), agent.environment, None) == []
        assert finding.places("nobody", agent.pid, str(project), agent.environment) == {}
    assert agent.find() == [] if process.working_directory(agent.pid) else True
    assert finding.find("claude", agent.pid, str(project), agent.environment, None) == []


@pytest.mark.parametrize("format", FORMATS)
def test_where_the_process_table_tells_little_nothing_is_certain(
    format: str, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandIn(format, home, project) as agent:
        path = write(agent, new_id())
        for name in ("start_ticks", "working_directories"):
            with monkeypatch.context() as patch:
                patch.setattr(process, name, lambda *_: None)
                assert [(found.path, found.certain) for found in agent.find()] == [(path, False)]


def test_agent_in_a_container_has_no_file_here(home: Path, project: Path) -> None:
    command = 'mount -t tmpfs none "$HOME" && exec "$@"'
    inside = ("unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", command, "sh")
    probe = subprocess.run(
        [*inside, "true"], env={**os.environ, "HOME": str(home)}, capture_output=True, check=False
    )
    if shutil.which("unshare") is None or probe.returncode:
        pytest.skip("NOT TESTED: no user namespaces here")
    with StandIn("claude", home, project, before=inside) as agent:
        path = path_of(agent, new_id())
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(first("claude", new_id(), str(project))) + "\n")
        assert agent.find() == []


def test_hundreds_of_sessions_are_looked_through_quickly(home: Path, project: Path) -> None:
    for format in ("claude", "codex", "gemini", "copilot", "qwen"):
        with StandIn(format, home, project) as agent:
            for _ in range(300):
                path = path_of(agent, new_id())
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(first(format, "x", str(project), LONG_AGO)))
                age(path)
            spent = []
            for _ in range(7):
                begun = time.perf_counter()
                assert agent.find() == []
                spent.append(time.perf_counter() - begun)
            # 2 to 4 ms on an idle machine; others may be working on this one.
            assert min(spent) < 0.02, (format, spent)
