"""Rules of states in profiles: read, inherited, and their mistakes told."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiorch.errors import ConfigError
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.state import AgentState, Glance, Verdict, judge
from aiorch.workers.state_rules import StateRules, builtin_states, common_rules

PROFILE = '[oneshot]\nargv = ["{agent}", "{task}"]\n'
RULE = '[[states.rules]]\nname = "asks"\nstate = "waiting"\n'


def read(tmp_path: Path, text: str, name: str = "mine") -> StateRules:
    (tmp_path / f"{name}.toml").write_text(PROFILE + text)
    return load_profiles(tmp_path)[name].states


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return [problem.split("mine.toml:")[1] for problem in caught.value.problems]


def told(states: StateRules, *rows: str) -> Verdict:
    return judge(states, Glance(rows))


def test_a_profile_may_bring_its_own_rules(tmp_path: Path) -> None:
    states = read(
        tmp_path,
        RULE
        + """region = "bottom 3"
match = '^HALT (?P<who>\\w+)'
needs = '^really\\?'
within = "bottom 1"
unless = '^never mind'
detail = ['^because (?P<what>.*)$']
reason = "{who} stops[: {what}][, {nothing}]"
[states.box]
prompt = '^in:'
[[states.rules]]
name = "prompt"
state = "idle"
region = "box 1"
match = '^'
""",
    )
    found = told(states, "HALT mine", "because of it", "really?")
    assert found == Verdict(AgentState.WAITING, "mine stops: of it", "mine.screen.asks", "screen")
    assert told(states, "HALT mine", "really?").reason == "mine stops"
    assert told(states, "HALT mine", "never mind", "really?").state is AgentState.UNKNOWN
    assert told(states, "HALT mine", "because of it").state is AgentState.UNKNOWN
    assert told(states, "done", "in: a draft").state is AgentState.IDLE


def test_rules_of_a_built_in_agent_follow_after_ones_own(tmp_path: Path) -> None:
    states = read(tmp_path, '[states]\nlike = "codex"\notherwise = "working"\n')
    assert states.box == load_profiles(None)["codex"].states.box
    assert told(states, "› 1. Yes", "  2. No").rule == "codex.screen.menu"
    assert told(states, "words").state is AgentState.WORKING


def test_a_profile_named_like_a_built_in_agent_keeps_its_rules(tmp_path: Path) -> None:
    assert read(tmp_path, "", "claude") == load_profiles(None)["claude"].states


def test_without_rules_those_for_any_program_hold(tmp_path: Path) -> None:
    states = read(tmp_path, "")
    assert told(states, "Go on? [y/n]").rule == "common.screen.yes-no"
    assert told(states, "me@host:~$").state is AgentState.IDLE
    assert told(states, "words").state is AgentState.UNKNOWN
    assert told(read(tmp_path, "[states]\ncommon = false\n"), "Go on? [y/n]").state is AgentState.UNKNOWN


def test_what_a_shells_prompt_means_is_the_profiles_to_say(tmp_path: Path) -> None:
    assert told(read(tmp_path, '[states]\nat_shell = "exited"\n'), "me@host:~$").state is AgentState.EXITED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RULE + "match = '('", "6: states.rules[0].match: is no regular expression"),
        (RULE, "3: states.rules[0].match: is needed"),
        (RULE + "match = 'a'\nregion = \"bottom x\"", "7: states.rules[0].region: must be one of title"),
        (RULE + "match = 'a'\nregion = \"bottom 0\"", "7: states.rules[0].region: must be one of title"),
        (RULE + "match = 'a'\nwithin = \"side\"", "7: states.rules[0].within: must be one of title"),
        (RULE + "match = 'a'\ndetail = ['b']", "7: states.rules[0].detail: needs a group (?P<what>…)"),
        (RULE + "match = 'a'\nbox = 1", "7: states.rules[0].box: must be true or false"),
        (RULE + "match = 'a'\nmach = 'a'", "7: states.rules[0].mach: unknown key; did you mean match?"),
        (
            "[[states.rules]]\nname = 'a'\nstate = 'unknown'\nmatch = 'a'",
            "5: states.rules[0].state: must be one of idle",
        ),
        ("[[states.rules]]\nmatch = 'a'\nstate = 'idle'", "3: states.rules[0].name: is needed"),
        ("[states]\nlike = 'clade'", "4: states.like: must be one of aider"),
        ("[states.box]\nedge = 'a'", "3: states.box.prompt: is needed"),
        ("[states]\nrules = 3", "4: states.rules: must be written as [[rules]]"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    found = problems(tmp_path, text + "\n")
    assert any(problem.startswith(message) for problem in found), found


def test_every_built_in_rule_has_a_reason_and_a_name_of_its_own() -> None:
    profiles = load_profiles(None)
    assert {"claude", "codex", "gemini", "opencode", "copilot", "qwen", "aider", "shell"} == set(
        builtin_states()
    )
    for name in builtin_states():
        rules = profiles[name].states.rules + common_rules()
        assert len({rule.name for rule in rules}) == len(rules)
        assert all(rule.reason for rule in rules)
