"""An engine killed before any one of its effects: every directive runs once, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.actor import AGENT
from support.crashes import CONFIG, NEVER, STEPS, Crashes, Rounds
from support.lab import Lab, alive, until

SOME = 16
"""Of so many effects one is tried on a laptop, every one by .ci/run."""


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab")
    if getattr(request, "param", "") == "recorded":
        lab.be_primary("claude", AGENT)
    with lab:
        yield lab


def explore(lab: Lab, name: str, stride: int) -> None:
    crashes = Crashes(lab)
    lab.start(CONFIG)
    step = STEPS[name](crashes)
    tokens: list[str] = []
    rounds = Rounds(crashes, stride)
    for number in rounds:
        rounds.arm()
        step.begin(f"t{number}")
        step.finish(f"t{number}")
        tokens += step.tokens(f"t{number}")
        crashes.wait_right(*tokens)
        rounds.disarm()


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
    crashes.order(NEVER)
    step.begin("first")
    tokens = step.tokens("first")
    crashes.wait_right(*tokens)
    names = enumerate(crashes.effects, 1)
    begun = next(n for n, name in names if name in ("tmux respawn-pane", "tmux split-window"))
    crashes.disarm()
    rounds = Rounds(crashes, stride, begun + 1)
    for number in rounds:
        rounds.arm()
        step.begin(f"t{number}")
        tokens += step.tokens(f"t{number}")
        crashes.wait_right(*tokens)
        rounds.disarm()


@STRIDES
def test_an_engine_killed_while_it_begins_is_begun_again_by_the_key(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.configure(CONFIG)
    rounds = Rounds(crashes, stride)
    for number in rounds:
        rounds.arm()
        lab.aiorch("start", "--pane", "%0", check=False)
        rounds.disarm()
        # By itself, or by the key pressed once more.
        until(lambda: _roles(lab) == ["monitor", "placeholder", "primary"] or _press(lab), "the columns")
        until(lambda: any(alive(pid) for pid in lab.engine_pids()) or _press(lab), "an engine")
        lab.delegate((f"w{number}", crashes.note(f"t{number}")))
        crashes.wait_right(f"t{number}")
        lab.aiorch("stop")
        _check_clean(lab)


@STRIDES
def test_an_engine_killed_while_it_stops_leaves_nothing_behind(lab: Lab, stride: int) -> None:
    crashes = Crashes(lab)
    lab.configure(CONFIG)
    rounds = Rounds(crashes, stride)
    for number in rounds:
        lab.aiorch("start", "--pane", "%0")
        lab.delegate((f"w{number}", f"{crashes.note(f't{number}')}; exec sleep 60"))
        crashes.wait_noted(f"t{number}")
        lab.wait_state(**{f"w{number}": "working"})
        pid = lab.workers()[f"w{number}"].pid
        rounds.arm()
        lab.aiorch("stop", check=False)
        _wait_ended(pid)
        until(lambda: len(lab.panes("pane_id")) == 1, "the columns are closed")
        until(lambda: not any(alive(pid) for pid in lab.engine_pids()), "no engine is left")
        rounds.disarm()
        _check_clean(lab)


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
    assert "aiorch" not in lab.tmux("show-hooks", "-t", "m") + lab.tmux("show-hooks", "-g")
    assert "AIORCH" not in lab.tmux("show-environment", "-h", "-t", "m")
