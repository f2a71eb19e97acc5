"""When a rate limit ends, from the words of agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiorch.workers.reset import reset_time

NOW = datetime(2026, 11, 23, 14, 30, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ("rate limit until 3pm", "2026-11-23T15:00+01:00"),
        ("rate limit until 3:45 PM", "2026-11-23T15:45+01:00"),
        ("rate limit until 12am", "2026-11-24T00:00+01:00"),
        ("rate limit until 1:30pm", "2026-11-24T13:30+01:00"),
        ("rate limit until 15:05", "2026-11-23T15:05+01:00"),
        ("rate limit until 9am (America/New_York)", "2026-11-23T15:00+01:00"),
        ("rate limit until 2pm (UTC)", "2026-11-23T15:00+01:00"),
        ("rate limit until Nov 26, 1:30pm", "2026-11-26T13:30+01:00"),
        ("rate limit until Dec 1 at 9am (Europe/Berlin)", "2026-12-01T09:00+01:00"),
        ("rate limit until in 2h 15m", "2026-11-23T16:45+01:00"),
        ("rate limit until 1 day 2 hours 5 minutes", "2026-11-24T16:35+01:00"),
        ("rate limit until 45s", "2026-11-23T14:30:45+01:00"),
        ("rate limit until 1795444200", "2026-11-23T15:30+01:00"),
    ],
)
def test_the_end_of_a_limit(words: str, at: str) -> None:
    assert reset_time(words, NOW) == datetime.fromisoformat(at)


@pytest.mark.parametrize(
    "words",
    ["rate limit", "rate limit until later", "permission: sleep 5m", "rate limit until 99pm",
     "rate limit until 99999999999h", "rate limit until Feb 31, 3pm", "rate limit until Mar 3, 3pm"],
)  # fmt: skip
def test_what_says_no_time(words: str) -> None:
    assert reset_time(words, NOW) is None


def test_a_day_of_the_next_year() -> None:
    late = datetime(2026, 12, 31, 23, 0, tzinfo=UTC)
    assert reset_time("rate limit until Jan 1, 5am", late) == datetime(2027, 1, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "late", "wait"),
    [("3pm", 20, 20), ("3pm", 0, 0), ("15:00", 3599, 300), ("Nov 23, 3pm", 20, 20), ("1795442400", 20, 20)],
)
def test_a_limit_that_just_ended_is_over_now(words: str, late: int, wait: int) -> None:
    now = datetime(2026, 11, 23, 15, 0, tzinfo=NOW.tzinfo) + timedelta(seconds=late)
    assert reset_time(f"rate limit until {words}", now) == now + timedelta(seconds=wait)


def test_a_limit_that_ended_before_midnight_is_over_now() -> None:
    now = datetime(2026, 11, 24, 0, 1, tzinfo=UTC)
    assert reset_time("rate limit until 11:59pm", now) == now + timedelta(minutes=2)


@given(st.text(max_size=80))
def test_whatever_is_said_the_end_lies_ahead(words: str) -> None:
    found = reset_time(f"rate limit until {words}", NOW)
    assert found is None or NOW <= found <= NOW + timedelta(days=31)
