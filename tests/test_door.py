"""The door: how a command in an agent's sandbox reaches the engine, and what may not come through."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from aiorch.client import request
from aiorch.errors import RequestError
from aiorch.journal import DirectiveState
from support.lab import ECHO, REPO, STEP, Lab, until

RUN = {"verb": "run", "payload": {"task": "hello"}, "source": "cli"}


def door_of(lab: Lab) -> Path:
    return Path(json.loads((lab.run / "place").read_text())["door"])


def put(lab: Lab, body: object, name: str = "1-0123abcd.json") -> Path:
    """Leave a request in the door and return where its answer will be."""
    text = body if isinstance(body, str) else json.dumps(body)
    temporary = door_of(lab) / f".{name}"
    temporary.write_text(text)
    temporary.rename(temporary.with_name(name))
    return lab.run / "answers" / f"door-{name}"


def answer(path: Path) -> dict[str, object]:
    until(path.exists, "an answer")
    return dict(json.loads(path.read_text()))


def told_by(reply: Mapping[str, object]) -> dict[str, object]:
    """Return the one answer in a reply."""
    answers = reply["answers"]
    assert isinstance(answers, list)
    (one,) = answers
    return dict(one)


def test_door_is_a_folder_of_the_users_own_with_a_random_name(lab: Lab) -> None:
    lab.start()
    facts = door_of(lab).lstat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_uid) == (0o700, os.geteuid())
    assert len(door_of(lab).name) > len("aiorch-") + 6
    before = door_of(lab)
    lab.kill_engine()
    until(lambda: lab.told("LISTENING", "again"), "another engine")
    assert door_of(lab) == before
    lab.aiorch("stop")
    until(lambda: not before.exists(), "the door is gone with the run")


def test_what_comes_by_the_door_asks_whatever_it_claims_to_be(lab: Lab) -> None:
    lab.start(ECHO)
    told = told_by(answer(put(lab, RUN)))
    assert told["state"] == "asking"
    journal = lab.journal()
    (row,) = journal.directives()
    journal.close()
    assert (row.source, row.state) == ("door", DirectiveState.ASKING)


def test_type_shell_is_refused_at_the_door(lab: Lab) -> None:
    lab.start(ECHO)
    body = {**RUN, "payload": {"task": "x", "workers": [{"name": "s", "type": "shell", "task": "id"}]}}
    told = told_by(answer(put(lab, body)))
    assert told["state"] == "refused"


def test_nothing_but_a_task_comes_through_the_door(lab: Lab) -> None:
    lab.start(f'approve = "ask"\n{STEP}')
    lab.delegate(("a", "true"))
    for number, verb in enumerate(
        ("approve", "kill", "stop", "menu", "collected", "log", "tidy", "send"), 10
    ):
        body = {"verb": verb, "number": "1", "name": "a", "client": "x", "to": ["lead"], "text": "x"}
        reply = answer(put(lab, body, f"{number}-0123abcd.json"))
        assert (reply["ok"], "from a sandbox" in str(reply["error"])) == (False, True)
    journal = lab.journal()
    assert [row.state for row in journal.directives()] == [DirectiveState.ASKING]
    journal.close()


def _link(path: Path) -> None:
    target = path.parent.parent / f"{path.parent.name}-target"
    target.write_text(json.dumps(RUN))
    path.symlink_to(target)


def _second_name(path: Path) -> None:
    target = path.parent / ".own"
    target.write_text(json.dumps(RUN))
    path.hardlink_to(target)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _huge(path: Path) -> None:
    path.write_text(json.dumps({**RUN, "payload": {"task": "x" * (2 << 20)}}))


def test_what_is_no_plain_file_of_its_own_is_refused(lab: Lab) -> None:
    lab.start(ECHO)
    ways: list[Callable[[Path], None]] = [_link, _second_name, _pipe, _huge, Path.mkdir]
    for number, put_it in enumerate(ways, 10):
        path = door_of(lab) / f"{number}-0123abcd.json"
        put_it(path)
        # Nobody is told of a folder: the next request brings it up.
        put(lab, RUN, f"{number}-aaaaaaaa.json")
        reply = answer(lab.run / "answers" / f"door-{path.name}")
        assert reply["ok"] is False
        until(lambda path=path: not os.path.lexists(path), "it is taken away")  # type: ignore[misc]
    until(lambda: len(lab.journal_numbers()) == len(ways), "the requests after them are taken")


def test_other_names_are_not_even_looked_at(lab: Lab) -> None:
    lab.start(ECHO)
    for name in ("key-1.json", "1-0123abcd.json.json", "menu-7.json", "stop.json"):
        (door_of(lab) / name).write_text(json.dumps({"verb": "stop"}))
    assert answer(put(lab, RUN))["ok"] is True
    assert lab.engine_pids()


def test_a_door_that_was_exchanged_is_not_opened(lab: Lab) -> None:
    lab.start(ECHO)
    door = door_of(lab)
    other = lab.root / "aiorch-other"
    other.mkdir(mode=0o700)
    door.rmdir()
    door.symlink_to(other)
    (other / "1-0123abcd.json").write_text(json.dumps(RUN))
    assert request(lab.run, RUN)["ok"] is True
    until(lambda: lab.journal_numbers() == [1], "the request after it is taken")
    assert (other / "1-0123abcd.json").exists()
    door.unlink()


def test_what_cannot_be_taken_out_of_the_door_is_looked_at_once(lab: Lab) -> None:
    lab.start(ECHO)
    (door_of(lab) / ".bad").write_text("in the way")
    (door_of(lab) / "1-0123abcd.json" / "full").mkdir(parents=True)
    for number in (2, 3, 4):
        assert answer(put(lab, RUN, f"{number}-0123abcd.json"))["ok"] is True
    assert sum("could not be read" in event.text for event in lab.events()) == 1


def test_a_call_that_may_not_write_the_inbox_takes_the_door(lab: Lab) -> None:
    if os.geteuid() == 0 and _may_write_all():
        pytest.skip("root writes everywhere: the test with Codex's own sandbox covers this")
    lab.start(ECHO)
    (lab.run / "inbox").chmod(0o500)
    try:
        reply = request(lab.run, RUN)
    finally:
        (lab.run / "inbox").chmod(0o700)
    assert told_by(reply)["state"] == "asking"


def _may_write_all() -> bool:
    return sys.platform == "linux"


def test_refusals_are_told_to_the_caller(lab: Lab) -> None:
    lab.start(ECHO)
    with pytest.raises(RequestError, match="no payload"):
        request(lab.run, {"verb": "run"})


@pytest.fixture
def outside() -> Iterator[Path]:
    """Return a folder that Codex's sandbox lets nobody write, as a home is: everything below /tmp may be."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.mark.registry
@pytest.mark.slow
def test_a_command_in_codex_own_sandbox_delegates_and_reads(lab: Lab, codex: Path, outside: Path) -> None:
    (lab.home / ".local").mkdir()
    (lab.home / ".local/state").symlink_to(outside)
    lab.start(ECHO)
    lab.aiorch("spawn", "--type", "echo", "--name", "one", "--wait", "--", "forty-two")
    call = [sys.executable, "-B", str(REPO / "python")]
    inside = {
        **lab.env, "TMUX": lab.tmux("display-message", "-p", "#{socket_path},#{pid},") + "0",
        "TMUX_PANE": "%0", "CODEX_HOME": str(outside / "codex"),
    }  # fmt: skip
    (outside / "codex").mkdir()

    def sandboxed(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(codex), "sandbox", "-c", 'sandbox_mode="workspace-write"', "--", *call, *argv],
            env=inside, cwd=lab.project, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    can = sandboxed("--version")
    if can.returncode != 0:
        pytest.skip(f"CODEX SANDBOX NOT TESTED: {can.stderr.strip()[-200:]}")
    told = sandboxed("run", "--json", "from inside")
    assert json.loads(told.stdout)["state"] == "asking", told.stderr
    assert "one" in sandboxed("ps").stdout
    assert "forty-two" in sandboxed("collect", "--all").stdout
