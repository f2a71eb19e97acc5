"""An engine killed before any one of its effects: every directive runs once, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.actor import AGENT
from support.crashes import CONFIG, NEVER, STEPS, Crashes, Step
from support.lab import Lab, alive, until

SOME = 6
"""Of so many effects one is tried on a laptop, every one by .ci/run."""

MOST = 200


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab")
    if getattr(request, "param", "") == "recorded":
        lab._primary = [str(lab.put_program("claude", AGENT))]
    with lab:
        yield lab


def effects_of(step: Step) -> list[str]:
    """Do a step once without a crash and return its effects."""
    crashes = step.crashes
    crashes.order(NEVER)
    step.begin("t0")
    step.finish("t0")
    crashes.wait_right(*step.tokens("t0"))
    effects = crashes.effects
    crashes.disarm()
    print("\n".join(f"{number} {name}" for number, name in enumerate(effects, 1)))
    return effects


READS = ("list-panes", "list-clients", "capture-pane", "display-message", "show-options")


def telling(effects: list[str]) -> list[int]:
    """Return the numbers of effects; what only asks tmux changes nothing before what comes next."""
    return [n for n, name in enumerate(effects, 1) if name.removeprefix("tmux ") not in READS]


def explore(lab: Lab, name: str, stride: int) -> None:
    crashes = Crashes(lab)
    lab.start(CONFIG)
    step = STEPS[name](crashes)
    numbers = telling(effects_of(step))[::stride]
    tokens, died = step.tokens("t0"), 0
    for number in numbers:
        crashes.order(number)
        step.begin(f"t{number}")
        step.finish(f"t{number}")
        tokens += step.tokens(f"t{number}")
        crashes.wait_right(*tokens)
        died += crashes.killed
        crashes.disarm()
    # How often tmux is asked, and what comes in one read, differs from time to time.
    assert died >= 0.8 * len(numbers)


@pytest.mark.parametrize(("lab", "name"), [(name, name) for name in STEPS], indirect=["lab"])
def test_an_engine_killed_at_some_effects_does_everything_once(lab: Lab, name: str) -> None:
    explore(lab, name, SOME)


@pytest.mark.slow
@pytest.mark.parametrize(("lab", "name"), [(name, name) for name in STEPS], indirect=["lab"])
def test_an_engine_killed_at_any_effect_does_everything_once(lab: Lab, name: str) -> None:
    explore(lab, name, 1)


@pytest.mark.parametrize("stride", [SOME, pytest.param(1, marks=pytest.mark.slow)])
def test_an_engine_killed_while_it_takes_up_a_run_does_everything_once(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.start(CONFIG)
    step = STEPS["called"](crashes)
    effects = effects_of(step)
    first = next(n for n, name in enumerate(effects, 1) if name in ("tmux respawn-pane", "tmux split-window"))
    tokens = step.tokens("t0")
    for second in range(1, MOST, stride):
        crashes.order(first + 1, second)
        step.begin(f"t{second}")
        tokens += step.tokens(f"t{second}")
        crashes.wait_right(*tokens)
        twice = crashes.killed == 2
        crashes.disarm()
        if not twice:
            assert second > SOME
            return
    pytest.fail("it never came to the end")


@pytest.mark.parametrize("stride", [SOME, pytest.param(1, marks=pytest.mark.slow)])
def test_an_engine_killed_while_it_begins_is_begun_again_by_the_key(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.configure(CONFIG)
    for number in range(1, MOST, stride):
        crashes.order(number)
        lab.aiorch("start", "--pane", "%0", check=False)
        died = crashes.killed
        crashes.disarm()
        # By itself, or by the key pressed once more.
        until(lambda: _roles(lab) == ["monitor", "placeholder", "primary"] or _press(lab), "the columns")
        until(lambda: any(alive(pid) for pid in lab.engine_pids()) or _press(lab), "an engine")
        lab.delegate((f"w{number}", crashes.note(f"t{number}")))
        crashes.wait_right(f"t{number}")
        lab.aiorch("stop")
        _check_clean(lab)
        if not died:
            assert number > SOME
            return
    pytest.fail("it never came to the end")


@pytest.mark.parametrize("stride", [SOME, pytest.param(1, marks=pytest.mark.slow)])
def test_an_engine_killed_while_it_stops_leaves_nothing_behind(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.configure(CONFIG)
    for number in range(1, MOST, stride):
        lab.aiorch("start", "--pane", "%0")
        lab.delegate((f"w{number}", f"{crashes.note(f't{number}')}; exec sleep 60"))
        crashes.wait_noted(f"t{number}")
        lab.wait_state(**{f"w{number}": "working"})
        pid = lab.workers()[f"w{number}"].pid
        crashes.order(number)
        lab.aiorch("stop", check=False)
        _wait_ended(pid)
        until(lambda: len(lab.panes("pane_id")) == 1, "the columns are closed")
        died = crashes.killed
        crashes.disarm()
        until(lambda: not any(alive(pid) for pid in lab.engine_pids()), "no engine is left")
        _check_clean(lab)
        if not died:
            assert number > SOME
            return
    pytest.fail("it never came to the end")


def _wait_ended(pid: int) -> None:
    until(lambda: not alive(pid), "the worker has ended")


def _roles(lab: Lab) -> list[str]:
    return sorted(row[0] for row in lab.panes("@aiorch_role"))


def _press(lab: Lab) -> bool:
    lab.aiorch("start", "--pane", "%0", check=False)
    return False


def _check_clean(lab: Lab) -> None:
    assert len(lab.panes("pane_id")) == 1
    for place in (["-t", "m"], ["-p", "-t", "%0"], ["-w", "-t", "m"]):
        assert "aiorch" not in lab.tmux("show-options", *place)
    assert "aiorch" not in lab.tmux("show-hooks", "-t", "m")
    assert "AIORCH" not in lab.tmux("show-environment", "-h", "-t", "m")
