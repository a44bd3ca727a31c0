"""Count, sum, extremes and variance of a stream, mergeable: Chan, Golub and LeVeque, "Updating formulae and a pairwise
algorithm for computing sample variances" (1979)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec


class Moments(msgspec.Struct, omit_defaults=True):
    """Of nothing at first. Left-out defaults keep the infinities out of JSON, which has no word for them."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared differences from the mean."""
    low: float = math.inf
    high: float = -math.inf

    def add(self, value: float) -> None:
        """Take one value."""
        self.count += 1
        difference = value - self.mean
        self.mean += difference / self.count
        self.squares += difference * (value - self.mean)
        self.low, self.high = min(self.low, value), max(self.high, value)

    def merge(self, other: Moments) -> None:
        """Take all that the other one has taken."""
        if not other.count:
            return
        count = self.count + other.count
        difference = other.mean - self.mean
        self.mean += difference * other.count / count
        self.squares += other.squares + difference * difference * self.count * other.count / count
        self.count = count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def total(self) -> float:
        """The sum."""
        return self.mean * self.count

    @property
    def deviation(self) -> float:
        """The standard deviation of a sample (n - 1); 0 for fewer than two values."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0


def of(values: Iterable[float]) -> Moments:
    """The moments of these values, in two passes."""
    known = list(values)
    if not known:
        return Moments()
    mean = math.fsum(known) / len(known)
    squares = sum([(value - mean) ** 2 for value in known])
    return Moments(count=len(known), mean=mean, squares=squares, low=min(known), high=max(known))
