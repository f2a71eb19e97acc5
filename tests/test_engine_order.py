"""What an attempt takes, and attempts that begin together: once, and all that have a place."""

from __future__ import annotations

from aiorch.engine.order import Batch, Order
from aiorch.journal import WorkerRow, WorkerState
from aiorch.workers.profile_file import load_profiles

ROW = WorkerRow(
    7, 1, "a", "step", "", "do it", (), WorkerState.QUEUED, "", 2, 0.0, "", 0, None, "", 0.0, None, None
)


def order() -> Order:
    return Order(load_profiles(None)["claude"], ["claude"], None, "", None)


def test_attempts_begin_once_the_first_has_a_place_and_what_is_left_over_is_known() -> None:
    begun: list[int] = []

    def begin() -> dict[int, Order]:
        begun.append(1)
        return {1: order(), 2: order(), 3: order()}

    batch = Batch(begin)
    assert begun == [] and batch.left == []
    assert batch.take(2) is not None and batch.take(1) is not None
    assert begun == [1] and batch.left == [3]
    # One that failed as it was to begin is none of them.
    assert batch.take(4) is None


def test_a_worker_gets_the_leads_variables_but_those_of_its_pane_and_agent() -> None:
    variables = {"PATH": "/bin", "TMUX": "x", "CLAUDECODE": "1", "KEY": "secret"}
    given = order().job(ROW, variables, "/project").environment
    assert {name: given.get(name) for name in (*variables, "AIORCH_WORKER", "AIORCH_ATTEMPT")} == {
        "PATH": "/bin", "TMUX": None, "CLAUDECODE": None, "KEY": "secret", "AIORCH_WORKER": "a",
        "AIORCH_ATTEMPT": "2",
    }  # fmt: skip
