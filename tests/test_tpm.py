"""The real TPM with a real git: install, load, press, update, reload, clean; and the key adopts a pane."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Client
from support.shell_server import REPO, SYSTEM_PATH, Server, clean_env, run, wait_until

TPM = Path("/usr/share/tmux-plugin-manager")
TOOLS = f"{Path(sys.executable).parent}:{SYSTEM_PATH}"
PARTS = ("aiorch.tmux", "install.sh", "scripts", "python", ".gitattributes", ".gitignore")

pytestmark = pytest.mark.skipif(
    not (TPM / "tpm").exists() or not shutil.which("git"),
    reason="tmux-plugin-manager or git is not installed: TPM is NOT tested",
)


class Tpm(Server):
    """A user who has TPM and our line in tmux.conf; the server is the default one of a private place."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, {"TMUX_TMPDIR": str(root / "sockets"), "PATH": TOOLS})
        (root / "sockets").mkdir(mode=0o700)
        self.work = root / "work"
        self.bare = root / "aiorch.tmux.git"
        self.folder = self.home / ".tmux/plugins/aiorch.tmux"
        self.git("init", "-q", "-b", "main", str(self.work), cwd=root)
        for name in PARTS:
            copy = shutil.copytree if (REPO / name).is_dir() else shutil.copy2
            copy(REPO / name, self.work / name)
        self.commit("The plugin as it is in the tree")
        self.git("clone", "-q", "--bare", str(self.work), str(self.bare), cwd=root)
        self.write_conf(plugin=True)

    def __enter__(self) -> Tpm:
        return self

    def git(self, *words: str, cwd: Path | None = None) -> str:
        """Run git with an identity of its own; raises AssertionError with what it said."""
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        done = run(["git", *who, *words], clean_env(self.home), cwd=cwd or self.work)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def commit(self, message: str) -> None:
        """Commit the whole working copy."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def write_conf(self, plugin: bool) -> None:
        """Write tmux.conf as a user would, with or without our line."""
        line = f"set -g @plugin 'file://{self.bare}'\n" if plugin else ""
        (self.home / ".tmux.conf").write_text(f"set -g default-shell /bin/sh\n{line}run '{TPM}/tpm'\n")

    def tpm(self, name: str, *words: str) -> str:
        """Run one of TPM's commands as a person does from a shell."""
        done = run([str(TPM / "bin" / name), *words], self.env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        """Start tmux with the user's configuration."""
        started = run(["tmux", "new-session", "-d", "-x", "140", "-y", "40", "cat"], self.env)
        assert (started.returncode, started.stderr) == (0, "")
        asked = run(["tmux", "display-message", "-p", "#{socket_path}"], self.env)
        self.socket = Path(asked.stdout.strip())


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Tpm]:
    with Tpm(tmp_path) as tpm:
        yield tpm


def test_install_load_press_update_reload_and_clean(tpm: Tpm) -> None:
    assert "download success" in tpm.tpm("install_plugins")
    assert (tpm.folder / "aiorch.tmux").stat().st_mode & 0o111
    tpm.start()
    assert tpm.option("@aiorch_dir") == str(tpm.folder)
    assert "scripts/aiorch key" in tpm.key("O")
    assert tpm.option("status-right").count("AIORCH_STATUS") == 1

    with Client(str(tpm.socket), env=tpm.env) as client:
        client.wait_for("[0] 0:")
        tpm.press(client, "O")
        client.wait_for("Set it up now? [y/N")
        client.send("n\r")
        client.wait_for(lambda screen: "Set it up" not in screen)

    # Nothing of ours may be in the way of git pull, or of TPM's clean.
    assert tpm.git("status", "--porcelain", "--ignored", cwd=tpm.folder) == ""
    (tpm.work / "CHANGELOG.md").write_text("newer\n")
    tpm.commit("A newer version")
    tpm.git("push", "-q", str(tpm.bare), "main")
    assert "update success" in tpm.tpm("update_plugins", "aiorch.tmux")
    assert (tpm.folder / "CHANGELOG.md").exists()

    before = tpm.traces()
    tpm.tmux("source-file", str(tpm.home / ".tmux.conf"))
    assert tpm.traces() == before

    run([str(tpm.folder / "scripts/aiorch"), "uninstall"], tpm.env)
    tpm.write_conf(plugin=False)
    tpm.tmux("set-option", "-gu", "@plugin", ";", "source-file", str(tpm.home / ".tmux.conf"))
    tpm.tpm("clean_plugins")
    assert not tpm.folder.exists()
    left = "".join(tpm.traces().values())
    assert [word for word in ("@aiorch", "AIORCH", "scripts/aiorch") if word in left] == []


def test_first_press_sets_up_and_adopts_the_pane(tpm: Tpm) -> None:
    tpm.tpm("install_plugins")
    tpm.start()
    pane = tpm.tmux("display-message", "-p", "#{pane_id}")
    with Client(str(tpm.socket), env=tpm.env) as client:
        client.wait_for("[0] 0:")
        before = tpm.tmux("display-message", "-p", "#{window_layout}")
        tpm.press(client, "O")
        client.wait_for("[y/N")
        client.send("y\r")
        wait_until(
            lambda: tpm.tmux("list-panes", "-F", "#{@aiorch_role}").count("monitor") == 1, "the columns", 60
        )
        assert tpm.tmux("show-options", "-pqv", "-t", pane, "@aiorch_role") == "primary"
        assert tpm.tmux("display-message", "-p", "#{pane_id}") == pane
        client.wait_for("[LISTENING]", 10)

        # The second press goes to the engine, which opens the menu on the client that pressed.
        tpm.press(client, "O")
        assert "What may workers do by themselves?" in client.wait_for("Stop", 10)
        client.send("q")

        command = str(tpm.folder / "scripts/aiorch")
        stopped = run([command, "stop"], tpm.env | {"TMUX": f"{tpm.socket},1,0", "TMUX_PANE": pane})
        assert stopped.returncode == 0, stopped.stderr
        wait_until(lambda: tpm.tmux("list-panes", "-F", "#{pane_id}") == pane, "the columns are gone", 20)
        assert tpm.tmux("display-message", "-p", "#{window_layout}") == before
    assert tpm.git("status", "--porcelain", "--ignored", cwd=tpm.folder) == ""


def test_uninstall_beside_a_running_engine_leaves_no_trace(tpm: Tpm) -> None:
    tpm.start()
    before, layout = tpm.traces(), tpm.tmux("display-message", "-p", "#{window_layout}")
    tpm.env["TMUX"] = f"{tpm.socket},{tpm.tmux('display-message', '-p', '#{pid}')},0"
    assert run([str(tpm.work / "install.sh")], tpm.env).returncode == 0
    tpm.load(tpm.work)
    command = str(tpm.work / "scripts/aiorch")
    pane = tpm.tmux("display-message", "-p", "#{pane_id}")
    started = run([command, "start", "--pane", pane], tpm.env)
    assert started.returncode == 0, started.stderr
    engine = tpm.tmux("display-message", "-p", "#{@aiorch_engine}")
    assert Path(f"/proc/{engine}").exists()

    done = run([command, "uninstall", "--purge"], tpm.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert tpm.traces() == before
    assert tpm.tmux("show-options", "-p", "-t", pane) + tpm.tmux("show-options", "-w") == ""
    assert tpm.tmux("display-message", "-p", "#{window_layout}") == layout
    assert [path for path in tpm.home.rglob("*") if "aiorch" in path.name] == []
