"""`aiorch export`: a run as a report, as JSON, as an archive, whole while its engine writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from aiorch.journal import DirectiveState, Journal, Tag, WorkerState
from aiorch.journal.reading import reading
from aiorch.paths import RunPaths
from aiorch.ui.document import as_json, as_markdown, read_document
from support.damage import overwrite
from support.journals import begin, delegate, end, new_run
from support.lab import REPO

NASTY = "```\n# not a heading\n</details> | x\n\x1b[31mred"


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """Return a run with a worker that is done and one that failed, whose texts are nasty."""
    paths = new_run(tmp_path / "state" / "aiorch" / "runs" / "20261122-101112-abcdef")
    journal = Journal(paths.journal)
    first, second = delegate(journal, f"Build it {NASTY}", ["api", "tests"])
    begin(journal, first)
    end(journal, first, result=f"all is well {NASTY}")
    begin(journal, second)
    journal.move_worker(second, WorkerState.FAILED, "exit 2", reason="exit | 2", status=2, ended=3.5)
    journal.set_directive(1, DirectiveState.DONE)
    journal.add_event(Tag.DONE, NASTY)
    journal.close()
    (paths.workers / "w1-1").mkdir(0o700)
    (paths.workers / "w1-1" / "result").write_text("all is well")
    (paths.logs / "000001-aaaaa").write_bytes(b"what the lead printed\r\n")
    return paths


def call(run: RunPaths, *argv: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "XDG_STATE_HOME": str(run.root.parents[2])}
    command = [sys.executable, "-E", "-s", str(REPO / "python"), "export", *argv]
    return subprocess.run(command, capture_output=True, check=False, env=env, cwd=cwd, timeout=30)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def whole(run: RunPaths) -> dict[str, Any]:
    with reading(run.journal) as journal:
        found: dict[str, Any] = json.loads(as_json(read_document(run.root.name, journal)))
    return found


def test_json_holds_all_that_happened(run: RunPaths) -> None:
    found = whole(run)
    assert (found["format"], found["run"], found["directory"]) == (1, run.root.name, "/project")
    (directive,) = found["directives"]
    assert directive["payload"] == {"task": f"Build it {NASTY}"}
    assert [step["state"] for step in directive["steps"]] == ["running", "done"]
    assert [spec["name"] for spec in directive["plan"]] == ["api", "tests"]
    api, tests = found["workers"]
    assert (api["name"], api["state"], api["directive"], api["result"]) == (
        *("api", "done", 1),
        f"all is well {NASTY}",
    )
    assert [step["state"] for step in tests["steps"]] == ["queued", "starting", "working", "failed"]
    assert [event["tag"] for event in found["events"]][:2] == ["RECEIVED", "SPAWNED"]


def test_a_report_keeps_its_form_whatever_the_texts_say(run: RunPaths) -> None:
    with reading(run.journal) as journal:
        text = as_markdown(read_document(run.root.name, journal))
    assert all(char.isprintable() or char == "\n" for char in text)
    outside, fence = [], ""
    for line in text.split("\n"):
        ticks = re.fullmatch("(`{3,})", line)
        if ticks and not fence:
            fence = ticks[1]
        elif line == fence:
            fence = ""
        elif not fence:
            outside.append(line)
    assert fence == ""
    headings = [line for line in outside if line.startswith("#")]
    assert headings == [
        *("# Run 20261122-101112-abcdef", "## Directive #1: done", "### `api`", "### `tests`", "## Event log")
    ]
    assert any("| `tests` | `step` | failed | 1 |" in line and r"exit \| 2" in line for line in outside)
    assert "all is well" in text and "not a heading" not in " ".join(outside)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ([], "20261122-101112-abcdef.md"),
        (["--format", "json"], "20261122-101112-abcdef.json"),
        (["-o", "x.json"], "x.json"),
        (["-o", "x.tgz"], "x.tgz"),
        (["-o", "x", "--format", "tar"], "x"),
    ],
)
def test_the_file_is_the_owners_alone_and_never_overwritten_unasked(
    run: RunPaths, tmp_path: Path, argv: list[str], name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    argv = [run.root.name, *argv]
    previous = os.umask(0)
    try:
        assert call(run, *argv, cwd=out).returncode == 0
    finally:
        os.umask(previous)
    assert mode(out / name) == 0o600
    (out / name).write_text("mine")
    refused = call(run, *argv, cwd=out)
    assert refused.returncode == 1 and b"--force" in refused.stderr
    assert (out / name).read_text() == "mine"
    assert call(run, *argv, "--force", cwd=out).returncode == 0
    assert (out / name).read_bytes() != b"mine" and mode(out / name) == 0o600
    assert [path.name for path in out.iterdir()] == [name]


def test_forced_over_a_link_it_takes_the_links_place(run: RunPaths, tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link.md"
    victim.write_text("mine")
    link.symlink_to(victim)
    assert call(run, run.root.name, "-o", str(link), cwd=tmp_path).returncode == 1
    assert call(run, run.root.name, "-o", str(link), "--force", cwd=tmp_path).returncode == 0
    assert victim.read_text() == "mine" and not link.is_symlink()


def test_standard_output(run: RunPaths, tmp_path: Path) -> None:
    said = call(run, run.root.name, "-o", "-", "--format", "json", cwd=tmp_path).stdout
    assert json.loads(said)["run"] == run.root.name
    assert call(run, run.root.name, "-o", "-", cwd=tmp_path).stdout.startswith(b"# Run ")


@pytest.mark.parametrize("name", ["../runs", "/etc", ".", "", "nowhere"])
def test_a_name_that_is_no_runs_is_refused(run: RunPaths, tmp_path: Path, name: str) -> None:
    done = call(run, name, "-o", "-", cwd=tmp_path)
    assert done.returncode == 2 and b"there is no run" in done.stderr


def test_a_file_that_cannot_be_written_is_told(run: RunPaths, tmp_path: Path) -> None:
    done = call(run, run.root.name, "-o", "no/such/folder/x.md", cwd=tmp_path)
    assert done.returncode == 1 and b"cannot be written" in done.stderr


def test_an_archive_holds_the_run_with_a_journal_that_is_whole_while_it_is_written(
    run: RunPaths, tmp_path: Path
) -> None:
    journal = Journal(run.journal)
    os.mkfifo(run.workers / "w1-1" / "pipe")
    (run.workers / "w1-1" / "away").symlink_to("/etc")
    stop = threading.Event()
    archive = tmp_path / "run.tar.gz"

    def call_it() -> None:
        call(run, run.root.name, "-o", str(archive), cwd=tmp_path)
        stop.set()

    thread = threading.Thread(target=call_it)
    thread.start()
    while not stop.is_set():
        # Two that belong together: a copy has both or none.
        with journal.transaction():
            journal.add_event(Tag.DONE, "one")
            journal.set_meta("count", journal.newest)
    thread.join()
    journal.close()
    with tarfile.open(archive) as tar:
        names = {member.name: member for member in tar.getmembers()}
        # Python 3.11.2 has no filters yet; this archive is our own.
        tar.extractall(tmp_path / "copy", members=[m for m in tar if not m.issym()])
    base = run.root.name
    assert {f"{base}/journal.db", f"{base}/log/000001-aaaaa", f"{base}/workers/w1-1/result"} <= names.keys()
    assert (
        not {f"{base}/journal.db-wal", f"{base}/journal.db-shm", f"{base}/workers/w1-1/pipe"} & names.keys()
    )
    assert names[f"{base}/workers/w1-1/away"].issym()
    assert all(member.mode & 0o077 == 0 for name, member in names.items() if "journal" in name)
    with reading(tmp_path / "copy" / base / "journal.db") as copy:
        assert copy.meta("count") == copy.newest > 10


def test_a_damaged_journal_is_archived_as_it_is(run: RunPaths, tmp_path: Path) -> None:
    overwrite(run.journal, [0])
    archive = tmp_path / "run.tgz"
    done = call(run, run.root.name, "-o", str(archive), cwd=tmp_path)
    assert done.returncode == 0 and b"is put in as it is" in done.stderr
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"{run.root.name}/journal.db")
        assert file is not None and file.read() == run.journal.read_bytes()
    refused = call(run, run.root.name, "-o", "-", cwd=tmp_path)
    assert refused.returncode == 1 and b"is damaged" in refused.stderr
