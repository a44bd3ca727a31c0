"""When hooks fire: at iterations, by their numbers in the whole run, or at seconds after the first one started."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, takewhile
from typing import Annotated, Literal, Protocol

import msgspec

from rackwright.core.errors import InvalidInput


class Watch(msgspec.Struct, frozen=True):
    """Iterations whose start is told: by number, or periodic (``start``, ``end``, ``step``; end 0: none)."""

    numbers: frozenset[int] = frozenset()
    periods: tuple[tuple[int, int, int], ...] = ()

    def holds(self, number: int) -> bool:
        """Whether the start of this iteration is told."""
        return number in self.numbers or any(
            number >= start and (not end or number <= end) and (number - start) % step == 0
            for start, end, step in self.periods
        )

    def __bool__(self) -> bool:
        return bool(self.numbers or self.periods)


class Trigger(Protocol):
    """What the group ``rackwright.trigger`` holds: a msgspec struct of the settings that tells when it fires."""

    def watch(self) -> Watch:
        """The iterations at whose start it fires."""
        ...

    def moments(self) -> Iterator[float]:
        """The seconds after the first start at which it fires, ascending, perhaps without end."""
        ...


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires at each iteration, or each second, of a list."""

    unit: Literal["iteration", "time"]
    at: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(min_length=1)]

    def watch(self) -> Watch:
        """The iterations of the list."""
        return Watch(numbers=frozenset(self.at)) if self.unit == "iteration" else Watch()

    def moments(self) -> Iterator[float]:
        """The seconds of the list."""
        return iter(sorted({float(at) for at in self.at}) if self.unit == "time" else [])


class Periodic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fires from ``start`` (the first iteration, or second 0) to ``end``, every ``step``."""

    unit: Literal["iteration", "time"]
    step: Annotated[int, msgspec.Meta(ge=1)]
    start: Annotated[int, msgspec.Meta(ge=0)] | None = None
    end: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end < (self.start or 0):
            raise InvalidInput(f"end {self.end} is before start {self.start}", mend="raise end")

    def watch(self) -> Watch:
        """The iterations."""
        if self.unit != "iteration":
            return Watch()
        return Watch(periods=((1 if self.start is None else self.start, self.end or 0, self.step),))

    def moments(self) -> Iterator[float]:
        """The seconds."""
        if self.unit != "time":
            return iter(())
        ticks = (float(tick) for tick in count(self.start or 0, self.step))
        return ticks if self.end is None else takewhile(lambda tick: self.end is None or tick <= self.end, ticks)


def together(watches: list[Watch]) -> Watch:
    """What any of them watches."""
    numbers = frozenset(number for watch in watches for number in watch.numbers)
    return Watch(numbers, tuple(period for watch in watches for period in watch.periods))
