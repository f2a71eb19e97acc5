"""The first run asks once what workers may do, and remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiorch import first_run
from aiorch.config import load_config
from aiorch.errors import ConfigError, SettingsError
from conftest import LabMaker
from support.client import PREFIX, Client
from support.lab import until


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


def test_the_key_asks_once_and_the_running_engine_goes_by_the_answer(make_lab: LabMaker) -> None:
    lab = make_lab(size=(100, 30))
    lab.load_plugin()
    with Client(str(lab.socket), size=(100, 30)) as client:
        client.wait_for("$")
        client.send(PREFIX + "O")
        client.wait_for("what may workers do by themselves?", 15)
        client.send("a")
        config = lab.home / ".config/aiorch/config.toml"
        until(config.exists, "it is remembered")
        assert config.read_text() == 'permissions = "ask"\n'
        lab.wait_told("LISTENING", "settings")
        lab.aiorch("stop")
        config.unlink()
        client.send(PREFIX + "O")
        until(lambda: bool(lab.engine_pids()), "another run")
        client.wait_for("LISTENING")
        client.send(PREFIX + "O")
        assert "by themselves?" not in client.wait_for("New worker")
