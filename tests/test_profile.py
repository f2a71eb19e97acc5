"""How agents are started, found and recognised."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.config import Config, UserType
from aiorch.errors import AgentMissingError, ConfigError, ProfileError
from aiorch.plan.schema import MAX_TASK_BYTES
from aiorch.workers.executable import find_executable
from aiorch.workers.profile import AgentProfile, command, effective_mode, lead_command, recognise, task_text
from aiorch.workers.profile_file import load_profiles
from aiorch.workers.types import ROLES, builtin_agents, check_types, find_agent, known_types, resolve_type

PROFILES = load_profiles(None)
AGENTS = ("claude", "codex", "gemini", "opencode", "copilot", "qwen", "aider")
TASK = "Fix the bug; $(rm -rf x) `y` \"z\" 'w' {task} %s \\ 木\n-second line"


def argv_of(name: str, mode: str, permission: str, task: str = TASK) -> list[str]:
    return command(PROFILES[name], task=task, mode=mode, permission=permission, role=None)[0]


def install(folder: Path, *names: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


class Form(NamedTuple):
    test_id: str
    mode: str
    permission: str
    argv: list[str]


# Run against the real agents with a scripted model (Claude refuses `full` to root, so as another user):
# `edit` let it write a file in its directory and refused a shell command (Codex: ran it in its sandbox),
# `full` ran the command, `ask` asked in the pane.
FORMS = [
    Form("claude", "oneshot", "edit", ["claude", "-p", "--permission-mode", "acceptEdits", TASK]),
    Form("claude", "oneshot", "full", ["claude", "-p", "--dangerously-skip-permissions", TASK]),
    Form("claude", "oneshot", "ask", ["claude", "--permission-mode", "default", TASK]),
    Form("claude", "interactive", "edit", ["claude", "--permission-mode", "acceptEdits", TASK]),
    Form(
        "codex", "oneshot", "edit", ["codex", "exec", "--skip-git-repo-check", "-s", "workspace-write", TASK]
    ),
    Form("codex", "oneshot", "ask", ["codex", "--no-daemon", "-a", "on-request", "-s", "read-only", TASK]),
    Form("gemini", "oneshot", "edit", ["gemini", "--skip-trust", "--approval-mode", "auto_edit", "-p", TASK]),
    Form("gemini", "interactive", "ask", ["gemini", "--approval-mode", "default", "-i", TASK]),
    Form("qwen", "oneshot", "edit", ["qwen", "--approval-mode", "auto-edit", "-p", TASK]),
    Form("qwen", "oneshot", "full", ["qwen", "--approval-mode", "yolo", "-p", TASK]),
    Form(
        "copilot",
        "oneshot",
        "edit",
        ["copilot", "-s", "--no-auto-update", "--allow-tool", "write", "-p", TASK],
    ),
    Form(
        "copilot", "oneshot", "full", ["copilot", "-s", "--no-auto-update", "--allow-all-tools", "-p", TASK]
    ),
    Form("copilot", "oneshot", "ask", ["copilot", "--no-auto-update", "-i", TASK]),
    Form("opencode", "oneshot", "full", ["opencode", "run", "--auto"]),
    Form("shell", "oneshot", "edit", ["sh", "-c", "--", TASK]),
    Form("shell", "interactive", "ask", ["sh", "-c", "--", TASK]),
]


@pytest.mark.parametrize("case", FORMS, ids=lambda case: f"{case.test_id}-{case.mode}-{case.permission}")
def test_command_of_each_agent(case: Form) -> None:
    assert argv_of(case.test_id, case.mode, case.permission) == case.argv


def test_opencode_gets_its_permissions_by_environment_and_its_task_on_stdin() -> None:
    argv, stdin = command(PROFILES["opencode"], task=TASK, mode="oneshot", permission="edit", role=None)
    assert argv == ["/usr/bin/env", 'OPENCODE_PERMISSION={"edit":"allow","bash":"ask"}', "opencode", "run"]
    assert stdin == TASK


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("permission", ["ask", "edit"])
@pytest.mark.parametrize("mode", ["oneshot", "interactive"])
def test_no_level_below_full_switches_checks_off(name: str, mode: str, permission: str) -> None:
    words = " ".join(argv_of(name, mode, permission, task="t"))
    for flag in ("dangerously", "yolo", "allow-all", "--auto ", "danger-full-access", "bypass"):
        assert flag not in words + " "


@pytest.mark.parametrize("name", AGENTS)
def test_task_is_exactly_one_argument_or_the_stdin(name: str) -> None:
    for mode in ("oneshot", "interactive"):
        argv, stdin = command(PROFILES[name], task=TASK, mode=mode, permission="edit", role=None)
        assert [*argv, stdin].count(TASK) == 1
        assert not [word for word in argv if "{" in word and word != TASK and "PERMISSION" not in word]


@pytest.mark.parametrize(
    "task", ["-x", "--help", "/clear all", "@/etc/passwd x", "!ls -l", " -x", "update", "review"]
)
@pytest.mark.parametrize("name", AGENTS)
def test_task_is_never_an_option_or_a_command_of_the_agent(name: str, task: str) -> None:
    argv, stdin = command(PROFILES[name], task=task, mode="oneshot", permission="edit", role=None)
    assert f"The task: {task}" in (*argv, stdin)


def test_role_stands_before_the_task() -> None:
    argv, _ = command(PROFILES["claude"], task="-x", mode="oneshot", permission="edit", role="You test.")
    assert argv[-1] == "You test.\n\nThe task: -x"


def test_asking_needs_a_pane_to_ask_in() -> None:
    assert effective_mode(PROFILES["claude"], "oneshot", "ask") == "interactive"
    assert effective_mode(PROFILES["claude"], "oneshot", "edit") == "oneshot"
    assert effective_mode(PROFILES["aider"], "interactive", "ask") == "oneshot"


def test_level_that_an_agent_does_not_have_is_refused() -> None:
    with pytest.raises(ProfileError, match=r'claude-flow has no permission level "edit" .* only full'):
        argv_of("claude-flow", "oneshot", "edit")
    with pytest.raises(ProfileError, match='Aider has no permission level "full"'):
        argv_of("aider", "oneshot", "full")


def test_claude_flow_never_sees_the_task_as_shell_text() -> None:
    argv = argv_of("claude-flow", "oneshot", "full")
    assert argv[-2:] == ["-o", TASK]
    assert "rm -rf" not in argv[2]


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_shell_task_that_starts_with_a_dash_is_a_command(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell}")
    done = subprocess.run(
        [shell, "-c", "--", "-x 2>/dev/null; echo $?"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "127\n"


def test_largest_task_with_the_longest_role_fits_one_argument() -> None:
    role = max((text for text in ROLES.values() if text), key=len)
    text = task_text(PROFILES["claude"], "x" * MAX_TASK_BYTES, role)
    assert subprocess.run(["/bin/echo", text], capture_output=True, check=True).stdout == f"{text}\n".encode()


def test_demo_agent_is_ours_and_only_named() -> None:
    demo = PROFILES["demo"]
    argv, _ = command(demo, task="T T", mode="oneshot", permission="edit", role=None)
    assert Path(argv[0]).is_absolute()
    assert argv[2].endswith("/python/aiorch/demo/worker.py")
    assert Path(argv[2]).is_file()
    assert lead_command(demo)[2].endswith("/python/aiorch/demo/lead.py")
    assert not demo.offered


class TestFindAgent:
    def test_order_is_ours_and_not_that_of_the_path(self, tmp_path: Path) -> None:
        first, second = install(tmp_path / "1", "aider", "gemini"), install(tmp_path / "2", "codex")
        found = find_agent(PROFILES, f"{first}:{second}")
        assert (found.name, found.program) == ("codex", f"{second}/codex")
        assert lead_command(found) == [f"{second}/codex"]

    @pytest.mark.parametrize("name", AGENTS)
    def test_each_agent_is_found_alone(self, name: str, tmp_path: Path) -> None:
        assert find_agent(PROFILES, install(tmp_path, name)).name == name

    def test_nothing_found_says_what_to_install(self, tmp_path: Path) -> None:
        with pytest.raises(AgentMissingError) as caught:
            find_agent(PROFILES, install(tmp_path, "sh", "claude-flow"))
        assert "Claude Code: npm install -g @anthropic-ai/claude-code" in str(caught.value)
        assert "Aider: pipx install aider-chat" in str(caught.value)
        assert "Demo" not in str(caught.value)

    def test_what_cannot_be_run_is_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        install(tmp_path, "claude")
        (tmp_path / "dir" / "claude").mkdir(parents=True)
        (tmp_path / "plain").mkdir()
        (tmp_path / "plain" / "claude").write_text("")
        for path in (
            "",
            ".",
            ":",
            "dir",
            str(tmp_path / "dir"),
            str(tmp_path / "plain"),
            str(tmp_path / "nope"),
        ):
            assert find_executable("claude", path) is None
        assert find_executable("./claude", str(tmp_path)) is None
        assert find_executable(str(tmp_path / "claude"), "") == str(tmp_path / "claude")


class Process(NamedTuple):
    test_id: str
    argv: list[str]
    name: str | None


MODULES = "/home/u/lib/node_modules"
# The first block was read from the process table of real agents in a pane.
PROCESSES = [
    Process("claude", ["claude", "--permission-mode", "default", "T"], "claude"),
    Process("codex", [f"{MODULES}/@openai/codex-linux-x64/vendor/x/bin/codex", "--no-daemon"], "codex"),
    Process("gemini", ["node", f"{MODULES}/.bin/gemini", "-i", "T"], "gemini"),
    Process(
        "gemini-child", ["/opt/bin/node", "--max-old-space-size=12052", f"{MODULES}/.bin/gemini"], "gemini"
    ),
    Process("qwen", ["node", f"{MODULES}/.bin/qwen", "-i", "T"], "qwen"),
    Process("qwen-child", ["/bin/node", "--expose-gc", f"{MODULES}/@qwen-code/qwen-code/cli.js"], "qwen"),
    Process("copilot", [f"{MODULES}/@github/copilot-linux-x64/copilot", "-i", "T"], "copilot"),
    Process("opencode", ["opencode", "--prompt", "T"], "opencode"),
    Process("aider", ["/home/u/venv/bin/python3.12", "/home/u/venv/bin/aider"], "aider"),
    Process("aider-module", ["python3", "-m", "aider", "--message", "T"], "aider"),
    Process("demo", ["/v/bin/python", "-B", "/p/python/aiorch/demo/lead.py"], "demo"),
    Process("claude-old", ["node", f"{MODULES}/@anthropic-ai/claude-code/cli.js"], "claude"),
    Process("bun", ["bun", "run.js"], None),
    Process("login-shell", ["-bash"], None),
    Process("cat", ["cat", "/tmp/claude"], None),
    Process("editor", ["vim", "claude"], None),
    Process("grep", ["grep", "-r", "codex", "."], None),
    Process("shell-command", ["sh", "-c", "claude -p x"], None),
    Process("python-command", ["python3", "-c", "claude"], None),
    Process("other-name", ["claude-wrapper"], None),
    Process("argument", ["node", "server.js", "gemini"], None),
    Process("other-demo", ["python3", "/tmp/lead.py"], None),
    Process("empty", [], None),
    Process("empty-word", [""], None),
]


@pytest.mark.parametrize("case", PROCESSES, ids=lambda case: case.test_id)
def test_agent_is_recognised_by_its_command_line(case: Process) -> None:
    found = recognise(PROFILES, [["-bash"], case.argv])
    assert (found.name if found else None) == case.name


@given(st.lists(st.lists(st.text(max_size=8), max_size=4), max_size=3))
def test_recognise_takes_any_command_line(processes: list[list[str]]) -> None:
    recognise(PROFILES, processes)


class TestResolveType:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        return install(tmp_path / "bin", "claude", "codex", "sh", "lint")

    def test_roles_run_on_the_first_agent_found(self, path: str) -> None:
        for role, words in ROLES.items():
            profile, prompt = resolve_type(role, PROFILES, Config(), path)
            assert (profile.name, profile.program, prompt) == ("claude", f"{path}/claude", words)

    def test_default_type_of_the_user_comes_first(self, path: str) -> None:
        for kind in ("auto", "sparc"):
            assert resolve_type(kind, PROFILES, Config(default_type="codex"), path)[0].name == "codex"

    def test_named_agent_and_shell(self, path: str) -> None:
        assert resolve_type("codex", PROFILES, Config(default_type="claude"), path)[0].name == "codex"
        assert resolve_type("shell", PROFILES, Config(), path)[0].program == f"{path}/sh"

    @pytest.mark.parametrize("kind", ["simple", "auto", "mine", "review"])
    def test_nothing_but_the_type_shell_itself_becomes_a_shell(self, kind: str, path: str) -> None:
        types = {"mine": UserType("mine", agent="shell"), "review": UserType("review", prompt="p")}
        config = Config(default_type="shell", types=types)
        with pytest.raises(ConfigError, match="must be named by the worker itself"):
            resolve_type(kind, PROFILES, config, path)
        assert len(check_types(PROFILES, config)) == 2

    def test_named_agent_that_is_missing_says_how_to_get_it(self, path: str) -> None:
        with pytest.raises(
            AgentMissingError, match=r"Gemini CLI was not found.*npm install -g @google/gemini-cli"
        ):
            resolve_type("gemini", PROFILES, Config(), path)

    def test_unknown_type(self, path: str) -> None:
        with pytest.raises(ConfigError, match='unknown type "nope"; known are aider, auto'):
            resolve_type("nope", PROFILES, Config(), path)

    def test_command_of_the_users_own(self, path: str) -> None:
        own = UserType("lint", command=("lint", "--", "{task}"))
        profile, prompt = resolve_type("lint", PROFILES, Config(types={"lint": own}), path)
        argv, _ = command(profile, task="-x", mode="interactive", permission="ask", role=prompt)
        assert argv == [f"{path}/lint", "--", "-x"]

    def test_command_that_is_missing(self, path: str) -> None:
        own = UserType("x", command=("nope", "{task}"))
        with pytest.raises(AgentMissingError, match='the program "nope" of type x'):
            resolve_type("x", PROFILES, Config(types={"x": own}), path)

    def test_role_of_the_users_own(self, path: str) -> None:
        config = Config(types={"review": UserType("review", agent="codex", prompt="You review.")})
        profile, prompt = resolve_type("review", PROFILES, config, path)
        assert (profile.name, prompt) == ("codex", "You review.")

    def test_prompt_of_a_built_in_role_can_be_changed(self, path: str) -> None:
        config = Config(types={"sparc": UserType("sparc", prompt="You build.")})
        assert resolve_type("sparc", PROFILES, config, path)[1] == "You build."

    @pytest.mark.parametrize("default", ["review", "sparc", "auto", "loop"])
    def test_default_type_that_leads_in_a_circle_ends_at_an_agent(self, default: str, path: str) -> None:
        types = {"review": UserType("review", prompt="p"), "loop": UserType("loop", agent="loop")}
        for kind in ("sparc", "review"):
            assert (
                resolve_type(kind, PROFILES, Config(default_type=default, types=types), path)[0].name
                == "claude"
            )


def test_known_types_are_roles_agents_and_the_users_own() -> None:
    known = known_types(PROFILES, Config(types={"mine": UserType("mine", prompt="p")}))
    assert {"auto", "simple", "sparc", "swarm", "shell", "claude-flow", "mine", *AGENTS} <= set(known)


def test_builtin_agents_are_no_shell_and_nothing_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('processes = ["mine"]\n[oneshot]\nargv = ["{agent}", "{task}"]\n')
    names = builtin_agents(load_profiles(tmp_path))
    assert set(AGENTS) <= set(names)
    assert not {"shell", "mine"} & set(names)


def test_check_types_finds_what_does_not_exist() -> None:
    config = Config(default_type="cladue", types={"a": UserType("a", agent="nope"), "b": UserType("b")})
    assert check_types(PROFILES, config) == [
        'default_type: unknown type "cladue"',
        'types.a.agent: unknown agent "nope"',
        "types.b: needs a command, an agent or a prompt",
    ]
    assert check_types(PROFILES, Config()) == []


class TestUserProfiles:
    def test_file_of_the_same_name_replaces_ours(self, tmp_path: Path) -> None:
        (tmp_path / "claude.toml").write_text(
            'rank = 99\n[oneshot]\nargv = ["{agent}", "--print", "{task}"]\n'
        )
        claude = load_profiles(tmp_path)["claude"]
        assert claude.oneshot.argv == ("{agent}", "--print", "{task}")
        assert not claude.builtin
        assert next(iter(load_profiles(tmp_path))) == "codex"

    def test_screen_rules_come_from_the_folder_beside(self, tmp_path: Path) -> None:
        (tmp_path / "mine.toml").write_text('[oneshot]\nargv = ["{agent}", "{task}"]\n')
        (tmp_path / "screens").mkdir()
        (tmp_path / "screens" / "mine.toml").write_text("[screen]\nindent = 3\n")
        assert load_profiles(tmp_path)["mine"].screen == {"indent": 3}

    def test_task_by_stdin_and_by_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text('[oneshot]\nargv = ["{agent}"]\ntask_via = "stdin"\n')
        (tmp_path / "b.toml").write_text('[oneshot]\nargv = ["{agent}", "{file}"]\ntask_via = "file"\n')
        profiles = load_profiles(tmp_path)
        assert self.run(profiles["a"]) == (["a"], "do it")
        with pytest.raises(ProfileError, match="from a file"):
            self.run(profiles["b"])
        assert self.run(profiles["b"], "/run/task") == (["b", "/run/task"], None)

    @staticmethod
    def run(profile: AgentProfile, file: str | None = None) -> tuple[list[str], str | None]:
        return command(profile, task="do it", mode="oneshot", permission="edit", role=None, file=file)

    def test_all_mistakes_of_all_files_come_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text('name = "b"\ntilte = "x"\n[oneshot]\nargv = ["{agent}"]\n')
        (tmp_path / "c.toml").write_text("rank = \n")
        (tmp_path / "d.toml").write_text("[oneshot.permission]\nall = []\n")
        with pytest.raises(ConfigError) as caught:
            load_profiles(tmp_path)
        found = [problem.removeprefix(f"{tmp_path}{os.sep}") for problem in caught.value.problems]
        places = [text.partition(": ")[0] for text in found]
        assert places == ["a.toml:1", "a.toml:2", "a.toml:4", "c.toml:1", "d.toml:1", "d.toml:2"]
        assert "did you mean title?" in found[1]
