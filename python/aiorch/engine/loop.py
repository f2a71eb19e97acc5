"""The engine: one queue, one thread that decides. Other threads only put events on the queue."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sqlite3
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from aiorch import disk
from aiorch.capture.pane import MAX_UNSETTLED_SECONDS, SETTLE_SECONDS
from aiorch.engine.keeper import give_up, keep_in_place
from aiorch.engine.lookout import Lookout
from aiorch.engine.run import Run
from aiorch.engine.witness import Witness
from aiorch.errors import AiorchError, DiskError, EngineError, JournalDamagedError, TmuxError, TmuxGoneError
from aiorch.journal import Tag
from aiorch.journal.fault import is_damage
from aiorch.tmux.control import ControlClient

MOST_LATE = 0.05

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What an event on the queue is about."""

    LOG = "log"
    INBOX = "inbox"
    FILES = "files"
    SETTINGS = "settings"
    TREES = "trees"
    EXIT = "exit"
    TMUX = "tmux"
    WROTE = "wrote"
    SIGHT = "sight"
    MODE = "mode"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `pid` for exits and watches, `line` for what tmux notified (None: gone)."""

    kind: Kind
    pid: int = 0
    line: str | None = None


class _Wake(FileSystemEventHandler):
    """Puts at most one event of a kind on the queue until the engine has taken it."""

    def __init__(self, put: Callable[[Kind], None], logs: Path) -> None:
        self._put = put
        self._logs = os.fsencode(logs)

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.is_directory or event.event_type not in ("modified", "created", "moved"):
            return
        self._put(Kind.LOG if os.fsencode(event.src_path).startswith(self._logs) else Kind.INBOX)


class _Any(FileSystemEventHandler):
    """Wakes the engine when anything in a folder is written."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("modified", "created", "moved", "deleted"):
            self._wake()


class _Watches(FileSystemEventHandler):
    """Watches the folders that matter at the moment, and wakes the engine for what matters in them."""

    def __init__(self, observer: BaseObserver, wake: Callable[[], None]) -> None:
        self._observer, self._wake = observer, wake
        self._watches: dict[Path, ObservedWatch] = {}
        self._names: tuple[bytes, ...] = ()

    def __call__(self, folders: Sequence[Path], names: Sequence[Path]) -> bool:
        """Watch these folders, each without what is below it; return whether one of them is new.

        `names` are how paths of interest begin.
        """
        new = False
        self._names = tuple(os.fsencode(name) for name in names)
        for folder in self._watches.keys() - set(folders):
            with suppress(KeyError):
                self._observer.unschedule(self._watches.pop(folder))
        for folder in folders:
            if folder not in self._watches:
                # A folder that is gone again, or too many watches: the pane's output makes us look, too.
                with suppress(OSError):
                    self._watches[folder] = self._observer.schedule(self, str(folder), recursive=False)
                    new = True
        return new

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the engine when something changed that begins with a name of interest, or leads to one."""
        if event.event_type not in ("modified", "created", "moved", "deleted"):
            return
        if event.is_directory and event.event_type == "modified":
            return
        paths = [os.fsencode(path) for path in (event.src_path, event.dest_path) if path]
        if any(path.startswith(name) or name.startswith(path) for path in paths for name in self._names):
            self._wake()


class Engine:
    """Runs one session's crew until it is stopped or the session ends."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._pending: set[Kind] = set()
        self._ended: deque[int] = deque()
        self._unsettled_since: float | None = None
        self._last_output = 0.0
        self._passed = False

    def notify_tmux(self, line: str | None) -> None:
        """Take a notification of the control client; called on its reader thread."""
        if line is None or line.startswith(("%layout-change", "%window", "%unlinked", "%exit", "%session")):
            self._queue.put(Event(Kind.TMUX, line=line))
        elif line.startswith("%pane-mode-changed"):
            self._wake(Kind.MODE)

    def notify_exit(self, pid: int) -> None:
        """Take note that a worker's process ended; called on the watcher's thread."""
        self._ended.append(pid)
        self._wake(Kind.EXIT)

    def stop(self) -> None:
        """Ask the loop to end, workers and journal left as they are; may be called from a signal handler."""
        self._queue.put(Event(Kind.STOP))

    def serve(self, run: Run) -> None:
        """Handle events until the run is over. Raises TmuxError when tmux is gone and does not come back."""
        observer = Observer()
        wake = _Wake(self._wake, run.paths.logs)
        observer.schedule(wake, str(run.paths.logs), recursive=False)
        observer.schedule(wake, str(run.paths.inbox), recursive=False)
        with suppress(OSError):
            observer.schedule(wake, str(run.door.path), recursive=False)
        for folder in run.renewal.folders:
            observer.schedule(_Any(lambda: self._wake(Kind.SETTINGS)), str(folder), recursive=False)
        observer.start()
        run.watch = _Watches(observer, lambda: self._wake(Kind.FILES))
        panes = Lookout(run.session, lambda: self._wake(Kind.SIGHT))
        run.states.begin(panes)
        run.isolation.wake = lambda: self._wake(Kind.TREES)
        run.upkeep.watch(Witness(lambda watch: self._queue.put(Event(Kind.WROTE, watch))))
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        try:
            # What came while no engine ran is there already, and nobody will tell.
            self._wake(Kind.LOG)
            self._wake(Kind.INBOX)
            self._wake(Kind.FILES)
            self._wake(Kind.TREES)
            run.show()
            while not run.over:
                self._step(run)
        finally:
            panes.close()
            observer.stop()
            observer.join()

    def _wake(self, kind: Kind) -> None:
        if kind not in self._pending:
            self._pending.add(kind)
            self._queue.put(Event(kind))

    def _step(self, run: Run) -> None:
        """Handle one event; what tmux refuses is told and costs no more than that step."""
        try:
            event = self._next(run)
            keep_in_place(run)
            if event is None:
                self._pass_time(run)
            else:
                self._handle(run, event)
            if not run.over:
                run.steering.act()
                run.crew.schedule()
                run.show()
        except TmuxGoneError:
            self._reattach(run)
        except (DiskError, JournalDamagedError):
            raise
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            raise JournalDamagedError(f"the journal is damaged: {error}") from error
        except AiorchError as error:
            log.exception("a step failed")
            run.journal.add_event(Tag.ERROR, str(error))

    def _reattach(self, run: Run) -> None:
        """Open another control client when only ours was detached; raises TmuxGoneError without a session."""
        run.session.control.close()
        if not session_exists(run.socket, run.session.session):
            raise TmuxGoneError("the session is gone")
        log.warning("the control client was detached: another one is opened")
        self._queue = queue.SimpleQueue()
        self._pending.clear()
        run.reattach(ControlClient(run.socket, run.session.session, self.notify_tmux))
        for kind in (Kind.LOG, Kind.INBOX, Kind.FILES, Kind.TREES, Kind.SIGHT, Kind.EXIT):
            self._wake(kind)
        run.recovery.reconcile()

    def _next(self, run: Run) -> Event | None:
        """Return the next event, or None when it is time for something that was put off."""
        times = (
            self._settle_at(), run.crew.next_time(), run.steering.next_time(), run.states.next_time(), run.due
        )  # fmt: skip
        due = [at for at in times if at is not None]
        if due and min(due) + MOST_LATE < time.time() and not self._passed:
            # However many events there are, what has a time comes about then; and they have their turn, too.
            self._passed = True
            return None
        self._passed = False
        try:
            return self._queue.get(timeout=max(0.0, min(due) - time.time()) if due else None)
        except queue.Empty:
            return None

    def _settle_at(self) -> float | None:
        if self._unsettled_since is None:
            return None
        return min(self._last_output + SETTLE_SECONDS, self._unsettled_since + MAX_UNSETTLED_SECONDS)

    def _handle(self, run: Run, event: Event) -> None:
        if event.kind is Kind.LOG:
            self._pending.discard(Kind.LOG)
            read_at = time.time()
            run.read_log()
            self._plan_settle(run, read_at)
        elif event.kind is Kind.INBOX:
            self._pending.discard(Kind.INBOX)
            run.renewal.follow_settings()
            if run.renewal.is_outdated():
                # The requests are still there for the one that follows.
                run.over = True
            elif run.requests.read():
                self._wake(Kind.INBOX)
        elif event.kind is Kind.FILES:
            self._pending.discard(Kind.FILES)
            run.read_files()
        elif event.kind is Kind.SETTINGS:
            self._pending.discard(Kind.SETTINGS)
            run.renewal.settings_changed()
        elif event.kind is Kind.TREES:
            self._pending.discard(Kind.TREES)
            run.crew.places_made()
        elif event.kind is Kind.EXIT:
            self._pending.discard(Kind.EXIT)
            # Those that end together are settled together: tmux is busy with them by itself.
            run.processes_ended([self._ended.popleft() for _ in range(len(self._ended))])
        elif event.kind is Kind.WROTE:
            run.primary.pipe.wrote(event.pid)
        elif event.kind in (Kind.SIGHT, Kind.MODE):
            self._pending.discard(event.kind)
            run.look()
        elif event.kind is Kind.TMUX:
            run.tmux_changed(event.line)
            self._plan_settle(run)
        else:
            run.over = True

    def _plan_settle(self, run: Run, output_at: float | None = None) -> None:
        """Come back once the pane has been silent for a moment since its last output, if that matters."""
        if run.primary.wants_settle:
            self._last_output = output_at or time.time()
            self._unsettled_since = self._unsettled_since or self._last_output
        else:
            self._unsettled_since = None

    def _pass_time(self, run: Run) -> None:
        settle_at = self._settle_at()
        if settle_at is not None and settle_at <= time.time():
            self._unsettled_since = None
            run.settle()
            # What is broken or does not count is told only when it is still there the next time.
            self._plan_settle(run)
        run.pass_time()
        if self._unsettled_since is None:
            # Another agent's eyes may see more on the same screen.
            self._plan_settle(run)
        run.steering.pass_time()
        run.states.pass_time()


def serve_logged(engine: Engine, run: Run) -> int:
    """Serve, with what goes wrong in the engine's log and in the event log; return the exit code.

    Where the disk refuses something, memory is ahead of the journal: the rest is left to the engine that is
    started once the disk can be written.
    """
    try:
        engine.serve(run)
    except (DiskError, OSError, sqlite3.OperationalError) as error:
        if not (isinstance(error, DiskError) or disk.is_refusal(error)):
            raise
        log.exception("the disk refuses")
        return EngineError.exit_code
    except TmuxError:
        log.warning("tmux is gone", exc_info=True)
        return 0
    except JournalDamagedError as error:
        # Another one begins when this one is gone, and saves what can be saved.
        log.error("the engine stopped: %s", error)
        give_up(run, error)
        return error.exit_code
    except AiorchError as error:
        log.exception("the engine stopped")
        run.journal.add_event(Tag.ERROR, f"the engine stopped: {error}")
        return error.exit_code
    return 0


def session_exists(socket: str, session: str) -> bool:
    """Return whether the tmux session is still there, asked without the control client."""
    argv = ["tmux", "-S", socket, "has-session", "-t", session]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
