"""A pane that prints markers without end."""

from __future__ import annotations

from aiorch.engine.flood import BURST, PER_SECOND, Flood


def test_a_burst_passes_and_more_does_not() -> None:
    flood = Flood()
    for _ in range(BURST):
        assert flood.admits(0.0)
        flood.spend()
    assert not flood.admits(0.0)
    assert not flood.admits(1.0)
    assert flood.refused == 2


def test_after_a_flood_half_of_the_room_must_be_back() -> None:
    flood = Flood()
    for _ in range(BURST):
        flood.spend()
    assert not flood.admits(0.0)
    assert not flood.admits(BURST / 2 / PER_SECOND - 1)
    assert flood.admits(BURST / 2 / PER_SECOND)


def test_what_was_seen_before_costs_nothing() -> None:
    flood = Flood()
    assert all(flood.admits(0.0) for _ in range(10 * BURST))
