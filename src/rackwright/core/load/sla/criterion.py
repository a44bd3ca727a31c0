"""What every criterion has in common, and the stretch of seconds that it is measured over."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.load.counts import Counts
from rackwright.core.load.moments import Moments
from rackwright.core.load.result import WHOLE, Part, Second

T = TypeVar("T")

TOLERANCE = 1e-9
"""Relative. Sums of floats depend a little on the order of merging; this keeps it from deciding."""


class Stretch:
    """Some seconds as one: the last ``window`` of them, or with None all, of one action."""

    def __init__(self, action: str, window: int | None) -> None:
        self.action = action
        self.window = window
        self.length = 0
        self.starts = 0
        self.missed = 0
        self.total = 0
        self.errors = 0
        self.latency = Counts()
        self.service = Counts()
        self._moments = Moments(), Moments()
        self._kept: deque[tuple[Second, Part]] = deque()

    def take(self, second: Second) -> None:
        """Add the next second; the one that is too old falls out."""
        part = second.parts.get(self.action) or Part()
        self._count(second, part, 1)
        if self.window is None:
            self._moments[0].merge(part.good)
            self._moments[1].merge(part.every)
            return
        self._kept.append((second, part))
        if len(self._kept) > self.window:
            self._count(*self._kept.popleft(), -1)

    @property
    def good(self) -> Moments:
        """Service times of those that did not fail."""
        return self._merged(0)

    @property
    def every(self) -> Moments:
        """Service times of all."""
        return self._merged(1)

    def _merged(self, which: Literal[0, 1]) -> Moments:
        if self.window is None:
            return self._moments[which]
        merged = Moments()
        for _, part in self._kept:
            merged.merge((part.good, part.every)[which])
        return merged

    def _count(self, second: Second, part: Part, sign: int) -> None:
        self.length += sign
        self.starts += sign * second.intended
        self.missed += sign * second.missed
        self.total += sign * part.total
        self.errors += sign * part.errors
        _shift(self.latency, part.latency, sign)
        _shift(self.service, part.service, sign)


def _shift(counts: Counts, other: Counts, sign: int) -> None:
    if sign > 0:
        counts.merge(other)
        return
    mine = counts.buckets
    for number, count in other.buckets.items():
        mine[number] -= count
        if not mine[number]:
            del mine[number]


class Gauge(Protocol):
    """A measurement that goes along the run."""

    def take(self, second: Second) -> float | None:
        """Take the next second, and give the value as it stands; None while it cannot be told."""
        ...

    def last(self) -> float | None:
        """The value with which the run ends."""
        ...


class Criterion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A promise about one ``action`` (or the iterations), from second ``after`` on: over all of the run, or over each
    ``window`` of so many seconds. Fewer than ``min_samples`` are not judged."""

    name: ClassVar[str] = ""
    unit: ClassVar[str] = "s"
    lower_is_worse: ClassVar[bool] = False
    needs_samples: ClassVar[bool] = True
    """Whether it says nothing where no iteration ended."""

    action: str = WHOLE
    window: Annotated[int, msgspec.Meta(ge=1)] | None = None
    min_samples: Annotated[int, msgspec.Meta(ge=1)] = 1
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    on_violation: Literal["stop", "mark"] = "mark"

    @classmethod
    def read(cls, config: Any) -> list[Self]:
        """The criteria that a task file's entry means: one for a mapping of settings, or one for each in a list."""
        entries = config if isinstance(config, list) else [config]
        return [criterion for entry in entries for criterion in cls.read_one(entry)]

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """The criteria of one entry."""
        return [converted(entry, cls)]

    def measure(self, stretch: Stretch) -> float | None:
        """The value over a stretch; None when it has none."""
        raise InvalidInput(f"the criterion {self.name} does not measure", mend="let it define `measure`")

    def holds(self, value: float) -> bool:
        """Whether this value is within the promise."""
        raise InvalidInput(f"the criterion {self.name} has no limit", mend="let it define `holds`")

    def holds_so_far(self, value: float) -> bool:
        """The same while the run goes on: what may still come right is not held against it."""
        return self.holds(value)

    def promise(self) -> str:
        """The limit in words."""
        raise InvalidInput(f"the criterion {self.name} promises nothing", mend="let it define `promise`")

    @property
    def full_windows(self) -> bool:
        """Whether a window that the run has not filled yet says nothing."""
        return False

    def with_plan(self, planned: int | None) -> Self:
        """The same for a schedule of so many iterations, None where time alone ends it."""
        return self

    def gauge(self) -> Gauge:
        """What measures it along a run."""
        return _Sliding(self)


class AtMost(Criterion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A promise that a value does not pass ``max``. A bare number in a task file is ``max``."""

    max: Annotated[float, msgspec.Meta(gt=0)]

    @classmethod
    def read_one(cls, entry: Any) -> list[Self]:
        """A number, or a mapping of settings."""
        bare = isinstance(entry, int | float)
        return [converted({"max": entry} if bare else entry, cls)]

    def holds(self, value: float) -> bool:
        """Whether the value does not pass ``max``."""
        return within(value, self.max)

    def promise(self) -> str:
        """The limit in words."""
        return f"at most {self.max:g} {self.unit}"


def within(value: float, limit: float) -> bool:
    """Whether a value does not pass a limit."""
    return value <= limit + abs(limit) * TOLERANCE


def converted(entry: Any, kind: type[T]) -> T:
    """Settings as a criterion. Raises InvalidInput that says what is wrong with them."""
    try:
        return msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error), mend="see the reference of load tasks for its settings") from error


def split_settings(entry: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that every criterion has, and the rest. Raises InvalidInput when it is no mapping."""
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"Expected a mapping, got {type(entry).__name__}", mend="see the reference of load tasks")
    common = {name: value for name, value in entry.items() if name in Criterion.__struct_fields__}
    return common, {str(name): value for name, value in entry.items() if name not in common}


class _Sliding:
    """Measures over a stretch that grows, or slides."""

    def __init__(self, criterion: Criterion) -> None:
        self._criterion = criterion
        self._stretch = Stretch(criterion.action, criterion.window)

    def take(self, second: Second) -> float | None:
        """Take the next second, and give the value as it stands."""
        self._stretch.take(second)
        criterion = self._criterion
        if criterion.full_windows and criterion.window is not None and self._stretch.length < criterion.window:
            return None
        return self.last()

    def last(self) -> float | None:
        """The value as it stands; None with too few samples."""
        if self._criterion.needs_samples and self._stretch.total < self._criterion.min_samples:
            return None
        return self._criterion.measure(self._stretch)
