"""Requests: files in the inbox, whoever wrote them, and what one of them may never do to the rest."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from aiorch.client import request
from aiorch.errors import EngineError, UsageError
from aiorch.journal import DirectiveRow, DirectiveState, WorkerRow, WorkerState
from aiorch.launch.local import RESULT_LIMIT, Job, LocalLauncher
from aiorch.ui.menu import RunCommands, menu_arguments
from aiorch.ui.terminal import printable
from aiorch.up import up
from conftest import LabMaker
from support.client import Client
from support.lab import REPO, STEP, Lab, alive, until


class Poison(NamedTuple):
    test_id: str
    put: Callable[[Path], object]
    words: str


def _text(body: str) -> Callable[[Path], object]:
    def put(path: Path) -> None:
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(body)
        temporary.rename(path)

    return put


def _deep(depth: int) -> str:
    return '{"verb": "run", "payload": {"task": "x", "more": ' + "[" * depth + "]" * depth + "}}"


POISON = [
    Poison("dangling link", lambda path: path.symlink_to("nowhere"), "could not be read"),
    Poison("directory", lambda path: (path / "x").mkdir(parents=True), "could not be read"),
    Poison("pipe", os.mkfifo, "no regular file"),
    Poison("no JSON", _text("{"), "could not be read"),
    Poison("no object", _text("[]"), "one JSON object"),
    Poison("verb of a wrong type", _text('{"verb": {}}'), "unknown request"),
    Poison("surrogate in a task", _text(r'{"verb": "run", "payload": {"task": "caf\udce9"}}'), "surrogates"),
    Poison("surrogate in a name", _text(r'{"verb": "kill", "name": "\udcff"}'), "surrogates"),
    Poison("deep", _text(_deep(500)), "deep"),
    Poison("far too deep", _text(_deep(200_000)), ""),
    Poison("superscript as a number", _text('{"verb": "approve", "number": "²"}'), "no number"),
    Poison("negative number", _text('{"verb": "approve", "number": "-1"}'), "no number"),
    Poison("escape as a name", _text(r'{"verb": "kill", "name": "\u001b[2J"}'), "no worker"),
    Poison("NUL as a client", _text(r'{"verb": "menu", "client": "\u0000"}'), ""),
]  # fmt: skip


def _errors(lab: Lab) -> list[str]:
    return [event.text for event in lab.events() if event.tag == "ERROR"]


def _answer(lab: Lab, name: str) -> dict[str, object]:
    path = lab.run / "answers" / name
    until(path.exists, f"the answer {name}")
    reply: dict[str, object] = json.loads(path.read_text())
    return reply


def test_poisoned_request_is_answered_and_put_away_and_the_next_one_works(lab: Lab) -> None:
    lab.start()
    engine, inbox = lab.engine_pids(), lab.run / "inbox"
    for index, poison in enumerate(POISON):
        name = f"p{index}.json"
        poison.put(inbox / name)
        # Some appear without an event that the engine listens to.
        lab.request({"verb": "log"})
        reply = _answer(lab, name)
        assert not reply["ok"] and poison.words in str(reply["error"]), (poison.test_id, reply)
        until(lambda name=name: not os.path.lexists(inbox / name), f"{poison.test_id} leaves the inbox")  # type: ignore[misc]
    texts = _errors(lab)
    assert len(texts) == len(POISON)
    assert all(text.isprintable() for text in texts)
    lab.delegate(("a", "true"))
    lab.wait_state(a="done")
    assert lab.engine_pids() == engine


UNFORESEEN = """
import aiorch.engine.requests
def fail(*_):
    raise ZeroDivisionError("nobody thought of this")
aiorch.engine.requests.Requests._layout = fail
"""


def test_failure_inside_the_engine_is_told_and_the_request_is_kept_aside(lab: Lab) -> None:
    lab.use_plugin(UNFORESEEN)
    lab.start()
    lab.request({"verb": "layout"}, "odd")
    assert "ZeroDivisionError" in str(_answer(lab, "odd.json")["error"])
    lab.wait_told("ERROR", "a request failed: ZeroDivisionError")
    assert len(list((lab.run / "inbox" / ".bad").iterdir())) == 1
    assert "Traceback" in (lab.run / "engine.log").read_text()
    lab.aiorch("tidy")


def test_answer_is_written_past_a_pipe_and_a_directory(lab: Lab) -> None:
    lab.start()
    answers = lab.run / "answers"
    os.mkfifo(answers / ".x.json")
    (answers / "y.json" / "sub").mkdir(parents=True)
    for name in ("y.json", "x.json"):
        _text('{"verb": "tidy"}')(lab.run / "inbox" / name)
    assert _answer(lab, "x.json")["ok"]
    lab.aiorch("tidy")
    assert [path for path in (lab.run / "inbox").iterdir() if path.suffix == ".json"] == []


def test_command_refuses_what_is_no_utf8_before_it_asks(lab: Lab) -> None:
    lab.start()
    program = [sys.executable, "-E", "-s", str(REPO / "python"), "--run", str(lab.run)]
    deep = b"[" * 100_000
    for argv in ([b"run", b"caf\xe9"], [b"kill", b"\xff"], [b"run", b"x", b"--workers", deep]):
        done = subprocess.run([*program, *argv], env=lab.env, capture_output=True, check=False)
        assert done.returncode == 2
        assert b"not valid UTF-8" in done.stderr or b"--workers is no JSON" in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert _errors(lab) == []


def test_request_to_a_run_that_was_deleted_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be reached"):
        request(tmp_path / "gone", {"verb": "tidy"})
    with pytest.raises(UsageError, match="UTF-8"):
        request(tmp_path / "gone", {"verb": "kill", "name": "\udcff"})


def test_worker_that_leaves_pipes_and_garbage_ends_like_any_other(lab: Lab) -> None:
    lab.start("retries = 0\n" + STEP)
    here = "d=${AIORCH_RESULT%/*}"
    # The pane stays once it has its label.
    labelled = '; until [ -e "$d/labelled" ]; do sleep 0.05; done'
    spoil = labelled + r"""; printf '\377\n' > "$d/exit"; kill -9 $PPID"""
    lab.delegate(
        ("pipe", 'mkfifo "$AIORCH_RESULT"'),
        ("link", 'ln -s /etc/passwd "$AIORCH_RESULT"'),
        ("garbage", here + spoil),
        ("gone", here + '; rm -rf "$d"; exit 3'),
    )
    until(lambda: all(row.ended for row in lab.workers().values()), "all ended")
    rows = lab.workers()
    assert (rows["pipe"].state, rows["link"].state) == ("done", "done")
    assert "root:" not in rows["link"].result
    assert rows["garbage"].state == "failed"
    # What tmux saw of its end counts instead.
    assert rows["gone"].status == 3
    lab.aiorch("tidy")


@pytest.mark.parametrize(
    ("record", "status"),
    [(b"0\n", 0), (b"143\n", 143), (b"1", None), (b"\n", None), (b"1234\n", None), (b"1\n2\n", None),
     (b"\xff\n", None), ("²\n".encode(), None), (b"-1\n", None), (b" 1\n", None)],
)  # fmt: skip
def test_record_of_an_end_is_whole_or_does_not_count(
    tmp_path: Path, record: bytes, status: int | None
) -> None:
    (tmp_path / "w1-1").mkdir()
    (tmp_path / "w1-1" / "exit").write_bytes(record)
    assert LocalLauncher(tmp_path).poll("w1-1") == status


def test_record_of_a_start_is_a_pid_or_does_not_count(tmp_path: Path) -> None:
    launcher, folder = LocalLauncher(tmp_path), tmp_path / "w1-1"
    folder.mkdir()
    for record, pid in (("4711\n", 4711), ("9999999999\n", None), ("1\n", None), ("x\n", None)):
        (folder / "start").write_text(record)
        assert launcher.attach("w1-1") == pid
    (folder / "result").write_bytes(b"x" * (RESULT_LIMIT + 1))
    assert len(launcher.result("w1-1")) == RESULT_LIMIT
    launcher.mark_labelled("w2-1")


def test_files_of_an_attempt_replace_what_a_worker_put_in_their_place(tmp_path: Path) -> None:
    folder, other = tmp_path / "w1-2", tmp_path / "other"
    folder.mkdir()
    other.write_text("mine")
    os.mkfifo(folder / "stdin")
    (folder / "task").symlink_to(other)
    for _ in range(2):
        LocalLauncher(tmp_path).start(Job("w1-2", ["cat"], "input", "/", {}, "task"))
    assert (folder / "stdin").read_text() == "input"
    assert ((folder / "task").read_text(), other.read_text()) == ("task", "mine")


def test_request_behind_a_stop_is_refused_and_starts_nothing(lab: Lab) -> None:
    lab.start()
    run, (engine,) = lab.run, lab.engine_pids()
    # Both are there when the engine looks again.
    os.kill(engine, signal.SIGSTOP)
    for name, verb in (("1", "stop"), ("2", "run")):
        payload = {"task": "x", "workers": [{"name": "a", "type": "step", "task": "sleep 60"}]}
        _text(json.dumps({"verb": verb, "payload": payload}))(run / "inbox" / f"{name}.json")
    os.kill(engine, signal.SIGCONT)
    until(lambda: not alive(engine), "the engine ends")
    assert json.loads((run / "answers" / "1.json").read_text())["ok"]
    assert "was stopped" in json.loads((run / "answers" / "2.json").read_text())["error"]
    assert lab.workers() == {}
    assert [path for path in (run / "inbox").iterdir() if path.suffix == ".json"] == []


ASKED = ["approve", "decline 1", "kill a", "retry a", "tidy", "stop"]


def test_worker_may_not_decide_about_the_run(lab: Lab) -> None:
    lab.start('default_type = "step"\n' + STEP)
    lab.say({"task": "true"})
    lab.wait_told("ASKING")
    program = shlex.join([sys.executable, "-E", "-s", str(REPO / "python"), "--run", str(lab.run)])
    lab.delegate(("a", f"for verb in {shlex.join(ASKED)}; do {program} $verb; done 2>>said; sleep 60"))
    until(lambda: len(_errors(lab)) == len(ASKED), "all are refused", 30)
    verbs = [asked.split()[0] for asked in ASKED]
    assert _errors(lab) == [f"not allowed: it came from a worker, and workers may not {v}" for v in verbs]
    assert lab.workers()["a"].state == "working"
    said = lab.project / "said"
    until(lambda: said.read_text().count("not allowed") == len(ASKED), "the worker is told")
    lab.aiorch("approve")
    lab.aiorch("kill", "a")
    lab.wait_state(a="killed", simple="done")


def test_request_with_a_pid_that_is_none_is_refused(lab: Lab) -> None:
    lab.start()
    for index, pid in enumerate(("1", -1, 0, [], 1.5)):
        _text(json.dumps({"verb": "tidy", "pid": pid}))(lab.run / "inbox" / f"{index}.json")
        assert "process id" in str(_answer(lab, f"{index}.json")["error"])
    lab.request({"verb": "tidy", "pid": 10**30})
    lab.aiorch("tidy")
    assert len(_errors(lab)) == 5


def test_what_a_worker_left_is_shown_without_its_escape_sequences(lab: Lab) -> None:
    lab.start()
    words = r"\033]0;mine\007\033[2Jall\033[31m red\302\233\ntwo"
    lab.delegate(("a", f"""printf '{words}' > "$AIORCH_RESULT" """))
    lab.wait_state(a="done")
    shown = lab.aiorch("status").stdout
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert r"\x1b[2Jall\x1b[31m red" in lab.aiorch("status", env={"COLUMNS": "300"}).stdout
    assert "\x1b[2Jall" in json.loads(lab.aiorch("status", "--json").stdout)["workers"][0]["result"]
    assert "\x1b" not in lab.aiorch("log").stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [("käse\n✔", "käse\n✔"), ("\x1b[1m\r\t", r"\x1b[1m\r\t"), ("\x9b\u202e\udce9", r"\x9b\u202e\udce9")],
)
def test_printable_keeps_text_and_shows_the_rest_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def _crew(count: int, state: WorkerState) -> list[WorkerRow]:
    return [
        WorkerRow(number, 1, f"w{number}", "step", "step", "x", (), state, "", 1, 0.0, f"%{number}", 1, None,
                  "", 0.0, None, None)
        for number in range(1, count + 1)
    ]  # fmt: skip


def _menu(rows: int | None, workers: int, asking: int, state: WorkerState = WorkerState.FAILED) -> list[str]:
    """Return the names of the entries, an empty one for a line."""
    questions = [
        DirectiveRow(
            number, "plain", "", "", {"task": f"t{number}"}, None, DirectiveState.ASKING, "", "", 0.0
        )
        for number in range(1, asking + 1)
    ]
    crew = _crew(workers, state)
    commands = RunCommands("/request.sh", "/inbox", ["aiorch"])
    items = menu_arguments(crew, questions, commands, [row.pane for row in crew], rows)
    names = []
    while items:
        names.append(items[0])
        del items[: 3 if items[0] else 1]
    return names


@pytest.mark.parametrize(("workers", "asking"), [(0, 0), (1, 1), (9, 3), (12, 0), (0, 3)])
def test_menu_is_never_higher_than_its_client_and_always_has_stop(workers: int, asking: int) -> None:
    for rows in range(3, 40):
        names = _menu(rows, workers, asking)
        assert len(names) + 2 <= rows
        assert names[-1] == "Stop…" and names[0]
        starts = [name for name in names if name.startswith("Start")]
        assert len(starts) == len([name for name in names if name.startswith("Decline")])
        # Nothing else goes before the last jump.
        assert not any("w1 " in name for name in names) or (len(starts) == asking and "Report" in names)


def test_menu_says_how_many_workers_it_leaves_out() -> None:
    assert _menu(24, 9, 3)[11:14] == ["✖ w4 (failed)", "… 5 more: Report", ""]
    assert "… 3 more: Report" in _menu(None, 12, 0)
    assert not any("more: Report" in name for name in _menu(None, 9, 3))


def _clients(lab: Lab) -> list[str]:
    return lab.tmux("list-clients", "-F", "#{client_width} #{client_height} #{client_name}").split("\n")


def test_menu_opens_on_a_small_terminal_with_many_workers_and_questions(make_lab: LabMaker) -> None:
    lab = make_lab(size=(80, 24))
    lab.start('default_type = "step"\nmax_workers = 9\n' + STEP)
    for index in range(3):
        lab.say({"task": f"true {index}"})
        until(lambda index=index: sum(e.tag == "ASKING" for e in lab.events()) == index + 1, "it asks")  # type: ignore[misc]
    lab.delegate(*[(f"w{index}", "sleep 60") for index in range(9)])
    until(lambda: all(row.state == "working" for row in lab.workers().values()), "all work")
    with Client(str(lab.socket), target="m", size=(80, 24)) as client:
        (terminal,) = [row.split()[2] for row in _clients(lab) if row.startswith("80 24 ")]
        for size in ((80, 24), (80, 14), (40, 9)):
            client.resize(*size)
            wanted = f"{size[0]} {size[1]} {terminal}"
            until(lambda wanted=wanted: wanted in _clients(lab), "the client has its size")  # type: ignore[misc]
            lab.request({"verb": "menu", "client": terminal})
            screen = client.wait_for("Stop…")
            assert screen.count("Start #") == {24: 3, 14: 1, 9: 0}[size[1]], screen
            client.send("\x1b")
            client.wait_for(lambda screen: "Stop…" not in screen)


@pytest.mark.parametrize(
    "name",
    ["", "a.b", "a:b", "#a", "a#{pid}", "$0", "@1", "%0", "=m", "-x", "{last}", "~", "!", "a*", " a", "a ",
     "a\n", "x" * 65],
)  # fmt: skip
def test_up_refuses_a_name_that_tmux_reads_otherwise(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="session's name"):
        up(name, "demo", None, attach=False, socket=str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_up_takes_names_as_people_write_them_and_leaves_no_half_made_session(lab: Lab) -> None:
    for name in ("my work", "1", "projekt-münchen_2"):
        lab.aiorch("up", "--name", name, "--agent", "demo", "--no-attach")
        again = lab.aiorch("up", "--name", name, "--agent", "demo", "--no-attach")
        assert again.stdout == ""
    names = lab.tmux("list-sessions", "-F", "#{session_name}").split("\n")
    assert sorted(names) == sorted(["m", "my work", "1", "projekt-münchen_2"])
    lab.configure("max_workers = 'many'\n")
    done = lab.aiorch("up", "--name", "half", "--agent", "demo", "--no-attach", check=False)
    assert done.returncode != 0 and "max_workers" in done.stderr
    assert lab.tmux("list-sessions", "-F", "#{session_name}").split("\n") == names
