"""`aiorch init --mcp`: our server in each agent's own settings, and out of them again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from aiorch.errors import InstructionFileError
from aiorch.teach.json_member import set_member, take_member
from aiorch.teach.toml_table import COMMENT, set_table, take_table
from aiorch.workers.profile_file import load_profiles
from support.lab import REPO

PATH = ("mcpServers", "aiorch")
SERVER = {"command": "aiorch", "args": ["mcp"]}
TABLE = ("mcp_servers", "aiorch")
VALUES: dict[str, str | int | list[str]] = {"command": "aiorch", "args": ["mcp"]}
FILES = {
    "claude": ".mcp.json",
    "codex": "~/.codex/config.toml",
    "gemini": ".gemini/settings.json",
    "qwen": ".qwen/settings.json",
    "opencode": "opencode.json",
    "copilot": "~/.copilot/mcp-config.json",
}
JSON_FILES = [
    "{}",
    "{ }\n",
    '{"a": 1}',
    '{\n  "a": 1\n}\n',
    '{\n\t"mcpServers": {\n\t\t"other": {"command": "x"}\n\t},\n\t"z": [1, 2]\n}\n',
    '{"mcpServers": {"other": {}}}',
    '{\r\n  "a": 1\r\n}\r\n',
    '\ufeff{"a": "ü"}',
]
TOML_FILES = [
    'model = "x"\n',
    'model = "x"',
    '# mine\n[a]\nb = 1\n\n# behind\n[mcp_servers.other]\ncommand = "y"\n# the end\n',
    'text = """\n[mcp_servers.fake]\n"""\n',
]


def init(home: Path, project: Path, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-E", "-s", "-B", str(REPO / "python"), "init", "--mcp", *argv]
    variables = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **env}
    return subprocess.run(command, env=variables, cwd=project, capture_output=True, text=True, check=False)


def place(home: Path, project: Path, name: str) -> Path:
    file = FILES[name]
    return home / file.removeprefix("~/") if file.startswith("~/") else project / file


def read(path: Path) -> dict[str, Any]:
    text = path.read_text()
    return tomli.loads(text) if path.suffix == ".toml" else json.loads(text)


def test_every_agent_that_can_be_told_is_in_this_list() -> None:
    known = {name: profile.mcp.file for name, profile in load_profiles(None).items() if profile.mcp}
    assert known == FILES


@pytest.mark.parametrize("name", FILES)
def test_server_is_written_once_and_taken_out_again(home: Path, project: Path, name: str) -> None:
    path = place(home, project, name)
    created = init(home, project, "--agent", name)
    assert created.returncode == 0, created.stderr
    assert f"created: {path}" in created.stdout
    text = path.read_text()
    assert "aiorch" in text
    assert str(REPO / "scripts/aiorch") in text
    assert "unchanged" in init(home, project, "--agent", name).stdout
    assert path.read_text() == text
    assert init(home, project, "--agent", name, "--remove").returncode == 0
    assert not path.exists()


def test_each_agent_gets_the_form_that_it_reads(home: Path, project: Path) -> None:
    init(home, project, "--agent", *FILES)
    program = str(REPO / "scripts/aiorch")
    found = {name: read(place(home, project, name)) for name in FILES}
    plain = {"command": program, "args": ["mcp"]}
    assert found["gemini"] == found["qwen"] == {"mcpServers": {"aiorch": plain}}
    assert found["claude"]["mcpServers"]["aiorch"] == {**plain, "alwaysLoad": True}
    assert found["codex"]["mcp_servers"]["aiorch"] == {
        **plain,
        "env_vars": ["TMUX", "TMUX_PANE"],
        "tool_timeout_sec": 3660,
    }
    assert found["opencode"]["mcp"]["aiorch"] == {
        "type": "local",
        "command": [program, "mcp"],
        "enabled": True,
    }
    assert found["copilot"]["mcpServers"]["aiorch"] == {"type": "local", **plain, "tools": ["*"]}


def test_what_else_is_in_the_files_stays_byte_for_byte(home: Path, project: Path) -> None:
    contents = dict.fromkeys(FILES, '{\n    "x": [1,2],  "y":{}\n}') | {"codex": "[a]\nb = 1  # c\n"}
    for name, text in contents.items():
        path = place(home, project, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o640)
    assert init(home, project, "--agent", *FILES).returncode == 0
    assert init(home, project, "--agent", *FILES, "--remove").returncode == 0
    for name, text in contents.items():
        assert place(home, project, name).read_text() == text
        assert place(home, project, name).stat().st_mode & 0o777 == 0o640


def test_dry_run_writes_nothing_and_json_tells(home: Path, project: Path) -> None:
    shown = init(home, project, "--agent", "claude", "--dry-run")
    assert "would be created" in shown.stdout
    assert '+  "mcpServers"' in shown.stdout
    told = json.loads(init(home, project, "--agent", "claude", "--dry-run", "--json").stdout)
    assert told["files"][0]["action"] == "created"
    assert list(project.iterdir()) == []


def test_homes_that_were_moved_are_found(home: Path, project: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    assert init(home, project, "--agent", "codex", CODEX_HOME=str(moved)).returncode == 0
    assert "aiorch" in (moved / "config.toml").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [("[1]", "no JSON"), ("{// x\n}", "no JSON"), ('{"mcpServers": 3}', "no object"), ('{"a": 1', "no JSON")],
)
def test_files_that_cannot_be_changed_are_left_alone(
    home: Path, project: Path, text: str, words: str
) -> None:
    (project / ".mcp.json").write_text(text)
    done = init(home, project, "--agent", "claude", "gemini")
    assert (done.returncode, words in done.stderr) == (1, True)
    assert (project / ".mcp.json").read_text() == text
    assert not (project / ".gemini").exists()


def test_a_link_out_of_the_project_is_not_followed(home: Path, project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    (project / ".mcp.json").symlink_to(other)
    done = init(home, project, "--agent", "claude")
    assert (done.returncode, "out of the project" in done.stderr) == (1, True)
    assert other.read_text() == "{}"


def test_installed_agents_are_told_and_none_is_an_error(home: Path, project: Path, tmp_path: Path) -> None:
    assert "no agent was found" in init(home, project).stderr
    program = tmp_path / "bin/gemini"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert init(home, project, PATH=f"{program.parent}:/usr/bin:/bin").returncode == 0
    assert [path.name for path in project.iterdir()] == [".gemini"]
    assert "cannot be told" in init(home, project, "--agent", "aider").stderr


@pytest.mark.parametrize("text", JSON_FILES)
def test_json_is_as_it_was_after_setting_and_taking(text: str) -> None:
    with_member = set_member(text, PATH, SERVER)
    data = json.loads(with_member.removeprefix("\ufeff"))
    assert data["mcpServers"]["aiorch"] == SERVER
    assert set_member(with_member, PATH, SERVER) == with_member
    again = take_member(with_member, PATH)
    assert json.loads(again.removeprefix("\ufeff") or "{}") == json.loads(text.removeprefix("\ufeff"))
    if json.loads(text.removeprefix("\ufeff")):
        assert again == text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.sampled_from([None, 2, "\t"]), st.booleans())
def test_any_json_keeps_all_else(data: dict[str, Any], indent: int | str | None, ascii: bool) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii)
    if "mcpServers" in data and not isinstance(data["mcpServers"], dict):
        with pytest.raises(InstructionFileError):
            set_member(text, PATH, SERVER)
        return
    changed = set_member(text, PATH, SERVER)
    expected = json.loads(text)
    expected.setdefault("mcpServers", {})["aiorch"] = SERVER
    assert json.loads(changed) == expected
    kept = take_member(changed, PATH)
    before = json.loads(text)
    if before.get("mcpServers", {}) != {} and "aiorch" not in before["mcpServers"]:
        assert json.loads(kept or "{}") == before


@pytest.mark.parametrize("text", TOML_FILES)
def test_toml_is_as_it_was_after_setting_and_taking(text: str) -> None:
    with_table = set_table(text, TABLE, VALUES)
    assert tomli.loads(with_table)["mcp_servers"]["aiorch"] == VALUES
    assert COMMENT in with_table
    assert set_table(with_table, TABLE, VALUES) == with_table
    assert take_table(with_table, TABLE).rstrip("\n") == text.rstrip("\n")


def test_toml_that_the_agent_wrote_anew_loses_our_tables_alone() -> None:
    text = (
        'a = 1\n\n[mcp_servers.aiorch]\nargs = [\n  "mcp",\n]\ncommand = "x"\n'
        '\n[mcp_servers.aiorch.env]\nX = "1"\n'
        "\n# theirs\n[projects]\nb = 2\n"
    )
    assert tomli.loads(take_table(text, TABLE)) == {"a": 1, "projects": {"b": 2}}
    assert "# theirs" in take_table(text, TABLE)


@pytest.mark.parametrize("text", ['mcp_servers = {aiorch = {command = "x"}}\n', "[[["])
def test_toml_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(InstructionFileError):
        set_table(text, TABLE, VALUES)


def test_what_the_user_added_to_our_entry_stays() -> None:
    text = set_table("", TABLE, VALUES) + "enabled = false\n\n[mcp_servers.aiorch.tools.wait]\napproval = 1\n"
    changed = set_table(text, TABLE, {**VALUES, "command": "/new/aio\x7frch"})
    assert tomli.loads(changed)["mcp_servers"]["aiorch"] == {
        "command": "/new/aio\x7frch", "args": ["mcp"], "enabled": False, "tools": {"wait": {"approval": 1}}
    }  # fmt: skip
    assert set_table(text, TABLE, VALUES) == text
    known = '{"mcpServers": {"aiorch": {"command": "old", "timeout": 5}}}'
    assert json.loads(set_member(known, PATH, SERVER))["mcpServers"]["aiorch"] == {**SERVER, "timeout": 5}


def test_a_text_that_looks_like_our_table_is_not_taken_for_it() -> None:
    text = 'a = """\n[mcp_servers.aiorch]\ncommand = 1\n"""\n'
    whole = set_table(text, TABLE, VALUES)
    with pytest.raises(InstructionFileError, match="by hand"):
        take_table(whole, TABLE)
