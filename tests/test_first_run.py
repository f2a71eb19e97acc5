"""What workers may do is asked in the menu until it is answered, and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiorch import first_run
from aiorch.config import load_config
from aiorch.errors import ConfigError, SettingsError
from conftest import LabMaker
from support.client import PREFIX, Client
from support.lab import Lab, until


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "aiorch" / "config.toml"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, 'permissions = "full"\n'),
        ('# mine\n[types.a]\nprompt = "x"\n', 'permissions = "full"\n# mine\n[types.a]\nprompt = "x"\n'),
        ('retries = 1\npermissions="ask" # so\napprove = "ask"',
         'retries = 1\npermissions = "full"\napprove = "ask"'),
        ('[types.a]\nagent = "claude"\npermissions = "ask"\n',
         'permissions = "full"\n[types.a]\nagent = "claude"\npermissions = "ask"\n'),
    ],
)  # fmt: skip
def test_the_answer_is_kept_and_all_else_stays(config: Path, before: str | None, after: str) -> None:
    if before is not None:
        config.parent.mkdir()
        config.write_text(before)
        config.chmod(0o640)
    assert first_run.remember("full") == config
    assert config.read_text() == after
    assert load_config(config).permissions == "full"
    assert before is None or config.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in config.parent.iterdir()] == ["config.toml"]


def test_a_link_to_the_file_stays_one(config: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("retries = 2\n")
    config.parent.mkdir()
    config.symlink_to(kept)
    first_run.remember("ask")
    assert config.is_symlink() and kept.read_text() == 'permissions = "ask"\nretries = 2\n'


def test_what_cannot_be_changed_stays_as_it_is(config: Path) -> None:
    config.parent.mkdir()
    config.write_text("retries = 'many'\n")
    with pytest.raises(ConfigError, match="retries"):
        first_run.remember("ask")
    assert config.read_text() == "retries = 'many'\n"
    config.unlink()
    with pytest.raises(SettingsError, match="no permission level"):
        first_run.remember("all")
    config.mkdir()
    with pytest.raises((SettingsError, ConfigError)):
        first_run.remember("ask")


def open_question(lab: Lab, client: Client) -> None:
    """Have the key's menu open the question."""
    client.send(PREFIX + "O")
    client.wait_for("What may workers do by themselves?", 15)
    client.send("b")
    client.wait_for("Edit files in their directory")


def test_the_menu_asks_and_the_running_engine_goes_by_the_answer(make_lab: LabMaker) -> None:
    lab = make_lab(size=(100, 30))
    lab.load_plugin()
    config = lab.home / ".config/aiorch/config.toml"
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("$")
        client.send(PREFIX + "O")
        client.wait_for("press the key again to choose", 15)
        # Nothing opened: what is typed goes to the lead.
        client.send("echo Good fix: $((40+2))\r")
        client.wait_for("Good fix: 42")
        assert not config.exists()
        open_question(lab, client)
        client.send("faey")
        client.send("\033[B\r")
        until(config.exists, "it is remembered")
        assert config.read_text() == 'permissions = "ask"\n'
        client.wait_for('permissions = "ask" is in')
        lab.wait_told("LISTENING", "settings")
        assert lab.tmux("display-message", "-p", "-t", "%0", "#{pane_in_mode}") == "0"
        client.send(PREFIX + "O")
        assert "by themselves?" not in client.wait_for("New worker")


def test_everything_is_asked_once_more(make_lab: LabMaker) -> None:
    lab = make_lab(size=(100, 30))
    lab.load_plugin()
    lab.start()
    config = lab.home / ".config/aiorch/config.toml"
    config.unlink(missing_ok=True)
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("$")
        open_question(lab, client)
        client.send("G\r")
        client.wait_for("No: leave it as it is")
        client.send("yf\r")
        client.wait_for(lambda screen: "No: leave it" not in screen)
        assert not config.exists()
        open_question(lab, client)
        client.send("G\r")
        client.wait_for("No: leave it as it is")
        client.send("\033[B\r")
        until(config.exists, "it is remembered")
        assert config.read_text() == 'permissions = "full"\n'
