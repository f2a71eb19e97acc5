"""What we do to the user's session: open the columns, label panes, show the status, put it all back."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aiorch.errors import TmuxError
from aiorch.tmux import hooks, layout
from aiorch.tmux.control import ControlClient, Pending

STRIP_ROWS = 5
_STATE_COLOURS = (
    ("failed", "red"),
    ("lost", "red"),
    ("killed", "red"),
    ("waiting", "yellow"),
    ("done", "green"),
)
_TAB = "\t"
_MAX_LOOKS = 50
_PLACE = "#{pane_id} #{pane_pid}"
_FIELDS = (
    "pane_id pane_pid window_id pane_dead pane_width pane_height @aiorch_action @aiorch_role window_layout"
)
_INFO = _TAB.join(f"#{{{name}}}" for name in _FIELDS.split())


@dataclass(frozen=True, slots=True)
class PaneInfo:
    """The few safe facts about a pane that we ask tmux for: ids, numbers, and options of our own."""

    pane: str
    pid: int
    window: str
    dead: bool
    columns: int
    rows: int
    action: str
    role: str
    layout: str


@dataclass(frozen=True, slots=True)
class SavedWindow:
    """What a window was like before we came; empty option values mean "not set on this window"."""

    window: str
    layout: str
    panes: int
    border_status: str
    border_format: str
    size: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What a pane shows, one line a row, its cursor as (column, row) from 0, and on which screen."""

    text: str
    cursor: tuple[int, int]
    alternate: bool = False


@dataclass(frozen=True, slots=True)
class Spawn:
    """One worker to place: its argv and the variables its pane gets."""

    argv: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a worker landed."""

    pane: str
    pid: int


class Session:
    """One tmux session seen through its control client; every method is one or two round trips."""

    def __init__(self, control: ControlClient, session: str) -> None:
        self.control = control
        self.session = session
        self.history_limit = 2000
        self.limits: tuple[str | None, int] = (None, 0)

    def panes(self) -> list[PaneInfo]:
        """Return all panes of the session.

        Titles, paths and commands are not asked for: programs in the panes write them.
        """
        return [
            _pane_info(row) for row in self.control.run("list-panes", "-s", "-t", self.session, "-F", _INFO)
        ]

    def pane(self, pane: str) -> PaneInfo | None:
        """Return one pane, also of another session that the user moved it to, or None when it is gone."""
        return next((info for info in self.everywhere(f"#{{==:#{{pane_id}},{pane}}}")), None)

    def everywhere(self, test: str) -> list[PaneInfo]:
        """Return the panes of all sessions for which a format is true."""
        return [_pane_info(row) for row in self.control.run("list-panes", "-a", "-f", test, "-F", _INFO)]

    def find_started(self, action: str) -> PaneInfo | None:
        """Return the pane whose process was started for an action, labelled or not, or None."""
        # tmux compares, so that no command line of the user's is ever read.
        test = f"#{{m:*worker.sh* {action} *,#{{pane_start_command}}}}"
        rows = self.control.run("list-panes", "-s", "-t", self.session, "-f", test, "-F", _INFO)
        return _pane_info(rows[0]) if rows else None

    def save_window(self, pane: str) -> SavedWindow:
        """Return what `restore_window` needs to put the pane's window back."""
        form = _TAB.join(
            ("#{window_id}", "#{window_layout}", "#{window_panes}", "#{window_width}x#{window_height}")
        )
        facts = self.control.run("display-message", "-p", "-t", pane, form)[0].split(_TAB)
        window = facts[0]
        local = [
            self.control.run("show-options", "-wqv", "-t", window, name)
            for name in ("pane-border-status", "pane-border-format")
        ]
        status, form = (lines[0] if lines else "" for lines in local)
        return SavedWindow(window, facts[1], int(facts[2]), status, form, facts[3])

    def restore_window(self, saved: SavedWindow) -> None:
        """Put labels and layout of a window back; a layout that no longer fits the panes is left alone."""
        for name, value in (
            ("pane-border-status", saved.border_status),
            ("pane-border-format", saved.border_format),
        ):
            self.set_window_option(saved.window, name, value or None)
        self.set_window_option(saved.window, "@aiorch_border_format", None)
        facts = self.control.try_run("display-message", "-p", "-t", saved.window, "#{window_panes}")
        if facts == [str(saved.panes)]:
            self.control.try_run("select-layout", "-t", saved.window, saved.layout)

    def set_window_option(self, window: str, name: str, value: str | None) -> None:
        """Set a window option, or unset it with None; a window that is gone is no error."""
        argv = ("-wu", "-t", window, name) if value is None else ("-w", "-t", window, name, value)
        self.control.try_run("set-option", *argv)

    def show_labels(self, saved: SavedWindow) -> None:
        """Show our labels in the borders of a window; other panes keep the text they had."""
        form = border_format()
        effective = self.control.run("show-options", "-wAv", "-t", saved.window, "pane-border-status")
        user_form = self.control.run("show-options", "-wAv", "-t", saved.window, "pane-border-format")
        others = user_form[0] if user_form and effective != ["off"] else ""
        self.set_window_option(saved.window, "@aiorch_border_format", others)
        self.set_window_option(saved.window, "pane-border-format", form)
        if effective == ["off"]:
            self.set_window_option(saved.window, "pane-border-status", "top")

    def label(self, pane: str, **labels: str) -> None:
        """Set our options (`name="x"` is `@aiorch_name`) on one pane; a pane that is gone is no error."""
        self.try_batch(_labelling(pane, labels))

    def note(self, pane: str, **labels: str) -> None:
        """Set our options on one pane as `label` does, without waiting for it to be done."""
        with contextlib.suppress(TmuxError):
            self.control.begin(_labelling(pane, labels))

    def try_batch(self, commands: Sequence[Sequence[str]]) -> None:
        """Run commands in one write; those that tmux refuses, for a pane that is gone, change nothing."""
        with contextlib.suppress(TmuxError):
            self.control.batch(commands)

    def open_columns(
        self,
        primary: str,
        size: tuple[int, int],
        monitor: Sequence[str],
        placeholder: Sequence[str],
        min_columns: int,
    ) -> tuple[str, str]:
        """Open the orchestrator and the workers' column beside the primary and return both pane ids.

        From `min_columns` columns on they are three thirds; below, the orchestrator is a strip along the
        bottom and the workers get the right half. Focus stays where it is.
        """
        width, _ = size
        _, second, third = layout.shares(width, 3)
        split = ("split-window", "-d", "-P", "-F", "#{pane_id}")
        if width >= min_columns:
            wide = str(second + 1 + third)
            crew = self.control.run(*split, "-hf", "-l", wide, "-t", primary, "--", *placeholder)[0]
            # Made at its final width: what it prints first is broken to that.
            middle = self.control.run(*split, "-hb", "-l", str(second), "-t", crew, "--", *monitor)[0]
            return middle, crew
        strip = self.control.run(*split, "-vf", "-l", str(STRIP_ROWS), "-t", primary, "--", *monitor)[0]
        half = str((width - 1) // 2)
        crew = self.control.run(*split, "-h", "-l", half, "-t", primary, "--", *placeholder)[0]
        return strip, crew

    def set_heights(self, heights: Mapping[str, int]) -> None:
        """Give panes of one column their heights in rows, top to bottom; the next pane takes the rest."""
        self.try_batch([("resize-pane", "-t", pane, "-y", str(rows)) for pane, rows in heights.items()])

    def kill_started(self, *patterns: str) -> None:
        """Close the session's panes whose process was started by a command like one of these patterns."""
        for pattern in patterns:
            test = f"#{{m:{pattern},#{{pane_start_command}}}}"
            rows = self.control.run("list-panes", "-s", "-t", self.session, "-f", test, "-F", "#{pane_id}")
            for pane in rows:
                self.kill_pane(pane)

    def begin_split(self, target: str, rows: int, spawn: Spawn) -> Pending:
        """Begin a worker right below `target`, `rows` high; `placed` tells where once tmux has answered."""
        argv = ("split-window", "-d", "-v", "-l", str(rows), "-P", "-F", _PLACE, *_variables(spawn))
        return self.control.begin([(*argv, "-t", target, "--", *spawn.argv)])

    def begin_window(self, name: str, spawn: Spawn) -> Pending:
        """Begin a worker in a new window of the session, which is not made current."""
        argv = ("new-window", "-d", "-n", name, "-P", "-F", _PLACE, *_variables(spawn))
        return self.control.begin([(*argv, "-t", f"{self.session}:", "--", *spawn.argv)])

    def begin_respawn(self, pane: str, spawn: Spawn) -> Pending:
        """Begin a worker in a pane that is there, in place of what runs in it.

        Its title would stay (3.3a), and be taken for what the next agent says of itself.
        """
        argv = ("respawn-pane", "-k", *_variables(spawn), "-t", pane, "--", *spawn.argv)
        title = ("select-pane", "-t", pane, "-T", "")
        return self.control.begin([argv, title, ("display-message", "-p", "-t", pane, _PLACE)])

    def user_history(self) -> tuple[str | None, int]:
        """Return the session's own history limit (None: it has none) and the one in effect."""
        show, name = ("show-options", "-t", self.session), "history-limit"
        local, effective = self.control.batch([(*show, "-qv", name), (*show, "-Av", name)])
        return local[0] if local else None, int(effective[0])

    def set_history(self, local: str | None) -> None:
        """Give the session a history limit of its own, or none."""
        change = ("set-option", "-t", self.session, "history-limit")
        self.control.begin([("set-option", "-u", *change[1:]) if local is None else (*change, local)])

    @contextlib.contextmanager
    def small_history(self) -> Iterator[None]:
        """Panes made inside get the workers' history limit; the user's own panes keep theirs.

        tmux reads the limit when a pane is made. Its forks cost more as its history grows (3.3a).
        """
        local, limit = self.limits
        if limit <= self.history_limit:
            yield
            return
        self.set_history(str(self.history_limit))
        try:
            yield
        finally:
            self.set_history(local)

    def even_heights(self, window: str, form: str, panes: Iterable[str]) -> None:
        """Divide the column that holds only `panes` evenly; `form` is the window's layout as tmux has it."""
        root = layout.parse(form)
        even = layout.equal_heights(root, set(panes))
        if even != root:
            self.control.try_run("select-layout", "-t", window, layout.dump(even))

    def kill_pane(self, pane: str) -> None:
        """Close a pane; one that is gone is no error."""
        self.control.try_run("kill-pane", "-t", pane)

    def show_status(self, text: str) -> None:
        """Show `text` where the user's status line has `#{AIORCH_STATUS}`: no process, no full redraw."""
        self._redraw_after([("set-environment", "-h", "-t", self.session, "AIORCH_STATUS", text)])

    def forget(self, *options: str) -> None:
        """Remove our hooks, the status text and these options of the session, in one write."""
        commands: list[Sequence[str]] = [*hooks.removing(self.control, self.session, hooks.LOST, hooks.PIPED)]
        commands += [("set-option", "-qu", "-t", self.session, name) for name in options]
        self._redraw_after([*commands, ("set-environment", "-hu", "-t", self.session, "AIORCH_STATUS")])

    def _redraw_after(self, commands: Sequence[Sequence[str]]) -> None:
        """Run commands and draw the status line of every terminal again."""
        form = "#{client_control_mode} #{client_name}"
        clients = self.control.run("list-clients", "-t", self.session, "-F", form)
        terminals = [row[2:] for row in clients if row.startswith("0 ")]
        # A client may leave in between; the rest is done all the same.
        self.try_batch([*commands, *(("refresh-client", "-S", "-t", name) for name in terminals)])

    def capture(self, pane: str) -> str:
        """Return what a pane shows now, one line a row, without trailing blanks."""
        return "\n".join(self.control.run("capture-pane", "-p", "-t", pane))

    def picture(self, pane: str) -> Picture:
        """Return what a pane shows and where its cursor is, both of one moment."""
        return picture_of(self.control.batch(picture_commands(pane)))

    def last_picture(self, pane: str) -> str:
        """Return what a pane shows once all that its process wrote has been drawn.

        A process can be gone before tmux has read its last words; each round trip lets the server read on.
        """
        shown, before = self.capture(pane), ""
        for _ in range(_MAX_LOOKS):
            if shown == before and shown.strip():
                break
            before, shown = shown, self.capture(pane)
        return shown

    def exit_status(self, pane: str) -> tuple[int | None, int | None]:
        """Return (status, signal) of a dead pane as tmux knows them, None where it does not.

        The server is sent SIGCHLD first: 3.2 to 3.5 built with utempter forget about half of all exits.
        """
        server = int(self.control.run("display-message", "-p", "#{pid}")[0])
        form = "#{pane_dead_status} #{pane_dead_signal}"
        for _ in range(_MAX_LOOKS):
            os.kill(server, signal.SIGCHLD)
            rows = self.control.try_run("display-message", "-p", "-t", pane, form)
            status, _, killed_by = (rows[0] if rows else " ").partition(" ")
            # The server may answer us before it has looked at the signal.
            if rows is None or status or killed_by:
                return (int(status) if status else None, int(killed_by) if killed_by else None)
        return None, None


def _labelling(pane: str, labels: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [("set-option", "-pq", "-t", pane, f"@aiorch_{name}", value) for name, value in labels.items()]


def picture_commands(pane: str) -> list[tuple[str, ...]]:
    """Return the commands whose answers `picture_of` understands."""
    facts = "#{cursor_x} #{cursor_y} #{alternate_on}"
    return [("capture-pane", "-p", "-t", pane), ("display-message", "-p", "-t", pane, facts)]


def picture_of(answers: Sequence[Sequence[str]]) -> Picture:
    """Return what a pane showed when it was asked by `picture_commands`."""
    rows, cursor = answers
    column, row, alternate = (int(number) for number in cursor[0].split())
    return Picture("\n".join(rows), (column, row), alternate == 1)


def border_format() -> str:
    """Return the `pane-border-format` that shows name, type and state of our panes."""
    state = "#{@aiorch_state}"
    for name, colour in _STATE_COLOURS:
        state = f"#{{?#{{==:#{{@aiorch_state}},{name}}},#[fg={colour}]#{{@aiorch_state}},{state}}}"
    kind = "#{?#{!=:#{@aiorch_type},},#{@aiorch_type} ,}"
    ours = f"#[bold] #{{@aiorch_name}} #[nobold]{kind}#{{?#{{!=:#{{@aiorch_state}},}},{state} ,}}"
    return f"#{{?#{{!=:#{{@aiorch_name}},}},{ours},#{{E:@aiorch_border_format}}}}"


def _pane_info(row: str) -> PaneInfo:
    pane, pid, window, dead, columns, rows, action, role, form = row.split(_TAB)
    return PaneInfo(pane, int(pid), window, dead == "1", int(columns), int(rows), action, role, form)


def placed(pending: Pending) -> Placed:
    """Return where a worker is that was begun; raises TmuxError when tmux refused it."""
    pane, _, pid = pending.wait()[-1][0].partition(" ")
    return Placed(pane, int(pid))


def _variables(spawn: Spawn) -> list[str]:
    return [f"-e{name}={value}" for name, value in spawn.environment.items()]
