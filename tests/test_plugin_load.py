"""aiorch.tmux against a real server: what loading costs, binds, shows, and what it must leave alone."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client
from support.shell_server import REPO, Server, copy_plugin, run

# Key as tmux names it, and the character that a terminal sends for it.
ODD_KEYS = {
    "'": "'",
    '"': '"',
    ";": ";",
    "#": "#",
    "\\": "\\",
    "$": "$",
    "Space": " ",
    "C-a": "\x01",
    "{": "{",
    "%": "%",
    "~": "~",
    "}": "}",
    "!": "!",
    "M-;": "\x1b;",
    "|": "|",
    "O": "O",
}
ODD_PATHS = [
    "with blank",
    "it's",
    'say "x"',
    "$HOME",
    "a[b]*c?",
    "back\\slash",
    "semi;colon",
    "#{pid}",
    "50%d",
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server


def is_ours(line: str) -> bool:
    return "/scripts/aiorch key " in line


# ---- cost


def need_list_keys(server: Server) -> None:
    """Skip where one call cannot settle the key."""
    if server.tmux("display-message", "-p", "#{version}").startswith("3.7"):
        pytest.skip("list-keys of tmux 3.7c cannot say whether a key is free: the slow way is taken")


def traced_programs(server: Server, tmp_path: Path) -> list[str]:
    log = tmp_path / "strace"
    done = run(
        ["strace", "-f", "-qq", "-e", "trace=execve", "-o", str(log), str(REPO / "aiorch.tmux")],
        server.env,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r'execve\("([^"]+)".* = 0$', log.read_text(), re.MULTILINE)


@pytest.mark.skipif(
    not shutil.which("strace"), reason="strace is not installed: the exec budget is NOT checked"
)
@pytest.mark.parametrize("loads_before", [0, 1, 2])
def test_load_execs_one_shell_and_one_tmux(server: Server, tmp_path: Path, loads_before: int) -> None:
    need_list_keys(server)
    for _ in range(loads_before):
        server.load()
    programs = [Path(path).name for path in traced_programs(server, tmp_path)]
    assert programs == ["aiorch.tmux", "tmux"]


def test_load_cpu_is_below_ten_milliseconds(server: Server) -> None:
    need_list_keys(server)
    costs = []
    for _ in range(10):
        child = subprocess.Popen([REPO / "aiorch.tmux"], env=server.env, stdin=subprocess.DEVNULL)
        _, _, used = os.wait4(child.pid, 0)
        child.returncode = 0
        costs.append(used.ru_utime + used.ru_stime)
    # The least is what loading takes; the others had the machine's other work in between.
    assert min(costs) < 0.010, costs


# ---- options


def options_in_file() -> dict[str, str]:
    lines = (REPO / "scripts/options.conf").read_text().splitlines()
    return {
        word[2]: word[3].strip("'")
        for word in (line.split(maxsplit=3) for line in lines)
        if word[:1] == ["set-option"]
    }


def test_options_have_their_defaults_and_keep_what_the_user_set(server: Server) -> None:
    server.tmux("set-option", "-g", "@aiorch-max-workers", "9")
    server.load()
    for name, default in options_in_file().items():
        assert server.option(name) == ("9" if name == "@aiorch-max-workers" else default)


def test_options_file_describes_every_option_in_the_line_above() -> None:
    lines = (REPO / "scripts/options.conf").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if line.startswith("set-option"):
            assert before.startswith("# ")
            assert re.fullmatch(r"set-option -ogq @aiorch-[a-z-]+ \S+", line)


# ---- the key


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_key_is_bound_and_stays_so_on_reload(server: Server, key: str) -> None:
    server.set_key(key)
    server.load()
    assert is_ours(server.key(key))
    assert server.option("@aiorch_error") == ""
    first = server.traces()
    server.load()
    server.load()
    assert server.traces() == first


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_key_pressed_by_a_client_offers_set_up(server: Server, key: str) -> None:
    server.set_key(key)
    server.load()
    with Client(str(server.socket)) as client:
        client.wait_for("[0] 0:")
        server.press(client, ODD_KEYS[key])
        client.wait_for("Set it up now? [y/N")
        client.send("n\r")
        client.wait_for(lambda screen: "Set it up" not in screen)
    assert not (server.home / ".local").exists()


@pytest.mark.parametrize("name", ODD_PATHS)
def test_odd_plugin_path_loads_and_answers_the_key(server: Server, tmp_path: Path, name: str) -> None:
    plugin = copy_plugin(tmp_path / name)
    server.load(plugin)
    server.load(plugin)
    assert server.option("@aiorch_dir") == str(plugin)
    with Client(str(server.socket)) as client:
        client.wait_for("[0] 0:")
        server.press(client, "O")
        client.wait_for("Set it up now? [y/N")
        client.send("\r")


@pytest.mark.parametrize("kind", ["folder", "file", "relative file"])
def test_symlink_leads_to_the_real_folder(server: Server, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "link").symlink_to(REPO)
        server.load(tmp_path / "link")
    else:
        target = REPO / "aiorch.tmux"
        (tmp_path / "l.tmux").symlink_to(
            os.path.relpath(target, tmp_path) if kind == "relative file" else target
        )
        server.load(tmp_path, "l.tmux")
    assert server.option("@aiorch_dir") == str(REPO)
    assert is_ours(server.key("O"))


def test_loading_while_the_configuration_is_read(tmp_path: Path) -> None:
    server = Server(tmp_path)
    conf = tmp_path / "my.conf"
    conf.write_text(f"set -g default-shell /bin/sh\nrun-shell {REPO}/aiorch.tmux\nset -g @after yes\n")
    started = run(
        ["tmux", "-S", str(server.socket), "-f", str(conf), "new-session", "-d", "cat"], server.env, cwd="/"
    )
    assert (started.returncode, started.stderr) == (0, "")
    with_server = server.tmux("show-options", "-gv", "@after")
    try:
        assert with_server == "yes"
        assert is_ours(server.key("O"))
        assert server.option("status-right").count("AIORCH_STATUS") == 1
        # An error or any output would have put the pane into a mode.
        assert server.tmux("display-message", "-p", "#{pane_in_mode}") == "0"
    finally:
        server.tmux("kill-server")


@pytest.mark.parametrize("note", [[], ["-N", "SessionX"]])
def test_foreign_key_is_reported_and_not_stolen(server: Server, note: list[str]) -> None:
    server.tmux("bind-key", *note, "O", "display-message", "theirs")
    before = server.key("O")
    server.load()
    server.load()
    assert server.key("O") == before
    assert server.option("@aiorch_error") == "aiorch: prefix O is taken, name another: set -g @aiorch-key KEY"
    with Client(str(server.socket), size=(160, 30)) as client:
        client.wait_for("prefix O is taken, name another: set -g @aiorch-key KEY")
    # Naming another one settles it.
    server.tmux("set-option", "-g", "@aiorch-key", "M-o")
    server.load()
    assert server.key("O") == before
    assert is_ours(server.key("M-o"))
    assert server.option("@aiorch_error") == ""


def test_key_that_a_later_plugin_took_is_reported_on_reload(server: Server) -> None:
    server.load()
    server.tmux("bind-key", "O", "display-message", "theirs")
    server.load()
    assert "theirs" in server.key("O")
    assert "prefix O is taken" in server.option("@aiorch_error")


def test_foreign_key_is_shown_to_an_attached_client_on_reload(server: Server) -> None:
    server.tmux("bind-key", "O", "display-message", "theirs")
    with Client(str(server.socket), size=(100, 30)) as client:
        client.wait_for("[0] 0:")
        server.load()
        client.wait_for("aiorch: prefix O is taken, name another: set -g @aiorch-key KEY")


def test_changed_key_option_moves_the_binding(server: Server) -> None:
    server.set_key('"')
    native = server.key('"')
    server.load()
    server.set_key("M-p")
    server.load()
    assert server.key('"') == native
    assert is_ours(server.key("M-p"))


def test_binding_of_an_older_version_is_replaced(server: Server) -> None:
    server.tmux("bind-key", "O", "run-shell", "-b", "#{q:@aiorch_dir}/scripts/aiorch key older")
    server.load()
    assert "older" not in server.key("O")
    assert is_ours(server.key("O"))


def test_empty_key_binds_nothing(server: Server) -> None:
    server.tmux("set-option", "-g", "@aiorch-key", "")
    before = server.tmux("list-keys")
    server.load()
    server.load()
    assert server.tmux("list-keys") == before
    assert server.option("@aiorch_error") == ""


def test_word_that_is_no_key_is_reported(server: Server) -> None:
    server.tmux("set-option", "-g", "@aiorch-key", "Nonsense")
    server.load()
    assert "prefix Nonsense is no key" in server.option("@aiorch_error")


def test_key_is_listed_with_a_note(server: Server) -> None:
    server.load()
    assert "aiorch: open" in server.tmux("list-keys", "-N", "-T", "prefix")


# ---- versions

VERSIONS = {
    "3.3": True,
    "3.3a": True,
    "3.10": True,
    "3.5a": True,
    "4.0": True,
    "10.1": True,
    "next-3.4": True,
    "openbsd-7.3": True,
    "master": True,
    "3.1c": False,
    "3.2a": False,
    "2.9": False,
    "1.8": False,
    "next-3.2": False,
    "13.x": True,
    "": False,
}


@pytest.mark.parametrize(("version", "fits"), VERSIONS.items())
def test_version_pattern_as_the_server_reads_it(server: Server, version: str, fits: bool) -> None:
    load = (REPO / "scripts/load.conf").read_text()
    pattern = re.search(r'^%if "(#\{m/r:.*)"$', load, re.MULTILINE)
    assert pattern
    asked = pattern[1].replace("#{version}", version)
    assert server.tmux("display-message", "-p", asked) == str(int(fits))


def test_old_server_is_told_and_nothing_else_happens(server: Server, tmp_path: Path) -> None:
    plugin = copy_plugin(tmp_path / "plugin")
    load = plugin / "scripts/load.conf"
    # The server cannot be made older, so the wanted version is made newer.
    load.write_text(re.sub(r"\^\(.*\),#", "^99,#", load.read_text()))
    before = server.traces()
    server.load(plugin)
    assert "3.3 or newer is needed" in server.option("@aiorch_error")
    assert is_ours(server.key("O")) is False
    for name in ("@aiorch_error", "@aiorch_dir", "@aiorch_glob"):
        server.tmux("set-option", "-gu", name)
    assert server.traces() == before


def test_file_is_executable_with_unix_line_ends() -> None:
    path = REPO / "aiorch.tmux"
    assert path.stat().st_mode & stat.S_IXUSR
    assert b"\r" not in path.read_bytes()
    assert [found.name for found in REPO.glob("*.tmux")] == ["aiorch.tmux"]
    if (REPO / ".git").exists():
        listed = run(
            ["git", "ls-files", "-s", "aiorch.tmux", "install.sh", "scripts/aiorch", "tests/run"],
            os.environ,
            cwd=REPO,
        )
        assert {line.split()[0] for line in listed.stdout.splitlines()} == {"100755"}
