"""The documentation says what the program is: its tables, its links, its words."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiorch.config import load_config
from aiorch.journal import Tag
from aiorch.toml_file import KeyPath, Reader, TomlFile

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "docs/generate.py"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# One of everything, so that every kind of table is read.
CONFIG = """
[[rules]]
name = "one"
match = ["word"]
[types.one]
agent = "claude"
"""


def generate(*options: str, script: Path = GENERATOR) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-B", str(script), *options]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def table(page: str, name: str) -> str:
    """Return a generated table of a page."""
    found = re.search(rf"<!-- table {name} -->\n(.*?)<!-- end -->", (ROOT / page).read_text(), re.DOTALL)
    assert found, f"{page} has no table {name}"
    return found.group(1)


def first_cells(text: str) -> list[str]:
    """Return the words in the first column of a table, without its head."""
    return [line.split("|")[1].strip(" `") for line in text.splitlines()[2:]]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in LINK.findall(FENCE.sub("", page.read_text())):
            if not target.startswith("https://"):
                yield page, target


def test_tables_are_up_to_date() -> None:
    done = generate("--check")
    assert done.returncode == 0, done.stderr


def test_check_finds_a_table_that_is_out_of_date(tmp_path: Path) -> None:
    for name in ("python", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    script = tmp_path / "docs/generate.py"
    script.write_text(GENERATOR.read_text())
    readme = tmp_path / "README.md"
    readme.write_text((ROOT / "README.md").read_text().replace("| `@aiorch-key` | `O` |", "| `x` | `O` |"))
    before = readme.read_text()
    assert generate("--check", script=script).returncode == 1
    assert readme.read_text() == before
    assert generate(script=script).returncode == 0
    assert readme.read_text() == (ROOT / "README.md").read_text()


def test_every_option_has_its_comment_and_its_row() -> None:
    text = (ROOT / "scripts/options.conf").read_text()
    lines = text.splitlines()
    names = []
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("set-option"):
            assert before.startswith("# ") and len(before) > 10, f"no comment above: {line}"
            names.append(line.split()[2])
    assert names
    assert first_cells(table("README.md", "options")) == names


def test_every_option_that_scripts_and_engine_read_is_declared() -> None:
    declared = set(first_cells(table("README.md", "options")))
    places = [ROOT / "install.sh", *(ROOT / "scripts").iterdir(), *(ROOT / "python").rglob("*.py")]
    found = {
        name for place in places for name in re.findall(r"@aiorch-[a-z]+(?:-[a-z]+)*", place.read_text())
    }
    assert found == declared


@pytest.mark.parametrize(("page", "target"), list(links()), ids=lambda value: str(value).rpartition("/")[2])
def test_link_leads_somewhere(page: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    there = (page.parent / name).resolve() if name else page
    assert there.exists(), f"{page.name}: {target}"
    if anchor:
        assert anchor in anchors(there), f"{page.name}: {target}"


def test_every_command_and_argument_is_documented() -> None:
    done = subprocess.run(
        [sys.executable, "-E", "-s", "-B", str(ROOT / "python"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    listed = re.findall(r"^    ([a-z]+) ", done.stdout, re.MULTILINE)
    rows = first_cells(table("README.md", "commands"))
    assert [f"aiorch {name}" for name in listed] + ["aiorch uninstall"] == rows
    arguments = table("docs/commands.md", "arguments")
    for name in listed:
        done = subprocess.run(
            [sys.executable, "-E", "-s", "-B", str(ROOT / "python"), name, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        for option in set(re.findall(r"^  (--[a-z-]+)", done.stdout, re.MULTILINE)):
            assert re.search(rf"^\| `aiorch {name}` \| `{option}\b", arguments, re.MULTILINE), (name, option)


def test_every_configuration_key_is_in_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: dict[KeyPath, set[str]] = {}
    finish = Reader.finish

    def finish_and_note(self: Reader) -> None:
        if "config.toml" in self._file.name:
            read.setdefault(self._path, set()).update(self._known)
        finish(self)

    monkeypatch.setattr(Reader, "finish", finish_and_note)
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    load_config(path)
    page = "docs/configuration.md"
    assert set(first_cells(table(page, "settings"))) | {"rules", "types", "trust", "notify"} == read[()]
    assert set(first_cells(table(page, "rule-keys"))) == read[("rules", 0)]
    assert set(first_cells(table(page, "type-keys"))) == read[("types", "one")]
    assert set(first_cells(table(page, "notify-keys"))) == read[("notify",)]
    trust_rows = {cell.strip("[]").partition(".")[2] for cell in first_cells(table(page, "trust-keys"))}
    assert trust_rows == read[("trust",)]
    head = table(page, "trust-keys").splitlines()[0]
    assert set(re.findall(r"`(\w+)`", head)) == read[("trust", "user")]


def test_toml_examples_are_good_configurations(tmp_path: Path) -> None:
    for text in re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/configuration.md").read_text(), re.M | re.S):
        path = tmp_path / "config.toml"
        path.write_text(text)
        load_config(path)


def test_agent_example_is_a_good_profile(tmp_path: Path) -> None:
    from aiorch.workers.profile_file import load_profiles

    texts = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/agents.md").read_text(), re.M | re.S)
    (tmp_path / "mine.toml").write_text("\n".join(texts))
    mine = load_profiles(tmp_path)["mine"]
    assert mine.screen and mine.interactive


def test_every_tag_of_the_event_log_is_explained() -> None:
    text = (ROOT / "docs/how-it-works.md").read_text()
    assert [tag for tag in Tag if f"| `[{tag}]` |" not in text] == []


def test_pages_name_no_place_of_one_machine() -> None:
    for page in PAGES:
        found = re.findall(r"(?<![\w~.])/(?:home|root|work|Users|tmp)/\S+", page.read_text())
        assert not found, f"{page.name}: {found}"


def test_toml_file_is_what_the_reader_is_given() -> None:
    # The test of configuration keys looks at these two private fields.
    reader = Reader(TomlFile("config.toml"), (), {})
    assert (reader._path, reader._known) == ((), [])
