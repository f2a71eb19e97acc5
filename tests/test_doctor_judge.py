"""What the doctor thinks of values: versions, options, keys, sizes, modes, healths."""

from __future__ import annotations

import os
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path

import pytest

from aiorch import disk as real_disk
from aiorch.config import Config, load_config
from aiorch.doctor import disk, engine, key, options, places, segment, settings, versions
from aiorch.doctor.collect import guarded
from aiorch.doctor.engine import Health
from aiorch.doctor.finding import Finding, Level, Part, all_findings, note, problem
from aiorch.doctor.options import UserOption
from aiorch.doctor.pane import PaneState
from aiorch.doctor.run import RunState, read_run
from aiorch.doctor.scene import Here, Scene
from aiorch.doctor.sessions import SessionState
from aiorch.doctor.sessions import judge as judge_session
from aiorch.doctor.survey import survey
from aiorch.doctor.text import Style, report, summary
from aiorch.doctor.words import Known, Moment, Size, Value, command, plain, say, shown
from aiorch.errors import TmuxError
from aiorch.paths import RunPaths
from aiorch.tmux.ask import Ask
from aiorch.ui.status import StatusStyle

NOW = 1_000_000.0
DECLARED = {
    "@aiorch-key": "O",
    "@aiorch-max-workers": "",
    "@aiorch-status": "auto",
    "@aiorch-status-style": "unicode",
}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Return a scene without tmux whose directories are the test's."""
    env = {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}
    return Scene(Ask(str(tmp_path / "no socket")), env, now=NOW)


def levels(findings: Sequence[Finding]) -> list[str]:
    return [str(one.level) for one in findings]


# ---- words


def test_values_are_shown_to_people_and_kept_for_programs() -> None:
    assert [shown(Size(n)) for n in (0, 1023, 1024, 5 << 20, 20 << 30)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "5.0 MiB", "20 GiB",
    ]  # fmt: skip
    assert [shown(one) for one in (True, None, ["a", Known("b")], {"done": 2}, [])] == [
        "yes", "-", "a, b", "done 2", "none",
    ]  # fmt: skip
    assert plain({"size": Size(5), "at": Moment(1.5), "path": Path("/a"), "all": [None, True]}) == {
        "size": 5, "at": 1.5, "path": "/a", "all": [None, True],
    }  # fmt: skip


def test_commands_quote_what_is_not_ours() -> None:
    assert str(command("chmod 700 {}", Path("/it's $HOME"))) == "chmod 700 '/it'\"'\"'s $HOME'"


def test_findings_come_with_the_worst_last() -> None:
    bad, so_so = problem("a", say("x"), say("y")), note("b", say("x"), say("y"))
    found = all_findings([Part("a", {}, (bad,)), Part("b", {}, (so_so,)), Part("c")])
    assert [(one.area, one.level) for one in found] == [
        ("c", Level.OK),
        ("b", Level.NOTE),
        ("a", Level.PROBLEM),
    ]
    assert summary(found) == "1 problem, 1 note"
    assert summary(found[:1]) == "nothing is wrong"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_report_keeps_to_the_width(width: int) -> None:
    one = problem(
        "area", say("word {} " * 9, *["x" * 20] * 9), say("do it"), command("very long {}", "y" * 200)
    )
    facts: dict[str, Value] = {"name": "z " * 90, "parts": [{"a": 1, "b": "c " * 80}, {"a": 2}]}
    text = report([Part("area", facts, (one,))], [one], {}, Style(width))
    lines = [line for line in text.splitlines() if "yyy" not in line]
    assert max(map(len, lines)) <= width
    assert f"very long {'y' * 200}" in text


def test_colours_are_there_when_they_are_wanted() -> None:
    found = [note("a", say("x"), say("y"))]
    assert "\033[33m●\033[0m a: x" in report([], found, {}, Style(color=True))
    assert "\033" not in report([], found, {}, Style())


def test_a_look_that_fails_is_a_finding(scene: Scene) -> None:
    def broken(_: Scene) -> Part:
        raise ZeroDivisionError("oh")

    def refused(_: Scene) -> Part:
        raise TmuxError("no such thing")

    (first,), (second,) = guarded(scene, "a", broken).findings, guarded(scene, "a", refused).findings
    assert "the doctor failed here: ZeroDivisionError: oh" in str(first.text)
    assert str(first.commands[0]).endswith("doctor --bundle")
    assert "this could not be looked at: TmuxError: no such thing" in str(second.text)


# ---- versions


@pytest.mark.parametrize(
    ("version", "number"),
    [("3.3a", (3, 3)), ("3.10", (3, 10)), ("next-3.6", (3, 6)), ("2.9a", (2, 9)), ("master", (999, 0)),
     ("openbsd-7.5", (999, 0))],
)  # fmt: skip
def test_numbers_of_tmux_versions(version: str, number: tuple[int, int]) -> None:
    assert versions.tmux_number(version) == number


@pytest.mark.parametrize("server", ["3.1c", None])
def test_a_tmux_that_is_too_old_is_a_problem(server: str | None) -> None:
    (found,) = versions.judge_tmux("3.2a", server, {}, utempter=False)
    assert found.level is Level.PROBLEM and f"tmux {server or '3.2a'} is too old" in str(found.text)


def test_another_server_than_the_program_is_noted() -> None:
    (found,) = versions.judge_tmux("3.8", "3.7c", {}, utempter=False)
    assert found.level is Level.NOTE and "the tmux server that runs is 3.7c, the program is 3.8" in str(
        found.text
    )
    assert versions.judge_tmux("3.8", "3.8", {}, utempter=False) == []


def test_known_trouble_of_versions_is_noted() -> None:
    assert levels(versions.judge_tmux("3.3a", "3.3a", {}, utempter=True)) == ["note", "note"]
    assert levels(versions.judge_tmux("3.6", "3.6", {}, utempter=True)) == ["note"]
    found = versions.judge_tmux("3.3a", "3.3a", {"window-size": "manual"}, utempter=False)
    assert levels(found) == ["problem", "note"]
    assert str(found[0].commands[0]) == "tmux set-option -g window-size latest"


def test_the_commit_of_a_checkout_is_read_without_git(tmp_path: Path) -> None:
    sha = "0123456789abcdef" * 2 + "01234567"
    git = tmp_path / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert versions.commit_of(tmp_path) == ""
    (git / "packed-refs").write_text(f"# pack-refs\n{sha} refs/heads/main\n")
    assert versions.commit_of(tmp_path) == sha[:12]
    (git / "HEAD").write_text(f"{sha[::-1]}\n")
    assert versions.commit_of(tmp_path) == sha[::-1][:12]
    assert versions.commit_of(tmp_path / "none") == ""


# ---- options


def judged(name: str, value: str = "", program: bool = True) -> list[tuple[str, str]]:
    found = options.judge([UserOption(name, value)], options.declared_options(), lambda _: program)
    return [(nearest, taken) for _, nearest, taken in found]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("@aiorch-max-worker", "@aiorch-max-workers"), ("@aiorch-maxworkers", "@aiorch-max-workers"),
     ("@aiorch_status_style", "@aiorch-status-style"), ("@aiorch-statusbar", "@aiorch-status"),
     ("@aiorch-zzzzzzzz", "")],
)  # fmt: skip
def test_unknown_options_have_the_nearest_known_one(name: str, nearest: str) -> None:
    assert judged(name) == [(nearest, "")]


@pytest.mark.parametrize("name", ["@aiorch_key", "@aiorch_run", "@aiorch_status_length", "@aiorch_dir"])
def test_our_own_state_is_no_misspelt_option(name: str) -> None:
    assert judged(name, "x") == []


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [("max-workers", "8", ""), ("max-workers", "", ""), ("max-workers", "0", "max_workers of config.toml"),
     ("min-rows", "-3", "min_rows of config.toml"), ("min-columns", "²", "min_columns of config.toml"),
     ("status", "auto", ""), ("status", "off", "manual is taken"), ("status-color", "yes", "on is taken"),
     ("status-style", "Ascii", "unicode is taken"), ("key", "M-Space", "")],
)  # fmt: skip
def test_values_are_judged(name: str, value: str, taken: str) -> None:
    found = judged(f"@aiorch-{name}", value)
    assert [text.startswith(taken) for _, text in found] == ([True] if taken else [])


def test_a_python_that_is_not_there_is_told() -> None:
    assert judged("@aiorch-python", "/no/python", program=False)[0][1].startswith("no such program")
    assert judged("@aiorch-python", "/a/python") == []


# ---- key

TABLE = (
    "bind-key    -T prefix C-b     send-prefix\n"
    "bind-key -r -T prefix \\;      last-pane\n"
    'bind-key  -T prefix O run-shell -b "#{q:@aiorch_dir}/scripts/aiorch key pane=#{q:pane_id} @aiorch-1"\n'
)


def test_bindings_are_read_with_their_keys_as_people_write_them() -> None:
    found = key.read_bindings(TABLE)
    assert [(one.key, one.is_ours) for one in found] == [("C-b", False), (";", False), ("O", True)]


def test_the_key_is_judged(scene: Scene) -> None:
    ours, free = key.read_bindings(TABLE), key.read_bindings(TABLE)[:2]
    assert key.judge(scene, "O", "O", "", ours) == []
    assert key.judge(scene, "", "", "", free) == []
    assert "prefix ; is taken by last-pane" in str(key.judge(scene, ";", "", "", free)[0].text)
    assert "it was named after" in str(key.judge(scene, "X", "O", "", ours)[0].text)
    assert "was taken away after" in str(key.judge(scene, "O", "O", "", free)[0].text)
    spelt = "aiorch: prefix c-B is taken, name another: set -g @aiorch-key KEY"
    assert "prefix c-B is taken" in str(key.judge(scene, "c-B", "", spelt, free)[0].text)


# ---- status bar


def bar(**values: str) -> dict[str, str]:
    base = {"status": "on", "status-right": "#{AIORCH_STATUS}", "status-right-length": "100"}
    own = {"@aiorch-status": "auto", "@aiorch-status-style": "unicode", "@aiorch_status_length": "100"}
    return {**base, **own, **{name.replace("_", "-"): value for name, value in values.items()}}


def test_the_segment_is_found_in_any_option_but_our_own() -> None:
    text = '@aiorch_segment "#{AIORCH_STATUS}"\nstatus-format[1]* "#{AIORCH_STATUS}"\nstatus-left x\n'
    assert segment.shown_in(text) == ["status-format"]


def test_the_status_bar_is_judged(scene: Scene) -> None:
    assert segment.judge(scene, bar(), True) == []
    assert levels(segment.judge(scene, bar(status="off"), True)) == ["note"]
    assert levels(segment.judge(scene, bar(), False)) == ["problem"]
    assert levels(segment.judge(scene, {**bar(), "@aiorch-status": "manual"}, False)) == ["note"]
    need = segment.segment_width(StatusStyle())
    assert 20 < need < segment.segment_width(StatusStyle(ascii=True)) <= 60
    assert levels(segment.judge(scene, bar(status_right_length=str(need - 1)), True)) == ["problem"]
    cut = segment.judge(scene, bar(status_right_length="80"), True)
    assert levels(cut) == ["note"] and str(cut[0].commands[0]).endswith("status-right-length 100")


# ---- paths and disk


def test_the_state_directory_is_surveyed(tmp_path: Path) -> None:
    state = tmp_path / "aiorch"
    run = RunPaths(state / "runs" / "one")
    run.create()
    run.journal.write_bytes(b"x" * 9000)
    run.journal.chmod(0o600)
    segment = run.logs / "segment"
    segment.write_bytes(b"x" * 70000)
    segment.chmod(0o600)
    found = survey(state)
    assert (found.open_folders, found.open_files, found.foreign, found.unreadable) == ([], [], [], [])
    assert found.runs[run.root] == found.size >= 79000
    run.journal.chmod(0o640)
    state.chmod(0o711)
    found = survey(state)
    assert (found.open_folders, found.open_files) == ([state], [run.journal])
    assert [str(one) for one in places.judge_state(state, found)[0].commands] == [
        f"chmod 700 {state}", f"chmod 600 {run.journal}",
    ]  # fmt: skip


def test_what_belongs_to_somebody_else_is_told(tmp_path: Path) -> None:
    state = tmp_path / "aiorch"
    state.mkdir(mode=0o700)
    (found, *_) = places.judge_state(state, survey(state, owner=os.getuid() + 1))
    assert f"{state} belongs to somebody else" in str(found.text)
    assert str(found.commands[0]) == f"sudo chown -R {os.getuid()} {state}"


def test_a_state_directory_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "aiorch"
    state.mkdir(mode=0o700)
    assert places.judge_state(state, survey(state)) == []
    assert list(state.iterdir()) == []
    monkeypatch.setattr(
        real_disk, "trouble", lambda folder: "Read-only file system" if folder == state else ""
    )
    (found,) = places.judge_state(state, survey(state))
    assert found.level is Level.PROBLEM and "cannot be written: Read-only file system" in str(found.text)


def test_former_environments_are_noted_with_their_removal(tmp_path: Path) -> None:
    for name in ("venv-1-1", "venv-2-2", "other"):
        (tmp_path / name).mkdir()
    (found,) = places.old_environments(tmp_path, tmp_path / "venv-2-2")
    assert [str(one) for one in found.commands] == [f"rm -r {tmp_path / 'venv-1-1'}"]
    assert places.old_environments(tmp_path, Path("/elsewhere/venv")) == []


def test_room_is_judged(tmp_path: Path) -> None:
    assert disk.judge(tmp_path, disk.MANY_BYTES, disk.MANY_FILES, None) == []
    assert levels(disk.judge(tmp_path, disk.MANY_BYTES - 1, disk.MANY_FILES, None)) == ["note"]
    assert levels(disk.judge(tmp_path, disk.FEW_BYTES - 1, disk.MANY_FILES, None)) == ["problem"]
    (found,) = disk.judge(tmp_path, disk.MANY_BYTES, disk.FEW_FILES - 1, command("prune"))
    assert found.level is Level.PROBLEM and "999 more files" in str(found.text)
    assert [str(one) for one in found.commands] == ["prune"]


def test_room_is_read_from_the_file_system(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    told = namedtuple("told", "f_bavail f_frsize f_files f_favail")
    monkeypatch.setattr(os, "statvfs", lambda _: told(10, 4096, 0, 0))
    part = disk.look(scene)
    assert part.facts["free"] == 40960 and part.facts["free_files"] is None
    assert levels(part.findings) == ["problem"]


def test_settings_that_were_changed_are_named_without_their_values() -> None:
    assert settings.changed_settings(load_config(None)) == []
    assert set(settings.changed_settings(Config(max_workers=9))) == {"max_workers", "rules"}


# ---- sessions


def session(tmp_path: Path, health: Health, pane: PaneState | None = None, **run: object) -> SessionState:
    root = tmp_path / "run"
    root.mkdir(exist_ok=True)
    state = RunState(root, pane="%0", **run)  # type: ignore[arg-type]
    good = PaneState("%0", 1, is_there=True, is_piped=True, writer=2)
    return SessionState("$1", "m", state, pane or good, health)


def test_a_session_is_judged(scene: Scene, tmp_path: Path) -> None:
    works = {"pid": 7, "is_alive": True, "is_locked": True}

    def said(health: Health, pane: PaneState | None = None, **run: object) -> list[str]:
        found = judge_session(scene, session(tmp_path, health, pane, **run))
        return [f"{one.level}: {one.text}" for one in found]

    assert said(Health(**works)) == []  # type: ignore[arg-type]
    stuck = Health(**works, waiting=3, oldest=NOW - engine.PATIENCE - 1)  # type: ignore[arg-type]
    assert said(stuck) == ["problem: session m: its engine (pid 7) leaves 3 requests unanswered"]
    busy = Health(**works, waiting=3, oldest=NOW - 1)  # type: ignore[arg-type]
    assert said(busy) == []
    # Another process may have its pid.
    assert said(Health(7, is_alive=True)) == ["problem: session m: its engine is gone (pid 7)"]
    lately = Health(**works, restarts=(NOW - 9e5, NOW - 60))  # type: ignore[arg-type]
    assert said(lately)[0].startswith("note: session m: its engine was lost and started again at")
    assert "is not written" in said(Health(**works), PaneState("%0", 1, is_there=True))[0]  # type: ignore[arg-type]
    assert "the screen alone" in said(Health(**works), source="the screen alone (unverified): x")[0]  # type: ignore[arg-type]
    assert "was not read yet" in said(Health(**works), unread=2 << 20)[0]  # type: ignore[arg-type]
    locked = said(Health(**works), damage="database is locked", is_busy=True)  # type: ignore[arg-type]
    assert locked[0].startswith("note: the journal of")


def test_commands_are_for_where_they_are_typed(tmp_path: Path) -> None:
    here = Here("$0", "%0", "my session")
    env = {"PATH": "/nowhere", "TMUX": "/s,1,0"}
    inside = Scene(Ask("/s"), env, "/s", here=here)
    assert str(inside.tmux("kill-pane -t {}", "%1")) == "tmux kill-pane -t %1"
    assert str(inside.aiorch("my session", "log")).endswith("/scripts/aiorch log")
    assert str(inside.aiorch("other", "log")).endswith("/scripts/aiorch --socket /s --session other log")
    outside = Scene(Ask("/s"), {"PATH": "/nowhere"}, "/s", here=here)
    assert str(outside.tmux("kill-pane -t {}", "%1")) == "tmux -S /s kill-pane -t %1"
    assert str(outside.aiorch("my session", "log")).endswith("--socket /s --session 'my session' log")


def test_a_run_without_a_journal_is_read_as_that(tmp_path: Path) -> None:
    assert read_run(tmp_path / "none").is_there is False
    (tmp_path / "journal.db").write_bytes(b"")
    assert "no such table" in read_run(tmp_path).damage
