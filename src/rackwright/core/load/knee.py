"""The search for the highest rate that holds its SLA: raise it until it breaks, then halve the gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.load.runners import Count, NotNegative, Positive
from rackwright.core.load.schedule import Open, Stage


class Trial(msgspec.Struct, frozen=True):
    """A rate that was tried, and whether the SLA held."""

    rate: float
    held: bool


class FindKnee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The runner ``find_knee``: each rate runs for ``duration`` seconds, ``factor`` times the one before, until the SLA
    breaks or ``max`` holds; then rates between are tried until the gap is at most ``precision`` of the lower one."""

    start: Positive
    max: Positive
    duration: Positive = 10.0
    factor: Annotated[float, msgspec.Meta(gt=1)] = 1.5
    precision: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    timeout: NotNegative = 0.0
    max_in_flight: Count | None = None
    max_cpu_count: Count | None = None
    max_lag: Positive = 0.25

    def schedule(self) -> Open:
        """That of the first rate. Raises InvalidInput when there is nothing to search."""
        if self.max < self.start:
            raise InvalidInput(f"max {self.max:g} is below start {self.start:g}", mend="raise max")
        return self.at(self.start)

    def at(self, rate: float) -> Open:
        """The schedule of one rate."""
        return Open(
            stages=(Stage(self.duration, rate),),
            timeout=self.timeout,
            max_in_flight=self.max_in_flight,
            max_lag=self.max_lag,
            max_processes=self.max_cpu_count,
        )

    def following(self, tried: Sequence[Trial]) -> float | None:
        """The rate to try next; None when the knee is found."""
        if not tried:
            return self.start
        held, broke = highest(tried), min((trial.rate for trial in tried if not trial.held), default=None)
        if broke is None:
            return None if held >= self.max else min(held * self.factor, self.max)
        if not held or broke - held <= held * self.precision:
            return None
        return (held + broke) / 2


def highest(tried: Sequence[Trial]) -> float:
    """The highest rate that held, below every one that broke; 0 when none did."""
    broke = min((trial.rate for trial in tried if not trial.held), default=float("inf"))
    return max((trial.rate for trial in tried if trial.held and trial.rate < broke), default=0.0)
