"""Where things stand on the screen: the orchestrator's column, the workers' column, overflow windows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace

from aiorch import paths
from aiorch.config import Config
from aiorch.errors import TmuxError
from aiorch.journal import Journal, WorkerRow
from aiorch.tmux import layout
from aiorch.tmux.control import Pending
from aiorch.tmux.session import (
    STRIP_ROWS,
    PaneInfo,
    Placed,
    SavedWindow,
    Session,
    Spawn,
    border_format,
    placed,
)

_CREW = ("worker", "placeholder")


@dataclass(frozen=True, slots=True)
class Slot:
    """A worker to start; `prepare` writes down that it begins, and returns None when it cannot."""

    row: WorkerRow
    prepare: Callable[[], Spawn | None]


class Columns:
    """The panes around one primary; every position is read from tmux when it is needed."""

    def __init__(
        self, session: Session, journal: Journal, primary: str, config: Config, monitor: Sequence[str]
    ) -> None:
        self._session, self._journal, self._primary = session, journal, primary
        self.config, self._monitor = config, monitor

    def clear(self) -> None:
        """Close columns that an engine left behind which was killed before its run had begun."""
        for info in self._session.panes():
            if info.role in ("monitor", "placeholder"):
                self._session.kill_pane(info.pane)
        self._session.kill_started("*placeholder.sh *", "*/python --run * monitor")
        saved = self._journal.meta("window")
        if isinstance(saved, dict):
            self._session.restore_window(SavedWindow(**saved))

    def open(self, agent: str) -> None:
        """Open the columns around the primary, and remember what its window was like."""
        saved = self._session.save_window(self._primary)
        self._journal.set_meta("window", asdict(saved))
        self._session.show_labels(saved)
        self._session.label(self._primary, role="primary", name="primary", type=agent)
        self._split(saved.window, saved.size)

    def reopen(self) -> None:
        """Open the orchestrator's pane again when the user closed it, else leave all as it is."""
        info = self._session.pane(self._primary)
        if info is None or self._find("monitor") is not None:
            return
        argv = (
            "split-window",
            "-d",
            "-h",
            "-P",
            "-F",
            "#{pane_id}",
            "-t",
            self._primary,
            "--",
            *self._monitor,
        )
        self._session.label(self._session.control.run(*argv)[0], role="monitor", name="orchestrator")

    def even(self) -> None:
        """Divide the workers' columns evenly again."""
        panes = self._session.panes()
        for window in {info.window for info in panes if info.role in _CREW}:
            column = [info for info in panes if info.window == window and info.role in _CREW]
            self._session.even_heights(window, column[0].layout, [info.pane for info in column])

    def tidy(self, ended: Collection[str]) -> int:
        """Close the panes of workers that have ended and return how many; the column keeps a placeholder."""
        panes = self._session.panes()
        closing = [info for info in panes if info.role == "worker" and info.pane in ended]
        home = next((info.window for info in panes if info.pane == self._primary), None)
        count = len(closing)
        left = [info for info in panes if info.role in _CREW and info.window == home and info not in closing]
        if not left and closing and home is not None:
            first, *closing = sorted(closing, key=lambda info: info.window != home)
            self._make_placeholder(first.pane)
        for info in closing:
            self._session.kill_pane(info.pane)
        self._journal.forget_panes(ended)
        self.even()
        return count

    def keep_strip(self) -> None:
        """Keep the orchestrator's strip low when the window grew: tmux shares new rows out evenly."""
        monitor = self._find("monitor")
        primary = self._session.pane(self._primary)
        if monitor and primary and monitor.columns > primary.columns + 1 and monitor.rows != STRIP_ROWS:
            self._session.set_heights({monitor.pane: STRIP_ROWS})

    def place(self, jobs: Sequence[Slot], done: Collection[str] = ()) -> dict[int, Placed | TmuxError]:
        """Start workers where there is room and return where, by the workers' numbers.

        A worker that had a pane before gets it back; others go to the column, where the panes of `done`
        workers make room, oldest first, and then to overflow windows.
        What tmux refused has its error in place of a pane; what could not be prepared is left out.
        """
        panes = self._session.panes()
        present = {info.pane for info in panes}
        begun: dict[int, Pending] = {}
        fresh = []
        with self._session.small_history():
            for job in jobs:
                if job.row.pane not in present:
                    fresh.append(job)
                elif spawn := job.prepare():
                    begun[job.row.number] = self._session.begin_respawn(job.row.pane, spawn)
            panes = self._make_room(panes, len(fresh), done)
            self._place_fresh(panes, fresh, begun)
        return {number: _outcome(pending) for number, pending in begun.items()}

    def label(self, workers: Sequence[tuple[WorkerRow, Placed]]) -> None:
        """Name the panes of new workers, keep them when they end, and even out the columns."""
        commands: list[tuple[str, ...]] = []
        for row, place in workers:
            for name, value in (
                ("remain-on-exit", "on"),
                # tmux's own note would push the first row of the worker's last screen away.
                ("remain-on-exit-format", ""),
                ("@aiorch_role", "worker"),
                ("@aiorch_name", row.name),
                ("@aiorch_type", row.type),
                ("@aiorch_state", "working"),
                ("@aiorch_action", row.action),
            ):
                commands.append(("set-option", "-pq", "-t", place.pane, name, value))
        self._session.try_batch(commands)
        self.even()

    def show_state(self, row: WorkerRow, state: str) -> None:
        """Show a worker's state in its border."""
        if row.pane:
            self._session.label(row.pane, state=state)

    def close(self) -> None:
        """Close our panes, wherever the user has moved them, and put the window back as it was."""
        ours = {(row.pane, row.action) for row in self._journal.workers()}
        moved = [info for info in self._session.everywhere("#{@aiorch_action}")
                 if (info.pane, info.action) in ours]  # fmt: skip
        here = [info for info in self._session.panes() if info.role in ("monitor", *_CREW)]
        for pane in {info.pane for info in (*here, *moved)}:
            self._session.kill_pane(pane)
        for name in ("role", "name", "type", "state"):
            self._session.control.try_run("set-option", "-pu", "-t", self._primary, f"@aiorch_{name}")
        saved = self._journal.meta("window")
        if isinstance(saved, dict):
            self._session.restore_window(SavedWindow(**saved))

    def _find(self, role: str) -> PaneInfo | None:
        return next((info for info in self._session.panes() if info.role == role), None)

    def _split(self, window: str, size: str) -> None:
        width, _, height = size.partition("x")
        holder, narrow = self._placeholder(), self.config.min_columns
        monitor, crew = self._session.open_columns(
            self._primary, (int(width), int(height)), self._monitor, holder, narrow
        )
        self._session.label(monitor, role="monitor", name="orchestrator")
        self._session.label(crew, role="placeholder", name="workers")

    def _make_room(self, panes: list[PaneInfo], wanted: int, done: Collection[str]) -> list[PaneInfo]:
        """Close as many panes of done workers in the primary's window as the new ones need places."""
        home = next((info.window for info in panes if info.pane == self._primary), None)
        column = [info for info in panes if info.window == home and info.role in _CREW]
        cell = layout.column_of(layout.parse(column[0].layout), {i.pane for i in column}) if column else None
        if cell is None:
            return panes
        taken = sum(info.role == "worker" for info in column)
        missing = wanted - (layout.capacity(cell.height, self.config.min_rows) - taken)
        spare = [info for info in column if info.pane in done and info.dead]
        # One stays to be split from.
        closing = spare[: max(0, min(missing, len(column) - 1))]
        for info in closing:
            self._session.kill_pane(info.pane)
        self._journal.forget_panes({info.pane for info in closing})
        return self._session.panes() if closing else panes

    def _make_placeholder(self, pane: str) -> None:
        self._session.control.try_run("respawn-pane", "-k", "-t", pane, "--", *self._placeholder())
        for name in ("type", "state", "action"):
            self._session.control.try_run("set-option", "-pu", "-t", pane, f"@aiorch_{name}")
        self._session.label(pane, role="placeholder", name="workers")

    def _place_fresh(self, panes: list[PaneInfo], jobs: list[Slot], begun: dict[int, Pending]) -> None:
        home = next((info.window for info in panes if info.pane == self._primary), None)
        windows = {info.window: None for info in panes if info.role in _CREW}
        if jobs and home is not None and home not in windows:
            windows = {home: None} | windows
            panes = [*panes, self._new_column()]
        for window in sorted(windows, key=lambda name: name != home):
            jobs = self._fill(window, panes, jobs, begun)
        while jobs:
            first, *jobs = jobs
            if spawn := first.prepare():
                begun[first.row.number] = pending = self._session.begin_window("workers", spawn)
                jobs = self._fill_overflow(placed(pending), jobs, begun)

    def _fill_overflow(self, first: Placed, jobs: list[Slot], begun: dict[int, Pending]) -> list[Slot]:
        panes = self._session.panes()
        window = next(info.window for info in panes if info.pane == first.pane)
        # A window of our own: its labels need no way back.
        self._session.set_window_option(window, "pane-border-format", border_format())
        self._session.set_window_option(window, "pane-border-status", "top")
        mine = [replace(info, role="worker") for info in panes if info.window == window]
        return self._fill(window, mine, jobs, begun)

    def _placeholder(self) -> list[str]:
        """Return the command of the pane that holds the column, with the key to be named in it."""
        key = self._session.control.run("display-message", "-p", "-t", self._primary, "#{@aiorch-key}")[0]
        return ["/bin/sh", str(paths.script("placeholder.sh")), key or "O"]

    def _new_column(self) -> PaneInfo:
        """Open a workers' column where the user closed all of its panes."""
        argv = ("split-window", "-d", "-h", "-P", "-F", "#{pane_id}", "-t", self._primary, "--")
        pane = self._session.control.run(*argv, *self._placeholder())[0]
        self._session.label(pane, role="placeholder", name="workers")
        info = self._session.pane(pane)
        assert info is not None
        return info

    def _fill(
        self, window: str, panes: Sequence[PaneInfo], jobs: list[Slot], begun: dict[int, Pending]
    ) -> list[Slot]:
        """Begin as many workers as the window's column takes and return the jobs that are left.

        The first takes the place of the placeholder; all get their final height at once, so that no
        program starts in a pane that is about to change. Each is prepared while tmux forks the one
        before; a split goes right below its target, so the last is begun first.
        """
        column = [info for info in panes if info.window == window and info.role in _CREW]
        cell = layout.column_of(layout.parse(column[0].layout), {i.pane for i in column}) if column else None
        if cell is None or not jobs:
            return jobs
        roles = {info.pane: info.role for info in column}
        order = list(cell.panes())
        holder = next((pane for pane in order if roles[pane] == "placeholder"), None)
        room = max(0, layout.capacity(cell.height, self.config.min_rows) - len(order) + (holder is not None))
        batch, left = jobs[:room], jobs[room:]
        below = batch[1:] if holder else batch
        shares = layout.shares(cell.height, len(order) + len(below))
        if below:
            self._session.set_heights(dict(zip(order[:-1], shares, strict=False)))
        for job, rows in reversed(list(zip(below, shares[len(order) :], strict=True))):
            if spawn := job.prepare():
                begun[job.row.number] = self._session.begin_split(order[-1], rows, spawn)
        if holder and batch and (spawn := batch[0].prepare()):
            begun[batch[0].row.number] = self._session.begin_respawn(holder, spawn)
        return left


def _outcome(pending: Pending) -> Placed | TmuxError:
    try:
        return placed(pending)
    except TmuxError as error:
        return error
