"""Maintenance windows: the hours of the week in which work may start.

A window is written ``Mon-Fri 22:00-06:00``: days (``Mon``, ``Mon-Fri``, ``Sat,Sun`` or ``daily``), and from when to
when by the clock on the wall. An end that is not after its start is on the next day; ``24:00`` is the end of the day.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence

import msgspec

from rackwright.core.errors import InvalidInput

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"\s*(\S+)\s+(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)\s*")
_MEND = "write it like `Mon-Fri 22:00-06:00` or `daily 01:00-05:00`"


class Window(msgspec.Struct, frozen=True):
    """One window: days by number (0: Monday), first and last minute of the day; ``end`` may be over 1440."""

    days: frozenset[int]
    start: int
    end: int


def read(text: str) -> Window:
    """A window from its text. Raises InvalidInput."""
    fit = _WINDOW.fullmatch(text)
    if fit is None:
        raise InvalidInput(f"{text!r} is no window", mend=_MEND)
    start, end = (_minutes(text, int(fit[i]), int(fit[i + 1])) for i in (2, 4))
    if start == 24 * 60:
        raise InvalidInput(f"{text!r}: no window begins at 24:00", mend=_MEND)
    return Window(_days(text, fit[1].lower()), start, end if end > start else end + 24 * 60)


def opens(windows: Sequence[Window], now: float, zone: datetime.tzinfo) -> float | None:
    """When the next window opens, in seconds since the epoch; None: one is open at ``now``, or there are none.

    Hours are those of the wall clock in ``zone``: over a change of the clocks a window is an hour shorter or longer.
    """
    spans = [span for window in windows for span in _spans(window, now, zone)]
    if not windows or any(start <= now < end for start, end in spans):
        return None
    return min(start for start, end in spans if start > now)


def _spans(window: Window, now: float, zone: datetime.tzinfo) -> Iterator[tuple[float, float]]:
    """From when to when a window is open on each of its days, from two days before until two weeks after."""
    today = datetime.datetime.fromtimestamp(now, zone).date()
    for day in (today + datetime.timedelta(days=number) for number in range(-2, 15)):
        if day.weekday() in window.days:
            yield _at(day, window.start, zone), _at(day, window.end, zone)


def _at(day: datetime.date, minute: int, zone: datetime.tzinfo) -> float:
    wall = datetime.datetime.combine(day, datetime.time()) + datetime.timedelta(minutes=minute)
    return wall.replace(tzinfo=zone).timestamp()


def _minutes(text: str, hours: int, minutes: int) -> int:
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise InvalidInput(f"{text!r}: {hours}:{minutes:02} is no time of the day", mend=_MEND)
    return hours * 60 + minutes


def _days(text: str, said: str) -> frozenset[int]:
    if said == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in said.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise InvalidInput(f"{text!r}: {part} is no day", mend=_MEND)
        number, until = DAYS.index(first), DAYS.index(last or first)
        found |= {(number + i) % 7 for i in range((until - number) % 7 + 1)}
    return frozenset(found)
