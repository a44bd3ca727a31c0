"""Rally's six criteria. Durations are service times; most count only iterations that did not fail."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Self

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.load.counts import Counts, middle
from rackwright.core.load.moments import Moments
from rackwright.core.load.result import Part, Second
from rackwright.core.load.sla.criterion import AtMost, Criterion, Gauge, Stretch, converted, split_settings, within

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class FailureRate(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``min`` <= 100 * failed / all <= ``max``; one of the two is needed. ``min`` is judged at the end, or over full
    windows: the failures that are missing may still come."""

    name: ClassVar[str] = "failure_rate"
    unit: ClassVar[str] = "%"

    min: Percent = 0.0
    max: Percent = 100.0

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """At least one of the limits is needed."""
        _, own = split_settings(entry)
        if not own:
            raise InvalidInput("neither min nor max is given", mend="give max, as in `failure_rate: {max: 1}`")
        return [converted(entry, cls)]

    def measure(self, stretch: Stretch) -> float | None:
        """Percent of failed iterations."""
        return 100 * stretch.errors / stretch.total if stretch.total else 0.0

    def holds(self, value: float) -> bool:
        """Whether it is within both limits."""
        return within(value, self.max) and within(self.min, value)

    @property
    def full_windows(self) -> bool:
        """What must be reached has a whole window's time for it."""
        return self.min > 0

    def holds_so_far(self, value: float) -> bool:
        """Failures that are missing may still come."""
        return within(value, self.max) and (self.window is None or within(self.min, value))

    def promise(self) -> str:
        """The limits in words."""
        least = f"at least {self.min:g} %" if self.min else ""
        most = f"at most {self.max:g} %" if self.max < 100 or not least else ""
        return " and ".join(part for part in (least, most) if part)


class MaxSeconds(AtMost, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No iteration, failed or not, takes longer."""

    name: ClassVar[str] = "max_seconds_per_iteration"

    def measure(self, stretch: Stretch) -> float | None:
        """The longest."""
        every = stretch.every
        return every.high if every.count else 0.0


class MaxAverage(AtMost, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mean of those that did not fail."""

    name: ClassVar[str] = "max_avg_duration"

    def measure(self, stretch: Stretch) -> float | None:
        """The mean; 0 of nothing."""
        return stretch.good.mean


class MaxAveragePerAtomic(MaxAverage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mean of each atomic action: a mapping of actions to limits. An action that never came has a mean of 0."""

    name: ClassVar[str] = "max_avg_duration_per_atomic"

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """One criterion an action."""
        common, limits = split_settings(entry)
        return [converted({**common, "action": action, "max": limit}, cls) for action, limit in limits.items()]


class Outliers(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most ``max`` iterations that did not fail take longer than ``sigmas`` standard deviations above the mean.

    Mean and deviation are those of all seconds before the one in which the iteration ended, once they hold
    ``min_iterations``. Within a second there is no order, so any division of the load gives the same number.
    """

    name: ClassVar[str] = "outliers"
    unit: ClassVar[str] = "outliers"

    max: Annotated[int, msgspec.Meta(ge=0)] = 0
    min_iterations: Annotated[int, msgspec.Meta(ge=3)] = 3
    sigmas: Annotated[float, msgspec.Meta(ge=0)] = 3.0

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """Refuses a window: outliers stand out from all that came before."""
        outliers = converted(entry, cls)
        if outliers.window is not None:
            raise InvalidInput("outliers has no window", mend="leave it out")
        return [outliers]

    def holds(self, value: float) -> bool:
        """Whether there are not too many."""
        return value <= self.max

    def promise(self) -> str:
        """The limit in words."""
        return f"at most {self.max} outliers"

    def gauge(self) -> Gauge:
        """Counts from second to second."""
        return _Outliers(self)


class _Outliers:
    """The state of all seconds so far."""

    def __init__(self, criterion: Outliers) -> None:
        self._criterion = criterion
        self._before = Moments()
        self._found = 0

    def take(self, second: Second) -> float | None:
        """Compare this second with those before it, then add it to them."""
        part = second.parts.get(self._criterion.action) or Part()
        if self._before.count >= self._criterion.min_iterations:
            limit = self._before.mean + self._criterion.sigmas * self._before.deviation
            self._found += _above(part.service, limit) - _above(part.failed, limit)
        self._before.merge(part.good)
        return self.last()

    def last(self) -> float | None:
        """How many were found."""
        return float(self._found)


def _above(counts: Counts, limit: float) -> int:
    bound = limit * (1 + 1e-9)
    return sum(count for number, count in counts.buckets.items() if middle(number) > bound)


class PerformanceDegradation(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The slowest of those that did not fail takes at most ``max_degradation`` percent longer than the fastest."""

    name: ClassVar[str] = "performance_degradation"
    unit: ClassVar[str] = "%"

    max_degradation: Annotated[float, msgspec.Meta(ge=0)]

    def measure(self, stretch: Stretch) -> float | None:
        """Percent; infinite where the fastest took no time at all."""
        good = stretch.good
        if not good.count or good.high == good.low:
            return 0.0
        return (good.high / good.low - 1) * 100 if good.low > 0 else math.inf

    def holds(self, value: float) -> bool:
        """Whether it is not more."""
        return within(value, self.max_degradation)

    def promise(self) -> str:
        """The limit in words."""
        return f"at most {self.max_degradation:g} %"
