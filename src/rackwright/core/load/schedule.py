"""When iterations start: a schedule is known whole beforehand, so every process finds its share of it alone.

Iterations have numbers from 1, unique in the whole run. A share is every ``of``-th number; shares split again into
shares, so processes, agents and the heirs of a lost agent need no shared counter. Times are seconds from the start of
the workload, rates are starts per second.

Open model: iteration n starts where the integral of the rate reaches n - 1 (evenly), or the sum of n draws of an
exponential distribution of mean 1 (Poisson: the time-change theorem makes any rate of it). Closed model: a number of
slots, each starts its next iteration when its last one has ended.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Iterator
from typing import Literal

import msgspec

_ROUNDING = 1e-9
"""A start that falls this close before the end, in starts, is the end itself: the sums of floats are not exact."""


class Share(msgspec.Struct, frozen=True):
    """Every ``of``-th of something that is counted from 0, beginning at ``index``."""

    index: int = 0
    of: int = 1

    def split(self, parts: int) -> list[Share]:
        """The same, divided anew among ``parts``."""
        return [Share(self.index + self.of * part, self.of * parts) for part in range(parts)]

    def amount(self, total: int) -> int:
        """How many of ``total`` things fall to it: slots, connections, iterations."""
        return len(range(self.index, total, self.of))


class Stage(msgspec.Struct, frozen=True):
    """A stretch of time in which the rate stays, or goes along a line from ``rate`` to ``to``."""

    duration: float
    rate: float
    to: float | None = None

    @property
    def starts(self) -> float:
        """How many starts it has: the integral of the rate."""
        if self.to is None or self.to == self.rate:
            return self.rate * self.duration if self.rate else 0.0
        return (self.rate + self.to) / 2 * self.duration

    def reached(self, seconds: float) -> float:
        """How many starts it has had after so many seconds, which lie within it; the inverse of ``when``."""
        slope = 0.0 if self.to is None or not seconds else (self.to - self.rate) / self.duration
        return (self.rate + slope * seconds / 2) * seconds if seconds else 0.0

    def when(self, start: float) -> float:
        """After how many seconds the integral of the rate reaches ``start``, which lies within the stage."""
        if self.to is None or self.to == self.rate:
            return start / self.rate
        slope = (self.to - self.rate) / self.duration
        root = math.sqrt(max(self.rate * self.rate + 2 * slope * start, 0.0))
        return 2 * start / (self.rate + root) if start else 0.0


class Open(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Starts at times that do not depend on what is started: one stage after the other, until the stages end or
    ``times`` iterations were started."""

    stages: tuple[Stage, ...]
    times: int | None = None
    spread: Literal["even", "poisson"] = "even"
    seed: int = 0
    timeout: float = 0.0
    """Seconds after which an iteration is cancelled; 0 for never."""
    max_in_flight: int | None = None
    """Of all processes together. A start that finds no room waits; its latency counts from the intended start."""
    max_lag: float = 0.25
    """A start that is later than this, in seconds, is a missed one."""
    max_processes: int | None = None

    @property
    def length(self) -> float:
        """Seconds until its stages end; infinite when ``times`` alone ends it."""
        return sum(stage.duration for stage in self.stages)

    @property
    def planned(self) -> int:
        """How many iterations it starts."""
        starts = sum(stage.starts for stage in self.stages)
        if self.spread == "even" or math.isinf(starts):
            whole = math.inf if math.isinf(starts) else math.ceil(starts - _ROUNDING)
            return int(min(whole, self._most))
        return sum(1 for _ in self.starts())

    def starts(self, share: Share | None = None, after: float = 0.0) -> Iterator[tuple[int, float]]:
        """The iterations of a share that start at ``after`` or later: number, and intended start."""
        mine = self._timed(self._places(share or Share(), after))
        return itertools.dropwhile(lambda start: start[1] < after, mine)

    @property
    def last(self) -> float:
        """The intended start of the last iteration; 0 if there is none."""
        planned = self.planned
        return next((at for _, at in self.starts(Share(planned - 1, planned))), 0.0) if planned else 0.0

    def slots(self, share: Share | None = None) -> int:
        """How many iterations of a share there may be at once."""
        return sys.maxsize if self.max_in_flight is None else (share or Share()).amount(self.max_in_flight)

    def processes(self, available: int) -> int:
        """Among how many of the available processes it is worth sharing."""
        bounds = (available, self.times, self.max_in_flight, self.max_processes)
        return max(1, min(bound for bound in bounds if bound is not None))

    @property
    def _most(self) -> float:
        return math.inf if self.times is None else self.times

    def _timed(self, places: Iterator[tuple[int, float]]) -> Iterator[tuple[int, float]]:
        """Numbers with their times, from numbers with the values of the integral at which they start."""
        most = self._most
        begun = base = 0.0
        stages = list(self.stages)
        whole = sum(stage.starts for stage in stages) - _ROUNDING
        end = base + stages[0].starts
        for number, place in places:
            if place >= whole or number > most:
                return
            while place >= end and len(stages) > 1:
                begun, base = begun + stages.pop(0).duration, end
                end = base + stages[0].starts
            yield number, begun + stages[0].when(place - base)

    def _reached(self, after: float) -> float:
        """The integral of the rate up to a moment."""
        whole = 0.0
        for stage in self.stages:
            if after < stage.duration:
                return whole + stage.reached(after)
            whole += stage.starts
            after -= stage.duration
        return whole

    def _places(self, share: Share, after: float) -> Iterator[tuple[int, float]]:
        if self.spread == "even":
            # One round too early, because sums of floats are not exact.
            rounds = max(0, int((self._reached(after) - share.index) / share.of) - 1)
            begin = share.index + rounds * share.of
            return ((first + 1, float(first)) for first in itertools.count(begin, share.of))
        draws = random.Random(self.seed)
        whole = itertools.accumulate(draws.expovariate(1.0) for _ in itertools.count())
        return itertools.islice(enumerate(whole, 1), share.index, None, share.of)


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Slots that start one iteration after the other, ``times`` in all, or until ``duration`` seconds have gone; a slot
    starts one at least."""

    concurrency: int = 1
    times: int | None = None
    duration: float | None = None
    timeout: float = 0.0
    """Seconds after which an iteration is cancelled; 0 for never."""
    max_processes: int | None = None

    @property
    def length(self) -> float:
        """Seconds until it starts no more; infinite when ``times`` alone ends it."""
        return math.inf if self.duration is None else self.duration

    @property
    def planned(self) -> int | None:
        """How many iterations it starts; None where time alone decides."""
        return self.times

    def slots(self, share: Share | None = None) -> int:
        """How many slots a share has."""
        return (share or Share()).amount(self.concurrency)

    def numbers(self, share: Share | None = None, beyond: int = 0) -> Iterator[int]:
        """The iterations of a share above the number ``beyond``, in order; any of its free slots takes the next.
        Endless without ``times``."""
        return itertools.dropwhile(lambda number: number <= beyond, self._numbers(share or Share(), beyond))

    def starts(self, share: Share | None = None, after: float = 0.0) -> Iterator[tuple[int, float]]:
        """The iterations of a share from the number ``after`` on: the number, and the same as its place."""
        return ((number, number) for number in self.numbers(share, max(math.ceil(after) - 1, 0)))

    def _numbers(self, share: Share, beyond: int) -> Iterator[int]:
        rounds = itertools.count(beyond - beyond % self.concurrency, self.concurrency)
        mine = range(share.index, self.concurrency, share.of)
        for first in rounds if mine else ():
            for slot in mine:
                if self.times is not None and first + slot >= self.times:
                    return
                yield first + slot + 1

    def processes(self, available: int) -> int:
        """Among how many of the available processes it is worth sharing."""
        bounds = (available, self.times, self.concurrency, self.max_processes)
        return max(1, min(bound for bound in bounds if bound is not None))


Schedule = Open | Closed
