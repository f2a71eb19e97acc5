"""The lesson: true, the same everywhere, and never a directive itself."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest

from aiorch import paths
from aiorch.capture.directive import Directive
from aiorch.capture.grammar import Broken
from aiorch.capture.gutter import Gutter
from aiorch.capture.lines import find_in_text
from aiorch.capture.pane import PaneReader
from aiorch.capture.plain import PlainReader
from aiorch.errors import ConfigError, DirectiveError
from aiorch.journal import WorkerState
from aiorch.plan.schema import parse_request
from aiorch.teach import claude_plugin
from aiorch.teach.lesson import FENCE, FORMS, LINE, REFERENCE, common, lesson, section
from aiorch.workers.profile import lead_command
from aiorch.workers.profile_file import load_profiles

PROFILES = load_profiles(None)
TAUGHT = {name: profile.teach for name, profile in PROFILES.items() if profile.teach}
# All that an agent is given to read, and so may show.
SHOWN = [*map(section, FORMS), *claude_plugin.files().values()]
WIDTHS = range(20, 161)


def views(text: str) -> list[str]:
    """Return a text as agents and programs show it: numbered, quoted, fenced, as a list, in JSON."""
    lines = text.split("\n")
    return [
        text,
        text.replace("\n", "\r\n"),
        "\n".join(f"{n:6}\t{line}" for n, line in enumerate(lines, 1)),
        "\n".join(f"{n:5}→{line}" for n, line in enumerate(lines, 1)),
        textwrap.indent(text, "> "),
        textwrap.indent(text, "  "),
        textwrap.indent(text, "+"),
        f"```markdown\n{text}\n```",
        json.dumps({"content": text}),
        text.replace("**", "").replace("`", ""),
        text.replace('"', "“"),
    ]


@pytest.mark.parametrize("text", SHOWN, ids=lambda text: text[:12])
def test_nothing_in_the_lesson_counts_nor_comes_near(text: str) -> None:
    for view in views(text):
        assert list(find_in_text(view)) == []
        reader = PlainReader()
        data = (view + "\n").encode()
        assert reader.feed(data, "000001-aaaaa:0") + reader.settle() == []


@pytest.mark.parametrize("text", SHOWN, ids=lambda text: text[:12])
def test_no_width_of_a_screen_makes_a_directive_of_the_lesson(text: str) -> None:
    for width in WIDTHS:
        for line in text.split("\n"):
            assert list(find_in_text("\n".join(textwrap.wrap(line, width)))) == []
            # Cut in front of the marker it looks like a broken directive, which is an error, no worker.
            cut = "\n".join(line[at : at + width] for at in range(0, len(line), width))
            for hit in find_in_text(cut):
                assert isinstance(hit.verdict, Broken)


@pytest.mark.parametrize("name", [None, *TAUGHT])
def test_the_lesson_on_a_screen_is_no_directive(name: str | None) -> None:
    gutter = Gutter.from_mapping(PROFILES[name].screen) if name else None
    for cols in (40, 80, 97, 140):
        reader = PaneReader(cols, 24, gutter, mode="screen")
        words = [textwrap.fill(row, cols - 3) for row in lesson(LINE).split("\n")]
        rows = "\n".join(words).replace("\n", "\r\n  ")
        found = reader.feed(b"\x1b[2J\x1b[H\xe2\x97\x8f " + rows.encode() + b"\r\n", "000001-aaaaa:0")
        found += reader.settle()
        assert [s for s in found if isinstance(s, Directive)] == []


def test_printing_the_lesson_in_pieces_is_no_directive() -> None:
    data = section(LINE).encode()
    edges = [*range(0, len(data), 7), len(data)]
    reader = PlainReader()
    for start, end in pairwise(edges):
        assert reader.feed(data[start:end], f"000001-aaaaa:{start}") == []


def test_the_examples_are_good_requests_and_name_every_key() -> None:
    examples = [json.loads(text) for text in re.findall(r"`(\{.*?\})`", lesson(LINE))]
    requests = [parse_request(example) for example in examples]
    assert [bool(r.file) for r in requests] == [False, False, True]
    assert all(r.id and not r.unknown_keys for r in requests)
    assert len({r.id for r in requests}) == len(requests)
    plan = requests[1].workers
    assert plan
    assert [worker.after for worker in plan] == [(), ("page",)]
    rows = re.findall(r"^\| `(\w+)` \|", lesson(LINE), re.MULTILINE)
    with pytest.raises(DirectiveError, match="exclude"):
        parse_request(dict.fromkeys(rows, "x"))
    assert (
        parse_request({"task": "x", **dict.fromkeys(set(rows) - {"file", "workers"}, "x")}).unknown_keys == ()
    )
    assert set(rows) == {"task", "id", "workers", "file"}


def test_the_lesson_names_the_states_that_there_are() -> None:
    found = re.search(r"`state`\s+\(([^)]*)\)", lesson(LINE))
    assert found
    assert found[1].replace("\n", " ").split(", ") == [str(state) for state in WorkerState]


def test_the_lesson_fits_a_file_that_is_read_at_every_start() -> None:
    for form in FORMS:
        assert len(section(form)) < 3000
        assert all(len(line) <= 170 for line in section(form).split("\n"))


def test_forms_of_the_built_in_agents() -> None:
    forms = {name: teach.form for name, teach in TAUGHT.items()}
    assert forms == {
        "claude": FENCE, "codex": FENCE, "gemini": FENCE, "opencode": FENCE, "copilot": FENCE, "qwen": FENCE,
        "aider": LINE,
    }  # fmt: skip
    assert all(teach.why for teach in TAUGHT.values())
    assert "--read CONVENTIONS.md" in TAUGHT["aider"].hint


def test_a_shared_file_gets_the_form_that_suits_all() -> None:
    assert common([FENCE, FENCE]) == FENCE
    # A fence is no form for Aider, and plain text none for OpenCode.
    assert common([FENCE, LINE]) == REFERENCE


def test_documentation_says_what_the_profiles_say() -> None:
    page = (paths.plugin_dir() / "docs/agents.md").read_text()
    for name, teach in TAUGHT.items():
        assert f"| `{name}` | `{teach.file}` | {teach.form} | {teach.why} |" in page
    for form in FORMS:
        assert f"*{form}*" in page


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('file = "/etc/AGENTS.md"', "Markdown file"),
        ('file = "../AGENTS.md"', "Markdown file"),
        ('file = "Makefile"', "Markdown file"),
        ('form = "fence"', "Markdown file"),
        ('file = "A.md"\nform = "prose"', "must be one of line, fence, reference"),
        ('file = "A.md"\nfrom = "fence"', "did you mean form"),
    ],
)
def test_mistakes_in_a_profile_are_named(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "mine.toml").write_text(f'[oneshot]\nargv = ["{{agent}}", "{{task}}"]\n[teach]\n{table}\n')
    with pytest.raises(ConfigError, match=said) as caught:
        load_profiles(tmp_path)
    assert len(caught.value.problems) == 1


def test_a_profile_of_the_users_may_teach_its_own_file(tmp_path: Path) -> None:
    text = '[oneshot]\nargv = ["{agent}", "{task}"]\n[teach]\nfile = ".rules/lead.md"\nform = "reference"\n'
    (tmp_path / "mine.toml").write_text(text)
    teach = load_profiles(tmp_path)["mine"].teach
    assert teach
    assert (teach.file, teach.form) == (".rules/lead.md", REFERENCE)


class TestClaudePlugin:
    def test_files_are_up_to_date(self) -> None:
        # `python -m aiorch.teach.claude_plugin` writes them.
        there = {
            str(path.relative_to(claude_plugin.FOLDER)): path.read_text()
            for path in claude_plugin.FOLDER.rglob("*")
            if path.is_file()
        }
        assert there == claude_plugin.files()

    def test_lead_gets_it_and_workers_do_not(self) -> None:
        words = lead_command(PROFILES["claude"])
        assert words[1:] == ["--plugin-dir", str(claude_plugin.FOLDER)]
        assert Path(words[2]).is_dir()
        launches = (PROFILES["claude"].oneshot, PROFILES["claude"].interactive)
        assert all(launch and "--plugin-dir" not in launch.argv for launch in launches)

    def test_hook_prints_the_context_from_any_folder(self, tmp_path: Path) -> None:
        place = tmp_path / "a plugin's $HOME; folder"
        place.symlink_to(claude_plugin.FOLDER)
        (group,) = json.loads(claude_plugin.files()["hooks/hooks.json"])["hooks"]["SessionStart"]
        (hook,) = group["hooks"]
        done = subprocess.run(
            ["/bin/sh", "-c", hook["command"]],
            env={"PATH": "/usr/bin:/bin", "CLAUDE_PLUGIN_ROOT": str(place)},
            capture_output=True,
            check=True,
        )
        said = json.loads(done.stdout)["hookSpecificOutput"]
        assert said["hookEventName"] == "SessionStart"
        assert "aiorch:delegate" in said["additionalContext"]
