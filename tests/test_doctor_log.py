"""What of logs, journals and events may stand in a bug report."""

from __future__ import annotations

import getpass
import json
import logging
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aiorch import paths
from aiorch.capture.directive import Directive, Source
from aiorch.doctor import journal_outline
from aiorch.doctor.engine_log import known_error, known_file, known_logger, outline, parse, read_tail
from aiorch.doctor.redact import Redactor
from aiorch.doctor.vocabulary import event, part, tmux_value, word
from aiorch.doctor.words import Known, Value, command, say
from aiorch.errors import TmuxError
from aiorch.journal import Journal, Tag, WorkerState
from aiorch.plan.schema import WorkerSpec

CANARY = "canary"
FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def logged(tmp_path: Path) -> str:
    """Return what an engine's log has of a step that failed with a task's words in its error."""
    file = tmp_path / "engine.log"
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter(FORMAT))
    log = logging.getLogger("aiorch.engine.loop")
    log.addHandler(handler)
    try:
        log.warning("nothing bad, %s", CANARY)
        try:
            try:
                json.loads(f"{CANARY}")
            except ValueError as error:
                raise TmuxError(f"tmux refused {CANARY}\n{CANARY}Error: second line") from error
        except TmuxError:
            log.exception("a step with %s failed", CANARY)
    finally:
        log.removeHandler(handler)
        handler.close()
    return file.read_text()


# ---- engine.log


def test_a_log_is_read_with_its_errors(tmp_path: Path) -> None:
    first, second = parse(logged(tmp_path))
    assert not first.is_bad and second.is_bad
    assert second.sentence == f"a step with {CANARY} failed (aiorch.errors.TmuxError: tmux refused {CANARY})"
    assert abs(second.time - time.time()) < 60
    assert (second.frames[-1][0], second.logger) == (__file__, "aiorch.engine.loop")


def test_the_outline_of_a_log_has_places_and_kinds_alone(tmp_path: Path) -> None:
    text = outline(logged(tmp_path))
    assert CANARY not in text
    assert "WARNING aiorch.engine.loop" in text and "ERROR aiorch.engine.loop" in text
    assert "  json/decoder.py:" in text and "  aiorch.errors.TmuxError" in text


@pytest.mark.parametrize(
    "line",
    [
        f"2025-01-01 00:00:00,000 ERROR {CANARY} text",
        f"2025-01-01 00:00:00,000 ERROR aiorch.{CANARY} text",
        f"2025-01-01 00:00:00,000 ERROR aiorch.engine.loop {CANARY}",
        f'  File "/{CANARY}.py", line 1, in {CANARY}\n    {CANARY}()\n{CANARY}Error: {CANARY}',
        f'  File "{paths.plugin_dir()}/python/aiorch/cli.py", line 1, in {CANARY}\n{CANARY}.Error',
        f'  File "{paths.plugin_dir()}/python/{CANARY}.py", line 1, in x\naiorch.errors.{CANARY}: x',
        f"the engine died while it began ({CANARY}): start it again\n{CANARY}",
        f"{CANARY}\n\n\t{CANARY}: 1",
    ],
)
def test_a_forged_line_of_a_log_does_not_get_out(line: str) -> None:
    assert CANARY not in outline(f"2025-01-01 00:00:00,000 ERROR aiorch.engine.loop x\n{line}\n")
    assert CANARY not in outline(f"{line}\n")


def test_what_is_known_in_a_log() -> None:
    assert known_logger("aiorch.engine.loop") == "aiorch.engine.loop"
    assert known_logger("aiorch.engine") == "aiorch.engine"
    assert known_logger("aiorch.engine.nothing") == known_logger("root") == "(other)"
    assert known_file(json.__file__) == "json/__init__.py"
    assert known_file(str(paths.plugin_dir() / "python/aiorch/cli.py")) == "aiorch/cli.py"
    assert known_file(str(paths.plugin_dir() / "python/aiorch/../aiorch/cli.py")) == "(other)"
    assert known_error("ValueError: x") == "ValueError"
    assert known_error("sqlite3.OperationalError: x") == "sqlite3.OperationalError"
    assert known_error("print: x") == known_error("sqlite3.connect") == known_error("") == "(another error)"


def test_the_death_of_a_beginning_engine_is_an_error_of_its_own() -> None:
    begun = "2025-01-01 00:00:00,000 INFO aiorch.x begun"
    died = "the engine died while it began (signal 9): start it again"
    assert [(one.level, one.logger) for one in parse(f"{begun}\n{died}\n")] == [
        ("INFO", "aiorch.x"),
        ("ERROR", "aiorch.engine.revive"),
    ]


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert read_tail(path, 100).splitlines()[-1] == "line 999"
    assert all(line.startswith("line ") for line in read_tail(path, 100).splitlines())


# ---- events


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("by the user", "by the user"),
        ("testing", "worker 4"),
        ("testing in pane %7", "worker 4 in pane %7"),
        ("testing: exit 2", "worker 4: exit 2"),
        ("testing: its pane was closed", "worker 4: its pane was closed"),
        ("2 working of 3", "2 working of 3"),
        ("pane %0: Claude Code", "pane %0: Claude Code"),
        ("Task: testing", None),
        ("canary", None),
        ("testing: canary", None),
        ("canary: exit 2", None),
        ("canary in pane %7", None),
        ("testing\nin pane %7", None),
        ("pane %0: canary", None),
        ("directives are read from canary.jsonl, its own register", None),
        ("the engine stopped: canary", None),
    ],
)
def test_events_are_told_when_their_words_are_ours(text: str, kept: str | None) -> None:
    assert event(text, {"testing": 4}) == kept


def test_words_and_shapes_of_ours() -> None:
    assert [word(text) for text in ("working", "%3", "$0", "000001-.aaaa:17", "claude")] == [
        "working", "%3", "$0", "000001-.aaaa:17", "claude",
    ]  # fmt: skip
    assert [word(text) for text in ("canary", "%x", "", "000001-.canarycanary")] == [None] * 4
    assert (tmux_value("off"), tmux_value("2000"), tmux_value("canary")) == ("off", "2000", None)
    assert [part(name) for name in ("runs", "20251122-101112-a1b2c3", "canary")] == [
        "runs", "20251122-101112-a1b2c3", "…",
    ]  # fmt: skip


# ---- journals


def full_journal(path: Path) -> None:
    (path.parent / "news").mkdir()
    journal = Journal(path)
    directive = Directive({"task": CANARY}, Source.CLI, CANARY, CANARY, CANARY, CANARY)
    number = journal.add_directive(directive, 1)
    assert number is not None
    journal.set_request(number, CANARY, {"task": CANARY})
    worker = journal.add_worker(number, WorkerSpec(CANARY, "shell", CANARY, ()))
    journal.move_worker(worker, WorkerState.FAILED, CANARY, result=CANARY, reason=CANARY, session=CANARY)
    journal.add_event(Tag.ERROR, CANARY)
    journal.add_event(Tag.DONE, CANARY)
    journal.set_meta("source", CANARY)
    journal.set_meta(CANARY, CANARY)
    journal.set_meta("cursor", ["000001-.aaaaa", 17])
    journal.keep_file(CANARY, {"path": CANARY})
    journal.keep_answer(CANARY, {"text": CANARY})
    journal.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE {CANARY} (x)")


def test_a_journal_is_outlined_without_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    full_journal(path)
    found: dict[str, Any] = journal_outline.outline(path)
    events = journal_outline.events(path)
    assert CANARY not in json.dumps([found, events])
    (worker,), (directive,) = found["workers"], found["directives"]
    assert (worker["state"], worker["task_length"], worker["name_length"]) == ("failed", 6, 6)
    assert (directive["source"], directive["payload_length"]) == ("cli", len(json.dumps({"task": CANARY})))
    assert found["meta"]["cursor"] == ["000001-.aaaaa", 17]
    assert found["meta"]["others"] == 1
    assert [(one["tag"], one["text"]) for one in events] == [("ERROR", "worker 1"), ("DONE", "worker 1")]
    assert CANARY in json.dumps(journal_outline.texts(path))


def test_a_damaged_journal_is_outlined_as_that(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(CANARY.encode() * 1000)
    assert journal_outline.outline(path) == {"error": "DatabaseError"}
    assert journal_outline.events(path) == []
    assert journal_outline.texts(path) == {}


# ---- values


@pytest.fixture
def redactor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Redactor:
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    monkeypatch.setattr(socket, "gethostname", lambda: "box.example.org")
    return Redactor({"HOME": "/home/alice", "XDG_STATE_HOME": "/srv/alice"})


def test_only_words_of_ours_numbers_and_known_parts_of_paths_are_told(redactor: Redactor) -> None:
    values: dict[str, Value] = {
        "word": Known("working"),
        "text": CANARY,
        "number": 3,
        "all": [CANARY, None, True],
    }
    assert redactor.value(values) == {"word": "working", "text": "…", "number": 3, "all": ["…", None, True]}
    sentence = say("{} is at {} since {}", CANARY, Path(f"/home/alice/{CANARY}"), 3)
    assert redactor.value(sentence) == "… is at ~/… since 3"
    assert redactor.value(command("mv {} {}", CANARY, Path("/x"))) == "mv … …"


def test_paths_are_told_as_far_as_we_named_them(redactor: Redactor) -> None:
    run = Path("/srv/alice/aiorch/runs/20251122-101112-a1b2c3")
    assert redactor.path(run / "engine.log") == "<state>/runs/20251122-101112-a1b2c3/engine.log"
    assert redactor.path(run / CANARY) == "<state>/runs/20251122-101112-a1b2c3/…"
    assert (
        redactor.path(Path(f"/home/alice/.config/aiorch/profiles/{CANARY}")) == "~/.config/aiorch/profiles/…"
    )
    assert redactor.path(Path("/usr/bin/tmux")) == "/usr/bin/tmux"
    assert redactor.path(Path(f"/usr/bin/{CANARY}")) == "/usr/bin/…"
    assert redactor.path(Path(f"/{CANARY}")) == "…"


def test_names_of_user_machine_and_home_are_replaced_always(redactor: Redactor) -> None:
    text = "in /home/alice/x on box.example.org, or BOX, for alice_b, not malice"
    assert redactor.text(text) == "in ~/x on <host>, or <host>, for <user>_b, not malice"
    with_tasks = Redactor({"HOME": "/home/alice"}, tasks=True)
    assert with_tasks.value(f"{CANARY} of alice") == f"{CANARY} of <user>"
    assert json.loads(with_tasks.json({"alice": ["/home/alice/x", 1]})) == {"<user>": ["~/x", 1]}
