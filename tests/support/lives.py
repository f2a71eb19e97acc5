"""What every worker's life must look like in the journal, whatever was done to its engine."""

from __future__ import annotations

from aiorch.journal import ENDED, Journal, WorkerState

_FOLLOWS: dict[WorkerState | None, set[WorkerState]] = {
    None: {WorkerState.QUEUED},
    WorkerState.QUEUED: {WorkerState.STARTING, WorkerState.FAILED, WorkerState.KILLED, WorkerState.SKIPPED},
    WorkerState.STARTING: {WorkerState.QUEUED, WorkerState.WORKING, *ENDED},
    # Taken up after the loss of tmux it works on.
    WorkerState.WORKING: {WorkerState.QUEUED, WorkerState.WORKING, WorkerState.WAITING, *ENDED},
    WorkerState.WAITING: {WorkerState.QUEUED, WorkerState.WORKING, *ENDED},
    **{state: {WorkerState.QUEUED} for state in ENDED},
    # The user may say more to an agent that stays in its pane.
    **{
        state: {WorkerState.QUEUED, WorkerState.WORKING, WorkerState.WAITING}
        for state in (WorkerState.DONE, WorkerState.FAILED)
    },
}


def check_lives(journal: Journal) -> None:
    """Check that each step of every life follows from the one before, has its evidence, and led to now."""
    states: dict[int, tuple[WorkerState, int]] = {}
    for step in journal.transitions():
        before, attempt = states.get(step.worker, (None, 1))
        assert step.state in _FOLLOWS[before], (step, before)
        never_ran = (None, WorkerState.STARTING, WorkerState.SKIPPED)
        again = step.state is WorkerState.QUEUED and before not in never_ran
        assert step.attempt == attempt + again, (step, attempt)
        assert step.evidence, step
        states[step.worker] = (step.state, step.attempt)
    assert states == {row.number: (row.state, row.attempt) for row in journal.workers()}
