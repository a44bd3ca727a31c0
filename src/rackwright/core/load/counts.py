"""Counts of durations in log-linear buckets: merging is adding, so it is exact, in any order.

Values are counted in nanoseconds: below 1,024 each nanosecond has a bucket of its
own, above that each power of two is cut into 512 equal buckets. The middle of a bucket is at most 0.1 % off: three
significant digits, as an HDR histogram keeps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

BITS = 9
HALF = 1 << BITS
FULL = HALF << 1


def bucket(seconds: float) -> int:
    """The bucket of a duration; 0 for none, or for a negative one."""
    nanoseconds = int(seconds * 1e9)
    if nanoseconds < FULL:
        return max(nanoseconds, 0)
    shift = nanoseconds.bit_length() - BITS - 1
    return (shift << BITS) + (nanoseconds >> shift)


def lowest(number: int) -> float:
    """The shortest duration that falls into a bucket, in seconds."""
    if number < FULL:
        return number / 1e9
    shift = (number >> BITS) - 1
    return ((number - (shift << BITS)) << shift) / 1e9


def middle(number: int) -> float:
    """The duration in the middle of a bucket, in seconds."""
    return lowest(number) if number < FULL else (lowest(number) + lowest(number + 1)) / 2


class Counts(msgspec.Struct):
    """How many values lie in each bucket; of nothing at first."""

    buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one value."""
        number = bucket(seconds)
        self.buckets[number] = self.buckets.get(number, 0) + 1

    def add_all(self, values: Iterable[float]) -> None:
        """Count many values; the same as ``add`` for each, without its calls."""
        buckets = self.buckets
        get = buckets.get
        for seconds in values:
            number = int(seconds * 1e9)
            if number >= FULL:
                shift = number.bit_length() - BITS - 1
                number = (shift << BITS) + (number >> shift)
            elif number < 0:
                number = 0
            buckets[number] = get(number, 0) + 1

    def merge(self, other: Counts) -> None:
        """Count all that the other one has counted."""
        mine = self.buckets
        for number, count in other.buckets.items():
            mine[number] = mine.get(number, 0) + count

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.buckets.values())

    def quantile(self, part: float) -> float:
        """The smallest value that at least ``part`` (0 to 1) of all values do not pass, in seconds; 0 of nothing."""
        return self.quantiles((part,))[0]

    def quantiles(self, parts: Iterable[float]) -> list[float]:
        """The same for many parts, in ascending order, in one pass."""
        ranks = [max(1, math.ceil(part * self.total)) for part in parts]
        found: list[float] = []
        seen = 0
        for number in sorted(self.buckets):
            seen += self.buckets[number]
            while len(found) < len(ranks) and seen >= ranks[len(found)]:
                found.append(middle(number))
        return found + [0.0] * (len(ranks) - len(found))


def of(values: Iterable[float]) -> Counts:
    """The counts of these values."""
    counts = Counts()
    counts.add_all(values)
    return counts
