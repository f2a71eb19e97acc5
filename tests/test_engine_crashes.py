"""An engine killed before any one of its effects: every directive runs once, and nothing is left behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.actor import AGENT
from support.crashes import CONFIG, NEVER, STEPS, Crashes, Step, telling
from support.lab import Lab, alive, until

SOME = 8
"""Of so many effects one is tried on a laptop, every one by .ci/run."""


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


STRIDES = pytest.mark.parametrize("stride", [SOME, pytest.param(1, marks=pytest.mark.slow)])


@STRIDES
def test_an_engine_killed_while_it_takes_up_a_run_does_everything_once(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.start(CONFIG)
    step = STEPS["called"](crashes)
    effects = effects_of(step)
    begun = next(n for n, name in enumerate(effects, 1) if name in ("tmux respawn-pane", "tmux split-window"))
    tokens = step.tokens("t0")
    numbers, died = [NEVER], 0
    for index in itertools.count():
        if index == len(numbers):
            break
        crashes.order(begun + 1, numbers[index])
        step.begin(f"t{index + 1}")
        tokens += step.tokens(f"t{index + 1}")
        crashes.wait_right(*tokens)
        if index == 0:
            recovery = crashes.effects[crashes.effects.index("killed") + 1 :]
            numbers += telling(recovery)[::stride]
        died += crashes.killed == 2
        crashes.disarm()
    assert died >= 0.8 * (len(numbers) - 1) > 0


@STRIDES
def test_an_engine_killed_while_it_begins_is_begun_again_by_the_key(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.configure(CONFIG)
    numbers, died = [NEVER], 0
    for index in itertools.count():
        if index == len(numbers):
            break
        crashes.order(numbers[index])
        lab.aiorch("start", "--pane", "%0", check=False)
        if index == 0:
            numbers += telling(crashes.effects)[::stride]
        died += crashes.killed
        crashes.disarm()
        # By itself, or by the key pressed once more.
        until(lambda: _roles(lab) == ["monitor", "placeholder", "primary"] or _press(lab), "the columns")
        until(lambda: any(alive(pid) for pid in lab.engine_pids()) or _press(lab), "an engine")
        lab.delegate((f"w{index}", crashes.note(f"t{index}")))
        crashes.wait_right(f"t{index}")
        lab.aiorch("stop")
        _check_clean(lab)
    assert died >= 0.8 * (len(numbers) - 1) > 0


@STRIDES
def test_an_engine_killed_while_it_stops_leaves_nothing_behind(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.configure(CONFIG)
    numbers, died = [NEVER], 0
    for index in itertools.count():
        if index == len(numbers):
            break
        lab.aiorch("start", "--pane", "%0")
        lab.delegate((f"w{index}", f"{crashes.note(f't{index}')}; exec sleep 60"))
        crashes.wait_noted(f"t{index}")
        lab.wait_state(**{f"w{index}": "working"})
        pid = lab.workers()[f"w{index}"].pid
        crashes.order(numbers[index])
        lab.aiorch("stop", check=False)
        _wait_ended(pid)
        until(lambda: len(lab.panes("pane_id")) == 1, "the columns are closed")
        until(lambda: not any(alive(pid) for pid in lab.engine_pids()), "no engine is left")
        if index == 0:
            numbers += telling(crashes.effects)[::stride]
        died += crashes.killed
        crashes.disarm()
        _check_clean(lab)
    assert died >= 0.8 * (len(numbers) - 1) > 0


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
