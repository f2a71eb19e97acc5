"""install.sh in homes of its own: a real install, and what it says when something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.client import Client
from support.shell_server import REPO, SYSTEM_PATH, Server, clean_env, copy_plugin, run, wait_until

INSTALL = str(REPO / "install.sh")
# The test environment brings uv and a good interpreter.
TOOLS = f"{Path(sys.executable).parent}:{SYSTEM_PATH}"


def environment_of(home: Path) -> Path:
    found = sorted(home.glob(".local/share/aiorch/venv-*"))
    assert len(found) == 1, found
    return found[0]


def bare_path(tmp_path: Path, *extra: str) -> str:
    """Return a PATH with the tools of any POSIX system, and neither tmux, Python nor a package manager."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in (
        "sh",
        "cksum",
        "dirname",
        "sed",
        "grep",
        "mkdir",
        "mv",
        "rm",
        "ln",
        "id",
        "cat",
        "tail",
        *extra,
    ):
        (tools / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is not there"))
    return str(tools)


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a HOME into which install.sh has really installed."""
    home = tmp_path_factory.mktemp("home")
    (home / ".local/bin").mkdir(parents=True)
    old = home / ".local/share/aiorch/venv-1-1/bin"
    old.mkdir(parents=True)
    done = run([INSTALL], clean_env(home, f"{home}/.local/bin:{TOOLS}"), cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def test_install_builds_an_environment_that_imports_everything(installed: Path) -> None:
    python = environment_of(installed) / "bin/python"
    done = run(
        [str(python), "-E", "-s", "-c", "import avt, libtmux, tomli, watchdog.observers"],
        clean_env(installed),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_install_removes_environments_of_older_locks(installed: Path) -> None:
    assert [path.name for path in (installed / ".local/share/aiorch").iterdir()] == [
        environment_of(installed).name
    ]


def test_install_links_the_command_when_its_place_is_on_path(installed: Path) -> None:
    assert (installed / ".local/bin/aiorch").readlink() == REPO / "scripts/aiorch"


def test_install_writes_nothing_into_the_plugin_folder(tmp_path: Path, installed: Path) -> None:
    plugin = copy_plugin(tmp_path / "plugin")
    before = sorted(plugin.rglob("*"))
    done = run([str(plugin / "install.sh")], clean_env(installed, TOOLS))
    assert done.returncode == 0, done.stderr
    run([str(plugin / "scripts/aiorch"), "--version"], clean_env(installed, TOOLS))
    assert sorted(plugin.rglob("*")) == before


def test_install_again_finds_nothing_to_do_at_once(installed: Path) -> None:
    started = time.monotonic()
    done = run([INSTALL], clean_env(installed, TOOLS))
    took = time.monotonic() - started
    assert done.returncode == 0
    assert "building" not in done.stdout
    assert took < 0.3


def test_check_says_what_is_there(installed: Path) -> None:
    done = run([INSTALL, "--check"], clean_env(installed, TOOLS))
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok", "ok"]
    assert str(environment_of(installed)) in done.stdout


def test_check_says_what_is_missing_and_changes_nothing(tmp_path: Path) -> None:
    done = run([INSTALL, "--check"], clean_env(tmp_path, bare_path(tmp_path)))
    assert done.returncode == 1
    assert "missing  tmux is not installed" in done.stdout
    assert "brew install tmux" in done.stdout
    assert not (tmp_path / ".local").exists()


def test_two_installs_at_once_both_succeed(tmp_path: Path) -> None:
    env = clean_env(tmp_path, TOOLS)
    both = [
        subprocess.Popen([INSTALL], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        process.communicate(timeout=300)
    assert [process.returncode for process in both] == [0, 0]
    venv = environment_of(tmp_path)
    assert run([str(venv / "bin/python"), "-c", "import libtmux"], env).returncode == 0
    assert [path for path in venv.iterdir() if "new" in path.name] == []


def test_environment_whose_interpreter_went_away_is_built_again(tmp_path: Path, installed: Path) -> None:
    home = tmp_path / "home"
    broken = home / environment_of(installed).relative_to(installed) / "bin"
    broken.mkdir(parents=True)
    (broken / "python").symlink_to("/usr/bin/python3.0")
    env = clean_env(home, TOOLS)
    assert run([INSTALL, "--check"], env).returncode == 1
    assert run([INSTALL], env).returncode == 0
    assert run([INSTALL, "--check"], env).returncode == 0


def test_environment_in_use_is_not_removed(tmp_path: Path, installed: Path) -> None:
    plugin = copy_plugin(tmp_path / "plugin")
    home = tmp_path / "home"
    shutil.copytree(installed / ".local/share", home / ".local/share", symlinks=True)
    engine = environment_of(home)
    with (plugin / "python/requirements.lock").open("a") as lock:
        lock.write("# a newer lock\n")
    argv = [str(engine / "bin/python"), "-c", "input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        done = run([str(plugin / "install.sh")], clean_env(home, TOOLS))
        assert done.returncode == 0, done.stderr
        assert engine.exists()
        process.kill()
    assert len(list(engine.parent.iterdir())) == 2


@pytest.mark.slow
def test_install_without_uv_uses_venv_and_pip(tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "python3.11").symlink_to(Path(sys.executable).resolve())
    done = run([INSTALL], clean_env(tmp_path, f"{bare}:{SYSTEM_PATH}"))
    assert done.returncode == 0, done.stderr
    assert "and uv" not in done.stdout
    assert run([INSTALL, "--check"], clean_env(tmp_path, SYSTEM_PATH)).returncode == 0


def test_popup_sets_up_for_real(tmp_path: Path) -> None:
    with Server(tmp_path, {"PATH": TOOLS}) as server:
        server.load()
        with Client(str(server.socket)) as client:
            client.wait_for("[0] 0:")
            server.press(client, "O")
            client.wait_for("[y/N")
            client.send("y\r")
            client.wait_for("building the private environment", 20)
            wait_until(
                lambda: any(server.home.glob(".local/share/aiorch/venv-*[0-9]/bin/python")), "installed", 60
            )
            client.wait_for(lambda screen: "building" not in screen, 30)


# ---- what is missing


def fails_with(words: list[str], env: dict[str, str]) -> str:
    done = run([INSTALL, *words], env)
    assert done.returncode == 1
    assert not list(Path(env["HOME"]).glob(".local/share/aiorch/*"))
    return done.stderr


def test_no_tmux_names_the_package_managers(tmp_path: Path) -> None:
    said = fails_with([], clean_env(tmp_path, bare_path(tmp_path)))
    assert said == (
        "aiorch: tmux is not installed. Debian/Ubuntu: sudo apt-get install tmux; macOS: brew install tmux\n"
    )


@pytest.mark.parametrize("version", ["3.1c", "3.2a", "2.9", "next-3.2", "1.8"])
def test_old_tmux_is_refused(tmp_path: Path, version: str) -> None:
    path = bare_path(tmp_path)
    program(Path(path) / "tmux", f"echo tmux {version}")
    assert f"tmux {version} is too old, 3.3 or newer is needed" in fails_with([], clean_env(tmp_path, path))


@pytest.mark.parametrize(
    "version", ["3.3", "3.3a", "3.10", "3.5a", "4.0", "next-3.4", "openbsd-7.3", "master"]
)
def test_new_tmux_is_accepted(tmp_path: Path, version: str) -> None:
    path = bare_path(tmp_path)
    program(Path(path) / "tmux", f"echo tmux {version}")
    # What comes after tmux is Python.
    assert "/none does not run" in fails_with([], clean_env(tmp_path, path) | {"AIORCH_PYTHON": "/none"})


def with_tmux(tmp_path: Path) -> dict[str, str]:
    path = bare_path(tmp_path, "tmux")
    return clean_env(tmp_path, path)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("echo /x/python3.10; echo 3.10 False True", "is Python 3.10)"),
        (
            "echo /x/python3.12; echo 3.12 True False",
            "has no venv module. Debian/Ubuntu: sudo apt-get install python3-venv",
        ),
        ("exit 1", "does not run)"),
    ],
)
def test_python_that_will_not_do_is_named(tmp_path: Path, answer: str, problem: str) -> None:
    python = tmp_path / "mypython"
    program(python, answer)
    said = fails_with([], with_tmux(tmp_path) | {"AIORCH_PYTHON": str(python)})
    assert f"{python} {problem}" in said
    assert "macOS: brew install" in said


def test_shim_is_replaced_by_the_interpreter_behind_it(tmp_path: Path, installed: Path) -> None:
    shim = tmp_path / "python3.14"
    program(shim, f'exec "{Path(sys.executable).resolve()}" "$@"')
    home = tmp_path / "home"
    env = clean_env(home, f"{tmp_path}:{TOOLS}")
    done = run([INSTALL], env)
    assert done.returncode == 0, done.stderr
    assert str(shim) not in (environment_of(home) / "pyvenv.cfg").read_text()


NO_NETWORK = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
    "UV_HTTP_RETRIES": "0",
}


def offline(home: Path, path: str) -> dict[str, str]:
    kept = {
        name: value for name, value in clean_env(home, path).items() if not name.startswith(("PIP_", "UV_"))
    }
    return kept | NO_NETWORK


def test_no_network_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    assert "no network?" in fails_with([], offline(tmp_path, TOOLS))


@pytest.mark.slow
def test_no_network_is_said_by_pip_too(tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "python3.11").symlink_to(Path(sys.executable).resolve())
    assert "no network?" in fails_with([], offline(tmp_path, f"{bare}:{SYSTEM_PATH}"))


def test_wrong_hash_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    plugin = copy_plugin(tmp_path / "plugin")
    (plugin / "python/requirements.lock").write_text(f"tomli==2.5.0 --hash=sha256:{'0' * 64}\n")
    home = tmp_path / "home"
    done = run([str(plugin / "install.sh")], clean_env(home, TOOLS))
    assert done.returncode == 1
    assert "does not have the hash" in done.stderr
    assert list((home / ".local/share/aiorch").iterdir()) == []


def test_command_of_another_origin_is_left_alone(tmp_path: Path, installed: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(installed / ".local/share", home / ".local/share", symlinks=True)
    other = home / ".local/bin/aiorch"
    other.parent.mkdir(parents=True)
    other.write_text("theirs")
    done = run([INSTALL], clean_env(home, f"{other.parent}:{TOOLS}"))
    assert done.returncode == 0
    assert "another program" in done.stdout
    assert other.read_text() == "theirs"


def test_uninstall_takes_everything_out(tmp_path: Path, installed: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(installed, home, symlinks=True)
    done = run([INSTALL, "--uninstall"], clean_env(home, TOOLS) | {"TMUX_TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert [path for path in home.rglob("*") if "aiorch" in path.name] == []


def test_help_names_every_option_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    said = run([INSTALL, "--help"], clean_env(tmp_path))
    assert said.returncode == 0
    assert all(word in said.stdout for word in ("--demo", "--check", "--uninstall", "AIORCH_PYTHON"))
    assert run([INSTALL, "--frobnicate"], clean_env(tmp_path)).returncode == 2


def test_locks_pin_the_same_runtime() -> None:
    def pins(path: str) -> set[str]:
        return {line.split()[0] for line in (REPO / path).read_text().splitlines() if "==" in line}

    assert pins("python/requirements.lock") <= pins("tests/requirements.lock")
    for path in ("python/requirements.lock", "tests/requirements.lock"):
        assert "://" not in (REPO / path).read_text()
