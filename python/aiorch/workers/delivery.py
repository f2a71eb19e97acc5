"""What is done next about a message, by what its reader's pane shows (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aiorch.journal.rows import MessageState
from aiorch.workers.input_box import Held
from aiorch.workers.state import AgentState

DRAWN_SECONDS = 10.0
"""How long a box may take to show what was pasted, or a conversation what was sent off."""

AGAIN_SECONDS = 1.5
"""After how long Enter is pressed again when the box still holds the message."""

MOST_ENTERS = 3

COPY_MODE = "its pane is in copy mode"
DRAFT = "a draft is in its box"
MIXED = "it stands in the box together with a draft: send both or take one away"
NO_BOX = "its input box cannot be seen"
TYPING = "somebody is typing there"
SYNCHRONIZED = "its pane is synchronized with others"
NOT_SURE = "it is not sure whether it works"


class Stage(StrEnum):
    """What tmux has done with a message, as it stands in an option of the pane."""

    NONE = ""
    PASTED = "pasted"
    ENTERED = "entered"


class Step(StrEnum):
    """What is to be done now.

    `again`: it is queued once more, as it certainly is nowhere. `lose`: nobody can tell where it is.
    """

    WAIT = "wait"
    PASTE = "paste"
    ENTER = "enter"
    CONFIRM = "confirm"
    AGAIN = "again"
    LOSE = "lose"


@dataclass(frozen=True, slots=True)
class Seen:
    """A look at a pane, for one message.

    `held` is None where no box was found. `is_calm`: the agent has been idle for so long that it does not go
    on by itself. `has_arrived`: the message is in the conversation; None where that cannot be known for
    certain. `since` is for how long (seconds) the message is in its state, `gone` for how long the box was
    seen without it, `enters` how often Enter was pressed.
    """

    stage: Stage
    state: AgentState
    held: Held | None
    is_covered: bool = False
    is_synchronized: bool = False
    is_typed_in: bool = False
    is_calm: bool = True
    has_arrived: bool | None = None
    since: float = 0.0
    gone: float = 0.0
    enters: int = 0


def next_step(state: MessageState, seen: Seen) -> tuple[Step, str]:
    """Return what to do, and why it waits or what is not known."""
    # What was taken for gone may stand there after all: a machine that slept has drawn nothing meanwhile.
    is_back = seen.stage is Stage.PASTED and seen.held is Held.OURS
    if state is MessageState.QUEUED and not is_back:
        reason = obstacle(seen) or _box_obstacle(seen)
        return (Step.WAIT, reason) if reason else (Step.PASTE, "")
    if seen.stage is Stage.NONE:
        is_sure = state is MessageState.TYPING
        return (Step.AGAIN, "") if is_sure else (Step.LOSE, "nothing says whether it was sent off")
    if seen.held is Held.MIXED:
        return Step.WAIT, MIXED
    if seen.held is Held.OURS:
        return _press(seen)
    return _entered(seen) if seen.stage is Stage.ENTERED else _vanished(seen)


def obstacle(seen: Seen) -> str:
    """Return why nothing may be typed now, whatever the box holds; '' when it may."""
    if seen.is_covered:
        return COPY_MODE
    if seen.state is AgentState.WAITING:
        return "a dialog is open, or it waits for somebody"
    if seen.state is AgentState.WORKING:
        return "it is at work"
    if seen.is_synchronized:
        return SYNCHRONIZED
    if seen.state is not AgentState.IDLE or not seen.is_calm:
        return NOT_SURE
    return TYPING if seen.is_typed_in else ""


def _box_obstacle(seen: Seen) -> str:
    if seen.held is None:
        return NO_BOX
    return "" if seen.held is Held.EMPTY else DRAFT


def _press(seen: Seen) -> tuple[Step, str]:
    """Decide about a box that holds the message and nothing else."""
    reason = obstacle(seen)
    if reason:
        return Step.WAIT, reason
    if seen.stage is Stage.PASTED:
        return Step.ENTER, ""
    if seen.enters >= MOST_ENTERS:
        return Step.WAIT, "it stands in the box and does not go off: press Enter there"
    return (Step.ENTER, "") if seen.since >= AGAIN_SECONDS else (Step.WAIT, "")


def _entered(seen: Seen) -> tuple[Step, str]:
    """Decide about a message that left the box after Enter."""
    if seen.has_arrived:
        return Step.CONFIRM, ""
    if seen.held is not None and seen.state is AgentState.WORKING:
        return Step.CONFIRM, ""
    if seen.gone < DRAWN_SECONDS:
        return Step.WAIT, ""
    if seen.has_arrived is None:
        return Step.CONFIRM, ""
    return Step.LOSE, "it was sent off and is not in the conversation"


def _vanished(seen: Seen) -> tuple[Step, str]:
    """Decide about a message that was pasted, and that the box does not hold."""
    if seen.has_arrived:
        # Its reader's user has sent it.
        return Step.CONFIRM, ""
    if seen.gone < DRAWN_SECONDS or seen.held is None:
        return Step.WAIT, "" if seen.gone < DRAWN_SECONDS else NO_BOX
    if seen.has_arrived is None or seen.state is not AgentState.IDLE:
        return (Step.WAIT, "") if seen.state is AgentState.WORKING else (Step.LOSE, "it left the box unsent")
    return Step.AGAIN, "it was taken out of the box"
