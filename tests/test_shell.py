"""scripts/aiorch: the key's way, the launcher, and the popup that offers set-up; all with the real tmux."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client
from support.shell_server import REPO, Server, copy_plugin, run, wait_until

AIORCH = str(REPO / "scripts/aiorch")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def engine() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def inbox_of(root: Path) -> Path:
    inbox = root / "run" / "inbox"
    inbox.mkdir(parents=True)
    return inbox


def press(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return run([AIORCH, "key", *words], server.env)


def test_key_with_an_engine_alive_leaves_one_whole_request(
    server: Server, tmp_path: Path, engine: subprocess.Popen[bytes]
) -> None:
    inbox = inbox_of(tmp_path)
    done = press(
        server, "pane=%3", "client=/dev/pts/7", f"engine={engine.pid}", f"run={inbox.parent}", "@aiorch-1"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (request,) = inbox.iterdir()
    assert request.suffix == ".json"
    assert request.name[0] != "."
    assert request.stat().st_mode & 0o077 == 0
    assert json.loads(request.read_text()) == {"verb": "menu", "pane": "%3", "client": "/dev/pts/7"}


def test_key_pressed_by_a_client_reaches_the_engine_of_its_session(
    server: Server, tmp_path: Path, engine: subprocess.Popen[bytes]
) -> None:
    inbox = inbox_of(tmp_path / 'a run\'s [dir]; $(touch x) "q"')
    server.load()
    pane = server.tmux("display-message", "-p", "#{pane_id}")
    server.tmux(
        "set-option", "@aiorch_run", str(inbox.parent), ";", "set-option", "@aiorch_engine", str(engine.pid)
    )
    with Client(str(server.socket)) as client:
        client.wait_for("[0] 0:")
        tty = server.tmux("list-clients", "-F", "#{client_name}")
        server.press(client, "O")
        wait_until(lambda: any(inbox.glob("*.json")), "the request is there")
    (request,) = inbox.glob("*.json")
    assert json.loads(request.read_text()) == {"verb": "menu", "pane": pane, "client": tty}


@pytest.mark.skipif(
    not shutil.which("strace"), reason="strace is not installed: the key's cost is NOT checked"
)
def test_key_with_an_engine_alive_starts_nothing_but_mv(
    server: Server, tmp_path: Path, engine: subprocess.Popen[bytes]
) -> None:
    inbox = inbox_of(tmp_path)
    log = tmp_path / "strace"
    words = ["key", "pane=%3", "client=/dev/pts/7", f"engine={engine.pid}", f"run={inbox.parent}"]
    run(["strace", "-f", "-qq", "-e", "trace=execve", "-o", str(log), AIORCH, *words], server.env)
    started = [line.split('"')[1] for line in log.read_text().splitlines() if line.endswith("= 0")]
    assert [Path(path).name for path in started] == ["aiorch", "mv"]


@pytest.mark.parametrize(
    "words",
    [
        ["pane=3", "client=/dev/pts/7"],
        ["pane=%", "client=/dev/pts/7"],
        ['pane=%3", "verb": "stop', "client=/dev/pts/7"],
        ["pane=%3", 'client=/dev/pts/7", "x": "'],
        ["pane=%3", "client="],
        [],
    ],
)
def test_key_refuses_what_no_binding_sends(
    server: Server, tmp_path: Path, engine: subprocess.Popen[bytes], words: list[str]
) -> None:
    inbox = inbox_of(tmp_path)
    done = press(server, *words, f"engine={engine.pid}", f"run={inbox.parent}")
    assert done.returncode == 2
    assert list(inbox.iterdir()) == []


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def offers_set_up(server: Server, client: Client) -> None:
    server.press(client, "O")
    client.wait_for("Set it up now? [y/N")
    client.send("n\r")
    client.wait_for(lambda screen: "Set it up" not in screen)


@pytest.mark.parametrize("state", ["ended", "zombie", "no inbox", "not a number"])
def test_key_with_a_lost_engine_does_not_write_to_it(server: Server, tmp_path: Path, state: str) -> None:
    inbox = inbox_of(tmp_path)
    zombie = subprocess.Popen(["true"])
    wait_until(lambda: ") Z " in Path(f"/proc/{zombie.pid}/stat").read_text(), "the process is a zombie")
    pid = {"ended": dead_pid(), "zombie": zombie.pid, "no inbox": os.getpid(), "not a number": "1; touch x"}[
        state
    ]
    run_dir = tmp_path / "elsewhere" if state == "no inbox" else inbox.parent
    server.load()
    server.tmux("set-option", "@aiorch_run", str(run_dir), ";", "set-option", "@aiorch_engine", str(pid))
    with Client(str(server.socket)) as client:
        client.wait_for("[0] 0:")
        offers_set_up(server, client)
    zombie.wait()
    assert list(inbox.iterdir()) == []


def test_key_tells_when_the_start_fails(server: Server, tmp_path: Path) -> None:
    plugin = copy_plugin(tmp_path / "plugin")
    server.load(plugin)
    lock = (plugin / "python/requirements.lock").read_bytes()
    python = venv_dir(server.home, lock) / "bin/python"
    python.parent.mkdir(parents=True)
    # An interpreter that cannot start is what an upgrade of the system leaves behind.
    python.write_text("#!/bin/sh\necho '100% of #{pid} #(touch x)' >&2\nexit 1\n")
    python.chmod(0o755)
    with Client(str(server.socket)) as client:
        client.wait_for("[0] 0:")
        server.press(client, "O")
        client.wait_for("aiorch: 100% of #{pid} #(touch x)")


def venv_dir(home: Path, lock: bytes) -> Path:
    sums = subprocess.run(["cksum"], input=lock, capture_output=True, check=True).stdout.split()
    return home / f".local/share/aiorch/venv-{sums[0].decode()}-{sums[1].decode()}"


@pytest.mark.parametrize("words", [[], ["status"], ["start", "--pane", "%0"], ["--help"]])
def test_command_without_environment_names_the_installer(tmp_path: Path, words: list[str]) -> None:
    server = Server(tmp_path)
    done = run([AIORCH, *words], server.env)
    assert done.returncode == 3
    assert done.stderr == f"aiorch: the private Python environment is missing: run {REPO}/install.sh\n"


def fake_python(plugin: Path, data: Path) -> None:
    """Put a program that says its arguments where the environment's interpreter belongs."""
    lock = (plugin / "python/requirements.lock").read_bytes()
    python = data / "aiorch" / venv_dir(Path("/"), lock).name / "bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)


def test_command_hands_its_words_over_unchanged(tmp_path: Path) -> None:
    plugin = copy_plugin(tmp_path / "plug in")
    server = Server(tmp_path)
    fake_python(plugin, server.home / ".local/share")
    words = ["run", "two words", "", "it's; $(x) `y` *", "-n"]
    done = run([str(plugin / "scripts/aiorch"), *words], server.env)
    cache = f"pycache_prefix={server.home}/.cache/aiorch/pycache"
    assert done.stdout.split("\n") == ["-E", "-s", "-S", "-X", cache, str(plugin / "python"), *words, ""]


@pytest.mark.parametrize("link", ["absolute", "relative", "twice"])
def test_command_runs_through_links_and_from_path(tmp_path: Path, link: str) -> None:
    server = Server(tmp_path)
    fake_python(REPO, server.home / ".local/share")
    binary = tmp_path / "bin"
    binary.mkdir()
    target = binary / "one" if link == "twice" else binary / "aiorch"
    target.symlink_to(os.path.relpath(AIORCH, binary) if link == "relative" else AIORCH)
    if link == "twice":
        (binary / "aiorch").symlink_to("one")
    env = {**server.env, "PATH": f"{binary}:{server.env['PATH']}"}
    assert str(REPO / "python") in run(["aiorch", "status"], env, cwd="/").stdout.splitlines()


@pytest.mark.parametrize(("value", "used"), [("/x/../x", True), ("relative", False), ("", False)])
def test_xdg_directories_count_when_they_are_absolute(tmp_path: Path, value: str, used: bool) -> None:
    server = Server(tmp_path)
    data = str(tmp_path) + value if used else value
    fake_python(REPO, Path(data) if used else server.home / ".local/share")
    done = run([AIORCH, "status"], {**server.env, "XDG_DATA_HOME": data, "XDG_CACHE_HOME": data})
    cache = f"{data}/aiorch/pycache" if used else f"{server.home}/.cache/aiorch/pycache"
    assert f"pycache_prefix={cache}" in done.stdout.splitlines()


def test_popup_explains_and_a_no_changes_nothing(server: Server) -> None:
    server.load()
    with Client(str(server.socket), size=(80, 24)) as client:
        client.wait_for("[0] 0:")
        server.press(client, "O")
        screen = client.wait_for("Set it up now? [y/N")
        assert "its Python side is not set up yet" in screen
        assert f"{server.home}/.local/share/aiorch"[:40] in screen
        client.send("\r")
        client.wait_for(lambda screen: "Set it up" not in screen)
    assert list(server.home.iterdir()) == []


def test_popup_says_why_setting_up_failed_and_waits(tmp_path: Path) -> None:
    env = {"AIORCH_PYTHON": "/nonexistent/python3"}
    with Server(tmp_path, env) as server:
        server.load()
        with Client(str(server.socket)) as client:
            client.wait_for("[0] 0:")
            server.press(client, "O")
            client.wait_for("[y/N")
            client.send("y\r")
            screen = client.wait_for("Press Enter to close")
            # The sentence is wrapped inside the popup's frame.
            assert "/nonexistent/python3 does not run" in " ".join(screen.replace("│", "").split())
            client.send("\r")
            client.wait_for(lambda screen: "Press Enter" not in screen)


def test_uninstall_without_a_server_cleans_the_home_and_keeps_the_runs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in (
        ".local/share/aiorch/venv-1-2",
        ".cache/aiorch/pycache",
        ".local/state/aiorch/runs/r1",
        ".local/bin",
    ):
        (home / name).mkdir(parents=True)
    (home / ".local/bin/aiorch").symlink_to(AIORCH)
    env = {**Server(tmp_path).env, "TMUX_TMPDIR": str(tmp_path)}
    done = run([AIORCH, "uninstall"], env)
    assert (done.returncode, done.stderr) == (0, "")
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*"))
    assert [path for path in left if "aiorch" in path] == [
        ".local/state/aiorch",
        ".local/state/aiorch/runs",
        ".local/state/aiorch/runs/r1",
    ]
    assert f"{home}/.local/state/aiorch/runs" in done.stdout
    run([AIORCH, "uninstall", "--purge"], env)
    assert [path for path in home.rglob("*") if "aiorch" in path.name] == []


def test_uninstall_leaves_a_command_of_another_origin(tmp_path: Path) -> None:
    server = Server(tmp_path)
    other = server.home / ".local/bin/aiorch"
    other.parent.mkdir(parents=True)
    other.write_text("theirs")
    run([AIORCH, "uninstall"], {**server.env, "TMUX_TMPDIR": str(tmp_path)})
    assert other.read_text() == "theirs"


def test_uninstall_ends_an_engine_that_does_not_answer(server: Server) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as engine:
        server.load()
        server.tmux(
            "set-option", "@aiorch_engine", str(engine.pid), ";", "set-option", "@aiorch_run", "/nowhere"
        )
        run([AIORCH, "uninstall"], server.env)
        assert engine.wait(5) != 0
    assert "@aiorch" not in server.tmux("show-options")


def test_uninstall_refuses_words_it_does_not_know(server: Server) -> None:
    server.load()
    before = server.traces()
    assert run([AIORCH, "uninstall", "--force"], server.env).returncode == 2
    assert server.traces() == before
