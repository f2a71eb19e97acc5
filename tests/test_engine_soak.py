"""An engine killed at random while directives keep coming: nothing is lost, nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.lab import Lab
from support.soak import Soak


@pytest.mark.slow
@pytest.mark.parametrize("agent", [False, True])
def test_kills_under_load_cost_nothing(tmp_path: Path, agent: bool) -> None:
    soak = Soak(Lab(tmp_path / "lab", size=(200, 50)), seed=2, agent=agent)
    try:
        outcome = soak.run(25)
    finally:
        soak.lab.__exit__(None, None, None)
    assert (outcome.lost, outcome.doubled, outcome.refused) == ([], [], 0)
    assert len(outcome.said) > outcome.kills
