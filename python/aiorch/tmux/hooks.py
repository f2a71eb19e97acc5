"""Hooks of ours beside the user's own: at an index of ours, and where they shadow nobody's."""

from __future__ import annotations

from aiorch.tmux.control import ControlClient

INDEX = 4207
LOST, PIPED = "client-detached", "after-pipe-pane"
_COMMANDS = {
    # The loss of our control client is that of the engine: another one is started.
    LOST: "if-shell -F '#{==:#{hook_client},#{@aiorch_client}}'"
    " { set-environment -h AIORCH_STATUS ' aiorch: engine lost ' ; run-shell -b '#{@aiorch_revive}' }",
    # Whoever pipes the pane after us is not to be cut off: that our writer is gone looks the same.
    PIPED: "if-shell -F '#{@aiorch_pipe}' { set-option -p @aiorch_pipe_changed 1 }",
}


def adding(control: ControlClient, session: str, *names: str) -> list[tuple[str, ...]]:
    """Return the commands that add our hooks for a session.

    A session with hooks of its own for an event does not run the global ones (3.3a): ours go where the
    user's are, and are the same for all sessions.
    """
    commands: list[tuple[str, ...]] = []
    for name in names:
        scope = ("-t", session) if _own(control, session, name) else ("-g",)
        commands.append(("set-hook", *scope, _at(name), _COMMANDS[name]))
    return commands


def removing(control: ControlClient, session: str, *names: str) -> list[tuple[str, ...]]:
    """Return the commands that take our hooks of a session out again; others with a run keep theirs."""
    rows = control.run("list-sessions", "-F", "#{session_id} #{@aiorch_run}")
    is_last = not any(run for other, _, run in (row.partition(" ") for row in rows) if other != session)
    commands: list[tuple[str, ...]] = []
    for name in names:
        if is_last:
            commands.append(("set-hook", "-gu", _at(name)))
        own = _own(control, session, name)
        if any(line.startswith(_at(name)) for line in own):
            # An empty array would shadow the global hooks, too.
            commands.append(("set-hook", "-u", "-t", session, _at(name) if len(own) > 1 else name))
    return commands


def _own(control: ControlClient, session: str, name: str) -> list[str]:
    shown = control.try_run("show-hooks", "-t", session, name) or []
    return [line for line in shown if line.startswith(f"{name}[")]


def _at(name: str) -> str:
    return f"{name}[{INDEX}]"
