"""When a rate limit ends, from the words in which an agent says so (pure)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

LIMIT = "rate limit"
"""How the reason of a worker begins that waits for a rate limit."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EPOCH = re.compile(r"\b(1[5-9]\d{8}|2\d{9})\b")
_SPAN = re.compile(
    r"\b(\d+)\s*(d(?:ays?)?|h(?:(?:ou)?rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?=\b|\d)", re.IGNORECASE
)
_CLOCK = re.compile(
    r"\b(\d{1,2})(?::(\d{2}))?(?::\d{2})?\s*([ap])\.?m\b|\b(\d{1,2}):(\d{2})\b", re.IGNORECASE
)
_DAY = re.compile(rf"\b({'|'.join(_MONTHS)})[a-z]*\.?\s+(\d{{1,2}})\b", re.IGNORECASE)
_ZONE = re.compile(r"\(?\b([A-Z][A-Za-z]+/[A-Za-z_+-]+(?:/[A-Za-z_]+)?|UTC|GMT)\b\)?")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_LONGEST = timedelta(days=31)
_JUST_OVER = timedelta(hours=1)
_AGAIN = timedelta(minutes=5)


def reset_time(reason: str, now: datetime) -> datetime | None:
    """Return when the rate limit is over that a reason speaks of, None when it is none or says no time.

    `now` has a time zone: that in which a clock time without one is meant. Taken are `3pm (Europe/Berlin)`,
    `Oct 6, 1:30pm`, `15:00`, `in 2h 15m`, `5 minutes` and seconds since the epoch; what lies more than a
    month ahead is no limit's end. A time up to an hour past means now, five minutes from now at the latest.
    """
    if not reason.lower().startswith(LIMIT):
        return None
    words = reason[len(LIMIT) :]
    try:
        found = _at_epoch(words, now) or _at_clock(words, now) or _after(words, now)
    except (ValueError, OverflowError, OSError):
        return None
    if found is None or not now - _JUST_OVER < found <= now + _LONGEST:
        return None
    # An agent that goes on may show the old words again: the longer it does, the longer until the next try.
    return max(found, now + min(now - found, _AGAIN))


def _at_epoch(words: str, now: datetime) -> datetime | None:
    found = _EPOCH.search(words)
    return datetime.fromtimestamp(int(found[1]), now.tzinfo) if found else None


def _at_clock(words: str, now: datetime) -> datetime | None:
    clock = _CLOCK.search(words)
    if clock is None:
        return None
    hour, minute = int(clock[1] or clock[4]), int(clock[2] or clock[5] or 0)
    if clock[3]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if clock[3].lower() == "p" else 0)
    here = now.astimezone(_zone(words)) if _ZONE.search(words) else now
    at = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
    day = _DAY.search(words)
    if day is None:
        days = (at + timedelta(days=number) for number in (-1, 0, 1))
        return next((one for one in days if one > here - _JUST_OVER), None)
    at = at.replace(month=1 + _MONTHS.index(day[1].lower()[:3]), day=int(day[2]))
    # A day of January that is named in December.
    return at if at > here - timedelta(days=1) else at.replace(year=at.year + 1)


def _zone(words: str) -> ZoneInfo | None:
    found = _ZONE.search(words)
    try:
        return ZoneInfo(found[1]) if found else None
    except (KeyError, OSError):
        return None


def _after(words: str, now: datetime) -> datetime | None:
    spans = _SPAN.findall(words)
    seconds = sum(int(number) * _SECONDS[unit[0].lower()] for number, unit in spans)
    return now + timedelta(seconds=seconds) if seconds else None
