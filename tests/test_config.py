"""What a configuration may say, and that all mistakes are told at once, each with its line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest
import tomli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiorch.config import Config, load_config
from aiorch.errors import ConfigError
from aiorch.toml_file import key_lines
from aiorch.trust import Demand, Speaker, Verdict


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def problems_of(file: Path, text: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return [problem.removeprefix(f"{file}:") for problem in caught.value.problems]


def test_defaults_without_a_file(file: Path) -> None:
    config = load_config(None)
    assert config == load_config(file)
    assert (config.max_workers, config.permissions, config.mode, config.approve) == (
        4,
        "edit",
        "oneshot",
        "auto",
    )
    assert [rule.name for rule in config.rules] == ["api-routes", "auth-system", "testing"]


def test_empty_file_is_the_defaults(file: Path) -> None:
    file.write_text("# nothing\n")
    assert load_config(file) == load_config(None)


def test_everything_can_be_set(file: Path) -> None:
    file.write_text(
        """
max_workers = 8
default_type = "codex"
retries = 2
retry_delay = 0.5
time_limit = 600
permissions = "ask"
mode = "interactive"
approve = "ask"
history_limit = 100
min_rows = 5
min_columns = 100

[[rules]]
name = "db"
match = ["database", "sql"]
task = "Look after the database in: {task}"
after = ["api-routes"]

[types.reviewer]
agent = "claude"
prompt = "You review."
permissions = "full"

[types.lint]
command = ["make", "lint", "{task}"]
mode = "oneshot"

[trust.plain]
roles = "run"
""",
        encoding="utf-8",
    )
    config = load_config(file)
    assert (config.max_workers, config.default_type, config.retries, config.retry_delay) == (
        8,
        "codex",
        2,
        0.5,
    )
    assert (config.time_limit, config.history_limit, config.min_rows, config.min_columns) == (
        600,
        100,
        5,
        100,
    )
    assert config.rules[-1].name == "db"
    assert config.rules[-1].type == "simple"
    assert config.permission_of("reviewer") == "full"
    assert config.permission_of("lint") == config.permission_of("other") == "ask"
    assert (config.mode_of("lint"), config.mode_of("reviewer")) == ("oneshot", "interactive")
    assert config.types["lint"].command == ("make", "lint", "{task}")
    assert config.trust == {Speaker.PLAIN: {Demand.ROLES: Verdict.RUN}}


def test_own_rule_takes_the_place_of_a_built_in_one(file: Path) -> None:
    file.write_text('[[rules]]\nname = "auth-system"\nmatch = ["login"]\n')
    rules = load_config(file).rules
    assert [rule.name for rule in rules] == ["api-routes", "auth-system", "testing"]
    assert rules[1].match == ("login",)


def test_built_in_rules_can_be_left_out(file: Path) -> None:
    file.write_text("builtin_rules = false\n")
    assert load_config(file).rules == ()


class Bad(NamedTuple):
    test_id: str
    text: str
    problem: str


BAD = [
    Bad("unknown-key", "max_worker = 3", "1: max_worker: unknown key; did you mean max_workers?"),
    Bad("unknown-table", "\n[tpyes.x]\na = 1", "2: tpyes: unknown key; did you mean types?"),
    Bad("string-for-number", 'max_workers = "4"', "1: max_workers: must be a whole number from 1 to 200"),
    Bad("true-for-number", "retries = true", "1: retries: must be a whole number from 0 to 20"),
    Bad("too-small", "max_workers = 0", "1: max_workers: must be a whole number from 1 to 200"),
    Bad("not-a-number", "retry_delay = nan", "1: retry_delay: must be a number from 0 to 3600"),
    Bad("choice", 'approve = "aks"', "1: approve: must be one of auto, ask; did you mean ask?"),
    Bad("permission", 'permissions = "all"', "1: permissions: must be one of ask, edit, full"),
    Bad("rules-not-a-list", 'rules = "a"', "1: rules: must be written as [[rules]]"),
    Bad("rule-not-a-table", "rules = [1]", "1: rules[0]: must be a table"),
    Bad(
        "rule-key",
        '[[rules]]\nname = "a"\nmatch = ["b"]\ntsk = "c"',
        "4: rules[0].tsk: unknown key; did you mean task?",
    ),
    Bad("rule-match", '[[rules]]\nname = "a"\nmatch = "b"', "3: rules[0].match: must be a list of strings"),
    Bad("rule-no-match", '[[rules]]\nname = "a"', "1: rules[0].match: is needed"),
    Bad("rule-name", '[[rules]]\nname = "a b"\nmatch = ["c"]', "2: rules[0].name: is needed, of 1 to 40"),
    Bad(
        "rule-twice",
        '[[rules]]\nname = "a"\nmatch = ["c"]\n[[rules]]\nname = "a"\nmatch = ["c"]',
        "5: rules[1].name: two rules are called a",
    ),
    Bad(
        "rule-shell",
        '[[rules]]\nname = "a"\nmatch = ["c"]\ntype = "shell"\ntask = "make {task}"',
        "4: rules[0].type: a rule cannot have type shell",
    ),
    Bad("type-key", "[types.x]\ncmd = []", "2: types.x.cmd: unknown key; did you mean command?"),
    Bad("type-no-task", '[types.x]\ncommand = ["make"]', '2: types.x.command: needs "{task}"'),
    Bad(
        "type-both", '[types.x]\ncommand = ["a", "{task}"]\nagent = "b"', "2: types.x.command: excludes agent"
    ),
    Bad("type-program", '[types.x]\ncommand = ["{task}"]', "2: types.x.command: the program itself"),
    Bad("type-name", '[types."a b"]\nprompt = "p"', "1: types.a b.name: a type's name"),
    Bad("type-not-a-table", "types = 3", "1: types: must be a table"),
    Bad("trust-row", '[trust.scren]\nroles = "run"', "1: trust.scren: unknown key; did you mean screen?"),
    Bad(
        "trust-cell", '[trust.screen]\nrole = "run"', "2: trust.screen.role: unknown key; did you mean roles?"
    ),
    Bad("trust-verdict", '[trust.screen]\nroles = "yes"', "2: trust.screen.roles: must be one of run, ask"),
    Bad("syntax", "a = 1\nb = \n", "2: Invalid value"),
    Bad("syntax-at-the-end", 'a = """\nb', "2: Unterminated"),
    Bad("key-twice", "retries = 1\nretries = 1\n", "2: Cannot overwrite a value"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.test_id)
def test_mistake_is_told_with_line_and_key(case: Bad, file: Path) -> None:
    problems = problems_of(file, case.text)
    assert problems[0].startswith(case.problem), problems
    assert len(problems) == 1, problems


def test_all_mistakes_come_at_once_in_the_order_of_the_file(file: Path) -> None:
    text = """
max_worker = 3
retries = -1
[[rules]]
match = [
  "a", # ]
]
[trust.screen]
shell = 1
"""
    lines = [problem.partition(":")[0] for problem in problems_of(file, text)]
    assert lines == ["2", "3", "4", "9"]


def test_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigError, match=r"config\.toml:2: not UTF-8"):
        load_config(file)


def test_folder_in_place_of_the_file(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read(file: Path) -> None:
    file.touch(mode=0)
    with pytest.raises(ConfigError, match="Permission denied"):
        load_config(file)


def test_lines_of_keys_in_awkward_files() -> None:
    text = '''a."b c".d = 1 # x = 2
e = """
f = 3
"""
[g . "h"]   # [not]
i = [
  "]", # x = 1
  { j = 1 },
]
k = { l = 1 }
[[m]]
n = 'a "" b'
[[m]]
n = "\\\\"
[m.o]
p = 1
'''
    tomli.loads(text)
    assert key_lines(text) == {
        ("a",): 1,
        ("a", "b c"): 1,
        ("a", "b c", "d"): 1,
        ("e",): 2,
        ("g",): 5,
        ("g", "h"): 5,
        ("g", "h", "i"): 6,
        ("g", "h", "k"): 10,
        ("m",): 11,
        ("m", 0): 11,
        ("m", 0, "n"): 12,
        ("m", 1): 13,
        ("m", 1, "n"): 14,
        ("m", 1, "o"): 15,
        ("m", 1, "o", "p"): 16,
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="ab=\"'[]{}#\\\n. 1max_workersrulestrust", max_size=60) | st.text(max_size=40))
def test_any_text_gives_a_config_or_a_config_error(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        config = load_config(file)
    except ConfigError as error:
        assert error.problems
        return
    assert isinstance(config, Config)
