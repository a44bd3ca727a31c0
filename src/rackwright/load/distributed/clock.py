"""How another host's clock stands to ours: the best of many pings, after Cristian (1989) and NTP (RFC 5905).

The other clock was read while a ping and its answer were under way, so it is known to half the time of both ways. The
quickest of the last answers is the best.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

ENOUGH = 5
"""Answers before a clock is known."""
KEPT = 20
"""Answers among which the quickest is looked for: as many seconds, once the clock is known."""


class Reading(NamedTuple):
    """One answer: how long its way was, and what the other clocks were ahead of ours, in seconds."""

    way: float
    monotonic: float
    wall: float


class Clock:
    """Another host's clocks, seen from here."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque(maxlen=KEPT)

    def read(self, sent: float, heard: float, wall_here: float, monotonic: float, wall: float) -> None:
        """Take an answer: our monotonic clock when the ping was sent and when the answer was heard, our wall clock
        then, and what the other side's clocks said in between."""
        way = heard - sent
        self._readings.append(Reading(way, monotonic - (sent + heard) / 2, wall - (wall_here - way / 2)))

    @property
    def known(self) -> bool:
        """Whether there were answers enough."""
        return len(self._readings) >= ENOUGH

    @property
    def ahead(self) -> float:
        """Seconds to add to our monotonic clock to get theirs."""
        return min(self._readings).monotonic

    @property
    def wall_ahead(self) -> float:
        """Seconds that their wall clock is ahead of ours."""
        return min(self._readings).wall

    @property
    def doubt(self) -> float:
        """Seconds by which both may be wrong at most."""
        return min(self._readings).way / 2
