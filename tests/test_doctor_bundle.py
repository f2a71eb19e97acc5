"""`aiorch doctor --bundle`: what is in it, and that what is private is not."""

from __future__ import annotations

import getpass
import io
import json
import re
import socket
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from conftest import LabMaker
from support.actor import AGENT, CONFIG, Actor, directive, tasks
from support.damage import settle_log
from support.doctor import doctor, forget_hooks, load_plugin, shell
from support.lab import Lab, until

CANARY = "Kanarienvogel"


def bundle(lab: Lab, words: str = "", **env: str) -> dict[str, str]:
    """Write a bundle and return its files by name."""
    path = lab.root / "report.tar.gz"
    path.unlink(missing_ok=True)
    done = shell(lab, f"aiorch doctor --bundle {path} {words}", **env)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return files(path)


def files(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive:
            assert (member.mode, member.uid, member.uname, member.gname) == (0o600, 0, "", "")
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.removeprefix("aiorch-doctor/")] = file.read().decode()
    return found


def has(found: dict[str, str], word: str) -> list[str]:
    """Return the files that hold a word, in whatever case."""
    return [name for name, text in found.items() if word.lower() in f"{name}\n{text}".lower()]


@pytest.fixture
def full(make_lab: LabMaker) -> Lab:
    """Return a lab in whose run the canary is wherever something of the user's can be."""
    lab = make_lab(project=f"project-{CANARY}", env={f"{CANARY}_KEY": CANARY, "API_KEY": CANARY})
    lab.put_program("claude", AGENT)
    load_plugin(lab)
    actor = Actor(lab, "%1")
    actor.session = CANARY
    lab.tmux("new-window", "-n", CANARY, "-c", str(lab.project), str(lab.root / "bin" / "claude"))
    lab.configure(f'{CONFIG}\n[types.{CANARY}]\ncommand = ["echo", "{CANARY}", "{{task}}"]\n')
    lab.aiorch("start", "--pane", "%1")
    actor.both(directive(f"echo {CANARY}", id=CANARY))
    actor.both(f'[ORCHESTRATE] {{"task": "broken {CANARY}')
    actor.both(directive("echo x", **{CANARY: CANARY}))
    until(lambda: lab.told("ERROR", CANARY) and lab.told("IGNORED", CANARY), "the canary is in the event log")
    until(lambda: len(tasks(lab)) == 2, "both run")
    lab.delegate((CANARY, f"echo {CANARY}; exit 3"), (f"{CANARY}-2", f"sleep 60 # {CANARY}"))
    until(lambda: lab.told("FAILED", CANARY) and lab.told("DONE"), "a worker has failed")
    lab.tmux("set-option", "-g", f"@aiorch-{CANARY}", CANARY)
    lab.tmux("set-option", "-g", "@aiorch-max-workers", CANARY)
    lab.tmux("set-option", "-g", f"@{CANARY}", "#{AIORCH_STATUS}")
    lab.tmux("bind-key", "-T", "prefix", "O", "display-message", CANARY)
    lab.tmux("set-environment", "-g", CANARY, CANARY)
    with (lab.run / "engine.log").open("a") as log:
        log.write(
            f"2025-01-01 00:00:00,000 ERROR aiorch.engine.loop a step with {CANARY}\n"
            "Traceback (most recent call last):\n"
            f'  File "/{CANARY}.py", line 1, in {CANARY}\n    {CANARY}()\n'
            f"aiorch.errors.TmuxError: tmux refused {CANARY}\n{CANARY}\n"
        )
    lab.tmux("rename-session", "-t", "m", CANARY)
    return lab


def in_session(lab: Lab, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    return shell(lab, line, TMUX_PANE="%1", **env)


def test_the_canary_is_everywhere_and_not_in_the_bundle(full: Lab) -> None:
    # It is really there to be found.
    told = in_session(full, "aiorch doctor --json").stdout
    for area in ("options", "key", "sessions"):
        assert any(
            CANARY in json.dumps(one) for one in json.loads(told)["findings"] if one["area"] == area
        ), area
    env = {"TMUX_PANE": "%1", f"{CANARY}_X": CANARY}
    found = bundle(full, **env)
    assert {name.rpartition("/")[2] for name in found} == {
        "CONTENTS.txt", "doctor.json", "tmux.json", "journal.json", "events.jsonl", "engine.log",
    }  # fmt: skip
    assert has(found, CANARY) == []
    # What helps is there all the same.
    session = json.loads(found["doctor.json"])["facts"]["sessions"]["with_a_run"][0]
    assert session["served_by"] == "a session file" and session["workers"]["failed"] == 1
    (log,) = (text for name, text in found.items() if name.endswith("engine.log"))
    assert "ERROR aiorch.engine.loop" in log and "aiorch.errors.TmuxError" in log
    (journal,) = (json.loads(text) for name, text in found.items() if name.endswith("journal.json"))
    assert {one["state"] for one in journal["workers"]} >= {"failed", "working"}
    assert {one["source"] for one in journal["directives"]} == {"transcript", "cli"}
    (events,) = (text.splitlines() for name, text in found.items() if name.endswith("events.jsonl"))
    assert len(events) == len(full.events())


def test_names_and_home_are_not_in_the_bundle_even_with_tasks(full: Lab) -> None:
    for words in ("", "--with-tasks"):
        found = bundle(full, words, TMUX_PANE="%1")
        assert has(found, str(full.home)) == []
        for name in (socket.gethostname(), getpass.getuser()):
            inside_words = re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.IGNORECASE)
            assert [one for one, text in found.items() if inside_words.search(text)] == []


def test_tasks_are_in_the_bundle_when_they_are_wanted(full: Lab) -> None:
    full.env["API_KEY"] = "SecretValue"
    found = bundle(full, "--with-tasks", TMUX_PANE="%1")
    (journal,) = (json.loads(text) for name, text in found.items() if name.endswith("with-tasks.json"))
    assert f"echo {CANARY}" in json.dumps(journal["directives"]) and CANARY in json.dumps(journal["events"])
    assert any(CANARY in text for name, text in found.items() if name.endswith("with-messages.log"))
    assert has(found, "SecretValue") == []
    assert "With tasks" in found["CONTENTS.txt"]


def test_the_bundle_is_for_its_owner_alone_and_tells_what_is_in_it(lab: Lab) -> None:
    done = shell(lab, "umask 022; aiorch doctor --bundle")
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = lab.project.glob("aiorch-doctor-*.tar.gz")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = files(path)
    assert {"CONTENTS.txt", "doctor.json", "tmux.json"} <= found.keys()
    for name in found:
        assert name in done.stdout
    assert "Look at it before you send it" in done.stdout
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert path.name.encode() not in path.read_bytes()


def test_a_file_that_is_there_stays_as_it_is(lab: Lab) -> None:
    target, link = lab.project / "mine.tar.gz", lab.project / "link.tar.gz"
    target.write_text("mine")
    link.symlink_to(lab.project / "nowhere")
    for path in (target, link, lab.project):
        done = shell(lab, f"aiorch doctor --bundle {path}")
        assert done.returncode == 1 and "is there already: name another file" in done.stderr
    assert target.read_text() == "mine" and not (lab.project / "nowhere").exists()
    done = shell(lab, "aiorch doctor --bundle /nowhere/x.tar.gz")
    assert done.returncode == 1 and "cannot be written (No such file or directory)" in done.stderr


def test_the_bundle_is_told_to_programs(lab: Lab) -> None:
    told = json.loads(shell(lab, "aiorch doctor --json --bundle b.tar.gz").stdout)
    assert told["bundle"] == "b.tar.gz" and told["with_tasks"] is False
    found = files(lab.project / "b.tar.gz")
    assert {one["name"]: one["size"] for one in told["files"]} == {
        name: len(text.encode()) for name, text in found.items()
    }


def test_with_tasks_needs_a_bundle(lab: Lab) -> None:
    done = shell(lab, "aiorch doctor --with-tasks")
    assert done.returncode == 2 and "--with-tasks goes with --bundle" in done.stderr


def test_a_damaged_journal_has_its_place_in_the_bundle(lab: Lab) -> None:
    lab.start()
    forget_hooks(lab)
    lab.kill_engine()
    settle_log(lab.run / "journal.db")
    with (lab.run / "journal.db").open("r+b") as file:
        file.write(CANARY.encode() * 300)
    found = bundle(lab)
    (journal,) = (json.loads(text) for name, text in found.items() if name.endswith("journal.json"))
    assert journal == {"error": "DatabaseError"}
    assert "file is not a database" in found["doctor.json"]
    assert has(found, CANARY) == []


def test_without_a_server_the_last_runs_are_in_the_bundle(lab: Lab) -> None:
    lab.start()
    name = lab.run.name
    assert doctor(lab).session["primary"] == "%0"
    lab.aiorch("stop")
    # Not even the user's own server is there.
    found = bundle(lab, TMUX="", TMUX_TMPDIR=str(lab.root))
    assert f"runs/{name}/journal.json" in found and "tmux.json" not in found


def test_the_archive_is_plain(lab: Lab) -> None:
    bundle(lab)
    data = (lab.root / "report.tar.gz").read_bytes()
    # No name and no time of the file itself in the head of gzip.
    assert data[3] == 0 and data[4:8] == bytes(4)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames()[0] == "aiorch-doctor/CONTENTS.txt"
