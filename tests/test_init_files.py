"""`aiorch init` on a project's files: nothing lost, nothing written where it must not be."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from aiorch.cli import main
from aiorch.errors import InstructionFileError
from aiorch.teach import project
from aiorch.teach.lesson import BEGIN, END, FENCE, REFERENCE, section
from aiorch.workers.profile_file import load_profiles

PROFILES = load_profiles(None)
Tree = dict[str, tuple[int, bytes | str]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty git repository that is the current directory, with no agent on the PATH."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return folder


def tree(folder: Path) -> Tree:
    """Return all that is in a folder: mode and content, or what a link says."""
    return {
        str(path.relative_to(folder)): (
            (0, str(path.readlink())) if path.is_symlink() else (path.stat().st_mode, path.read_bytes())
        )
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def install(root: Path, *names: str) -> None:
    folder = root.parent / "bin"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


def init(*words: str) -> int:
    return main(["init", *words])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".git"}


def test_installed_agents_are_taught_each_in_its_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(root, "claude", "opencode")
    assert init() == 0
    assert names(root) == {"CLAUDE.md", "AGENTS.md"}
    assert (root / "CLAUDE.md").read_text() == section(FENCE) + "\n"
    assert (root / "AGENTS.md").read_text() == section(FENCE) + "\n"
    said = capsys.readouterr().out
    assert "created: AGENTS.md (Codex, OpenCode, Copilot CLI)" in said
    assert f"in {root}" in said


def test_again_changes_nothing_and_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init("--agent", *(name for name, profile in PROFILES.items() if profile.teach))
    assert names(root) == {"CLAUDE.md", "AGENTS.md", "GEMINI.md", "QWEN.md", "CONVENTIONS.md"}
    before = tree(root), [path.stat().st_mtime_ns for path in sorted(root.iterdir())]
    capsys.readouterr()
    assert init("--agent", "claude", "--agent", "codex", "aider") == 0
    assert (tree(root), [path.stat().st_mtime_ns for path in sorted(root.iterdir())]) == before
    assert capsys.readouterr().out.count("unchanged: ") == 3


def test_remove_restores_everything(root: Path) -> None:
    (root / "CLAUDE.md").write_bytes("\ufeff# Rules\r\n\r\nBe kind.".encode())
    (root / "CLAUDE.md").chmod(0o640)
    (root / "GEMINI.md").write_bytes(b"")
    (root / "README.md").write_text(f"{BEGIN}\nnot ours to touch\n{END}\n")
    before = tree(root)
    init("--agent", "claude", "gemini", "codex")
    assert stat.S_IMODE((root / "CLAUDE.md").stat().st_mode) == 0o640
    assert tree(root).keys() > before.keys()
    assert init("--remove") == 0
    assert tree(root) == before


def test_remove_for_one_agent_leaves_the_others(root: Path) -> None:
    init("--agent", "claude", "codex")
    init("--remove", "--agent", "codex")
    assert names(root) == {"CLAUDE.md"}


def test_remove_without_anything_there_is_fine(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "AGENTS.md").mkdir()
    (root / "CLAUDE.md").write_bytes(b"caf\xe9 \0")
    (root / "GEMINI.md").symlink_to("/etc/passwd")
    assert init("--remove") == 0
    assert "no section" in capsys.readouterr().out


def test_an_old_section_is_brought_up_to_date_in_place(root: Path) -> None:
    path = root / "CLAUDE.md"
    path.write_text(f"top\n\n{BEGIN}\nold\n{END}\n\nbottom\n")
    init("--agent", "claude")
    assert path.read_text() == f"top\n\n{section(FENCE)}\n\nbottom\n"


def test_dry_run_shows_and_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "CLAUDE.md").write_text("mine \x1b[31m\n")
    before = tree(root)
    assert init("--dry-run", "--agent", "claude", "aider") == 0
    assert tree(root) == before
    said = capsys.readouterr().out
    assert "would be added: CLAUDE.md" in said
    assert "would be created: CONVENTIONS.md" in said
    assert f"  +{BEGIN}" in said
    assert "\x1b" not in said
    assert "--read CONVENTIONS.md" in said


def test_a_configuration_that_would_ignore_what_is_taught_is_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root.parent / "home/.config/aiorch"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('fenced = "ignore"\n')
    init("--agent", "aider")
    assert "fenced" not in capsys.readouterr().out
    init("--agent", "codex")
    assert 'note: config.toml says fenced = "ignore"' in capsys.readouterr().out
    (folder / "config.toml").write_text("nonsense = 1\n")
    assert init("--agent", "codex") == 0


def test_json_says_the_same_to_programs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init("--agent", "codex", "aider", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["project"], said["dry_run"]) == (str(root), False)
    codex, aider = said["files"]
    assert codex == {
        "file": str(root / "AGENTS.md"),
        "names": ["AGENTS.md"],
        "agents": ["codex", "opencode", "copilot"],
        "form": "fence",
        "action": "created",
        "hints": [],
    }
    assert len(aider["hints"]) == 1
    init("--remove", "--json")
    said = json.loads(capsys.readouterr().out)
    actions = {Path(file["file"]).name: (file["action"], file["hints"]) for file in said["files"]}
    assert actions["AGENTS.md"] == actions["CONVENTIONS.md"] == ("deleted", [])
    assert actions["CLAUDE.md"] == ("unchanged", [])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 1, "no agent was found on the PATH"),
        (("--agent", "clawd"), 2, 'no agent "clawd"; known are claude'),
        (("--agent", "shell"), 2, "shell reads no instruction file"),
    ],
)
def test_wrong_usage(
    root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    assert init(*words) == code
    assert said in capsys.readouterr().err
    assert names(root) == set()


class TestPlace:
    def test_the_root_of_the_repository_from_below(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "a/b").mkdir(parents=True)
        monkeypatch.chdir(root / "a/b")
        init("--agent", "claude")
        assert names(root) == {"a", "CLAUDE.md"}

    def test_a_work_tree_has_a_git_file(self, root: Path) -> None:
        (root / "tree/sub").mkdir(parents=True)
        (root / "tree/.git").write_text("gitdir: elsewhere\n")
        assert project.project_root(root / "tree/sub") == root / "tree"

    def test_the_current_directory_outside_of_a_repository(self, tmp_path: Path) -> None:
        assert project.project_root(tmp_path) == tmp_path

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
    def test_a_repository_of_somebody_else_above_does_not_count(self, root: Path) -> None:
        (root / "mine").mkdir()
        os.chown(root, 12345, 12345)
        assert project.project_root(root / "mine") == root / "mine"
        os.chown(root / "mine", 12345, 12345)
        assert project.project_root(root / "mine") == root


class TestLinks:
    @pytest.mark.parametrize(
        ("link", "agent", "form"), [("CLAUDE.md", "claude", FENCE), ("CONVENTIONS.md", "aider", REFERENCE)]
    )
    def test_two_names_of_one_file_are_one_file_with_one_section(
        self, root: Path, link: str, agent: str, form: str
    ) -> None:
        (root / "AGENTS.md").write_text("shared\n")
        (root / link).symlink_to("AGENTS.md")
        before = tree(root)
        init("--agent", agent, "codex")
        once = tree(root)
        # The form does not depend on who was named, else it would change with every call.
        for name in (agent, "codex"):
            init("--agent", name)
            assert tree(root) == once
        assert (root / "AGENTS.md").read_text() == f"shared\n\n{section(form)}\n"
        init("--remove", "--agent", agent)
        assert tree(root) == before

    def test_a_link_to_a_file_that_is_not_there_yet(self, root: Path) -> None:
        (root / "CLAUDE.md").symlink_to("AGENTS.md")
        before = tree(root)
        init("--agent", "claude")
        assert (root / "CLAUDE.md").is_symlink()
        assert BEGIN in (root / "AGENTS.md").read_text()
        init("--remove")
        assert tree(root) == before

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("../home/.bashrc", "out of the project"),
            ("build.sh", "no Markdown file"),
            ("CLAUDE.md", "circle"),
        ],
    )
    def test_a_link_that_leads_elsewhere_is_refused(
        self, root: Path, capsys: pytest.CaptureFixture[str], target: str, said: str
    ) -> None:
        (root / "build.sh").write_text("true\n")
        (root.parent / "home/.bashrc").write_text("true\n")
        (root / "CLAUDE.md").symlink_to(target)
        before = tree(root.parent)
        assert init("--agent", "claude") == 1
        assert said in capsys.readouterr().err
        assert tree(root.parent) == before


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _read_only(path: Path) -> None:
    path.write_text("mine\n")
    path.chmod(0o444)


def _latin(path: Path) -> None:
    path.write_bytes(b"one\ncaf\xe9\n")


def _utf16(path: Path) -> None:
    path.write_bytes("mine\n".encode("utf-16-le"))


def _hard_link(path: Path) -> None:
    path.write_text("mine\n")
    path.with_name("other").hardlink_to(path)


def _begun(path: Path) -> None:
    path.write_text(f"mine\n{BEGIN}\n")


def _huge(path: Path) -> None:
    path.write_bytes(b"x" * (project.MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_directory, "not a regular file"),
        (_fifo, "not a regular file"),
        (_read_only, "read-only"),
        (_latin, "line 2: it is not UTF-8"),
        (_utf16, "no text"),
        (_hard_link, "hard link"),
        (_begun, "line 2: the aiorch section begins here and has no end"),
        (_huge, "larger than 4 MiB"),
    ],
)
def test_a_file_that_cannot_be_changed_stops_all(
    root: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None], said: str
) -> None:
    make(root / "GEMINI.md")
    before = tree(root)
    assert init("--agent", "claude", "gemini", "codex") == 1
    error = capsys.readouterr().err
    assert "GEMINI.md: " in error
    assert said in error
    assert tree(root) == before


def test_all_problems_are_named_at_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _directory(root / "CLAUDE.md")
    _begun(root / "AGENTS.md")
    init("--agent", "claude", "codex")
    error = capsys.readouterr().err
    assert "CLAUDE.md: " in error
    assert "AGENTS.md: line 2" in error


def test_a_section_in_a_read_only_file_stays_until_it_is_writable(root: Path) -> None:
    init("--agent", "claude")
    (root / "CLAUDE.md").chmod(0o444)
    assert init("--agent", "claude") == 0
    assert init("--remove") == 1
    assert (root / "CLAUDE.md").exists()


def _one_change(root: Path) -> project.Change:
    (change,) = project.changes(root, PROFILES, ["claude"], take_out=False)
    return change


@pytest.mark.parametrize("before", [None, b"mine\n"])
def test_a_file_that_changed_meanwhile_is_left_alone(root: Path, before: bytes | None) -> None:
    path = root / "CLAUDE.md"
    if before is not None:
        path.write_bytes(before)
    change = _one_change(root)
    path.write_bytes(b"somebody was faster\n")
    with pytest.raises(InstructionFileError, match=r"CLAUDE\.md: it changed meanwhile"):
        project.apply(change)
    assert path.read_bytes() == b"somebody was faster\n"
    assert names(root) == {"CLAUDE.md"}


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "CLAUDE.md"
    path.write_bytes(b"mine\n")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    change = _one_change(root)
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(InstructionFileError, match="No space left"):
        project.apply(change)
    assert path.read_bytes() == b"mine\n"
    assert names(root) == {"CLAUDE.md"}


def test_a_new_file_has_the_usual_mode(root: Path) -> None:
    mask = os.umask(0o027)
    try:
        init("--agent", "claude")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((root / "CLAUDE.md").stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_owner_stays(root: Path) -> None:
    (root / "CLAUDE.md").write_text("theirs\n")
    os.chown(root / "CLAUDE.md", 12345, 54321)
    init("--agent", "claude")
    info = (root / "CLAUDE.md").stat()
    assert (info.st_uid, info.st_gid) == (12345, 54321)
    assert BEGIN in (root / "CLAUDE.md").read_text()


def test_a_profile_of_the_users_is_taught_in_its_own_file(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root.parent / "home/.config/aiorch/profiles"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(
        '[oneshot]\nargv = ["{agent}", "{task}"]\n[teach]\nfile = ".rules/lead.md"\nform = "reference"\n'
    )
    assert init("--agent", "mine") == 1
    assert ".rules/lead.md: its folder is not there" in capsys.readouterr().err
    (root / ".rules").mkdir()
    assert init("--agent", "mine") == 0
    assert (root / ".rules/lead.md").read_text() == section("reference") + "\n"
    (root / ".rules/lead.md").unlink()
    (root / ".rules").rmdir()
    (root / ".rules").symlink_to(root.parent / "home")
    assert init("--agent", "mine") == 1
    assert "out of the project" in capsys.readouterr().err
