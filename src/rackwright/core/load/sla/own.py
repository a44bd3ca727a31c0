"""The criteria that Rally does not have."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.load.sla.criterion import AtMost, Criterion, Stretch, converted, split_settings, within

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,4})?|100)")


class Percentile(AtMost, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share of all durations does not pass a limit: ``percentiles: {p50: 0.1, p99.9: 2, of: latency}``.

    ``of`` is ``latency`` (from the intended start) or ``service`` (from the real one). Failed iterations count too.
    """

    name: ClassVar[str] = "percentiles"

    percent: Annotated[float, msgspec.Meta(gt=0, le=100)]
    of: Literal["latency", "service"] = "latency"

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """One criterion a percentile."""
        common, own = split_settings(entry)
        measured = {"of": own.pop("of")} if "of" in own else {}
        unknown = [name for name in own if not _PERCENTILE.fullmatch(name)]
        if unknown or not own:
            raise InvalidInput(
                f"no percentile is called {', '.join(unknown)}" if unknown else "no percentile is given",
                mend="write them as p50, p99 or p99.9",
            )
        return [
            converted({**common, **measured, "percent": float(name[1:]), "max": limit}, cls)
            for name, limit in own.items()
        ]

    def measure(self, stretch: Stretch) -> float | None:
        """The percentile, within 0.1 %."""
        return (stretch.latency if self.of == "latency" else stretch.service).quantile(self.percent / 100)

    def promise(self) -> str:
        """The limit in words."""
        return f"p{self.percent:g} of {self.of} at most {self.max:g} s"


class Throughput(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At least ``min`` iterations end each second, on average over the run or over each full window; ``of: good``
    counts those that did not fail. Seconds after the last start are left out: the load is over then."""

    name: ClassVar[str] = "throughput"
    unit: ClassVar[str] = "/s"
    lower_is_worse: ClassVar[bool] = True
    needs_samples: ClassVar[bool] = False

    min: Annotated[float, msgspec.Meta(gt=0)]
    of: Literal["all", "good"] = "all"

    def measure(self, stretch: Stretch) -> float | None:
        """Ended a second."""
        counted = stretch.total - (stretch.errors if self.of == "good" else 0)
        return counted / stretch.length if stretch.length else None

    @property
    def full_windows(self) -> bool:
        """The first second of a window is no second of it all."""
        return True

    def holds(self, value: float) -> bool:
        """Whether it is not less."""
        return within(self.min, value)

    def holds_so_far(self, value: float) -> bool:
        """Without a window, what is missing may still come."""
        return self.window is None or self.holds(value)

    def promise(self) -> str:
        """The limit in words."""
        return f"at least {self.min:g} /s"


class ErrorBudget(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many iterations may fail: ``errors`` as a number, or what ``objective`` (percent that must not fail) leaves of
    all iterations that the schedule plans, or where it plans no number, of those that ended."""

    name: ClassVar[str] = "error_budget"
    unit: ClassVar[str] = "errors"

    errors: Annotated[int, msgspec.Meta(ge=0)] | None = None
    objective: Annotated[float, msgspec.Meta(gt=0, lt=100)] | None = None
    planned: int | None = None
    """Set from the schedule, not by a task file."""

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """One of the two settings is needed."""
        budget = converted(entry, cls)
        if (budget.errors is None) == (budget.objective is None):
            raise InvalidInput("error_budget has neither or both of errors and objective", mend="give one of them")
        return [budget]

    def with_plan(self, planned: int | None) -> Self:
        """The same with what an objective leaves of so many."""
        return msgspec.structs.replace(self, planned=planned)

    @property
    def budget(self) -> float | None:
        """How many errors are allowed; None where that is known only at the end."""
        if self.errors is not None:
            return self.errors
        if self.planned is None:
            return None
        return math.floor(self._left * self.planned / 100 + 1e-9)

    @property
    def _left(self) -> float:
        return 100 - (self.objective or 0.0)

    def measure(self, stretch: Stretch) -> float | None:
        """Errors; where the budget is not known beforehand, the percentage of them."""
        if self.budget is None:
            return 100 * stretch.errors / stretch.total
        return float(stretch.errors)

    def holds(self, value: float) -> bool:
        """Whether the budget is not overdrawn."""
        return within(value, self._left if self.budget is None else self.budget)

    def promise(self) -> str:
        """The limit in words."""
        if self.budget is None:
            return f"at most {self._left:g} % of what ended"
        return f"at most {self.budget:g} errors"


class MaxMissedStarts(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The generator keeps its schedule: at most ``max`` starts (a bare number), or ``percent`` of those intended, are
    missed. A promise about the generator; without it a good verdict may come of load that never was."""

    name: ClassVar[str] = "max_missed_starts"
    unit: ClassVar[str] = "starts"
    needs_samples: ClassVar[bool] = False

    max: Annotated[int, msgspec.Meta(ge=0)] | None = None
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """A number, or one of the two settings."""
        missed = converted({"max": entry} if isinstance(entry, int) else entry, cls)
        if (missed.max is None) == (missed.percent is None):
            raise InvalidInput("max_missed_starts has neither or both of max and percent", mend="give one of them")
        return [missed]

    def measure(self, stretch: Stretch) -> float | None:
        """Missed starts, or their percentage of the intended ones."""
        if self.percent is None:
            return float(stretch.missed)
        return 100 * stretch.missed / stretch.starts if stretch.starts else 0.0

    def holds(self, value: float) -> bool:
        """Whether there are not more."""
        return within(value, self.limit)

    @property
    def limit(self) -> float:
        """Starts, or percent."""
        return self.max if self.max is not None else self.percent or 0.0

    def promise(self) -> str:
        """The limit in words."""
        if self.max is None:
            return f"at most {self.percent:g} % of the intended starts missed"
        return f"at most {self.max} starts missed"
