"""A workload along its time, in at most so many points: what a chart shows, however long the run was.

Seconds are read once, in order, and a point keeps numbers only: memory does not grow with the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from rackwright.core.load.counts import BITS, Counts, lowest
from rackwright.core.load.result import WHOLE, Part, Second

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
"""Parts of all values that a point gives, beside the highest."""
MOST = 240
"""Points of a timeline."""
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
_COARSE = BITS - 2
"""Buckets of a heat map are four to each power of two."""


class Pace(msgspec.Struct, kw_only=True):
    """What an action did within one point: ``quantiles`` of its service time are empty when it did nothing."""

    done: int = 0
    errors: int = 0
    quantiles: tuple[float, ...] = ()


class Point(msgspec.Struct, kw_only=True):
    """``width`` seconds from the second ``at``. Quantiles are those of ``QUANTILES``, in seconds; empty of nothing."""

    at: int
    width: int = 1
    intended: int = 0
    started: int = 0
    missed: int = 0
    done: int = 0
    errors: int = 0
    in_flight: int = 0
    """The most of any second."""
    cpu: float = 0.0
    """Processor seconds for each second."""
    lag: float = 0.0
    """The 99th percentile, in seconds."""
    latency: tuple[float, ...] = ()
    service: tuple[float, ...] = ()
    heat: dict[int, int] = {}
    """Iterations by rows of latency, see ``row_start``."""
    actions: dict[str, Pace] = {}

    def rate(self, count: int) -> float:
        """A count of this point, for each second."""
        return count / self.width


def row_start(row: int) -> float:
    """The shortest latency of a row of a heat map, in seconds; the next row starts where it ends."""
    return lowest(row << _COARSE)


def width_for(length: int, most: int = MOST) -> int:
    """The seconds that one point covers, so that ``length`` seconds fit into ``most`` points."""
    least = max(math.ceil(length / most), 1)
    return next((width for width in _WIDTHS if width >= least), least)


def timeline(seconds: Iterable[Second], length: int, most: int = MOST) -> list[Point]:
    """The points of a workload of ``length`` seconds. ``seconds`` come in order of time; one that lacks did nothing."""
    width = width_for(length, most)
    points: list[Point] = []
    for stretch, busiest in _stretches(seconds, width):
        points += _idle(points[-1].at + width if points else 0, stretch.at, width)
        points.append(_point(stretch, width, busiest))
    return points


def _idle(start: int, end: int, width: int) -> list[Point]:
    return [Point(at=at, width=width) for at in range(start, end, width)]


def _stretches(seconds: Iterable[Second], width: int) -> Iterator[tuple[Second, int]]:
    """Merge the seconds of each point; beside each: the most in flight in one of them."""
    stretch, busiest = None, 0
    for second in seconds:
        at = second.at // width * width
        if stretch is not None and at != stretch.at:
            yield stretch, busiest
            stretch = None
        if stretch is None:
            stretch, busiest = Second(at=at), 0
        stretch.merge(second)
        busiest = max(busiest, second.in_flight)
    if stretch is not None:
        yield stretch, busiest


def _point(stretch: Second, width: int, busiest: int) -> Point:
    whole = stretch.parts.get(WHOLE) or Part()
    return Point(
        at=stretch.at,
        width=width,
        intended=stretch.intended,
        started=stretch.started,
        missed=stretch.missed,
        done=whole.total,
        errors=whole.errors,
        in_flight=busiest,
        cpu=stretch.cpu / width,
        lag=stretch.lag.quantile(0.99),
        latency=quantiles_of(whole.latency),
        service=quantiles_of(whole.service),
        heat=_heat(whole.latency),
        actions={name: _pace(part) for name, part in stretch.parts.items() if name != WHOLE},
    )


def _pace(part: Part) -> Pace:
    return Pace(done=part.total, errors=part.errors, quantiles=quantiles_of(part.service))


def quantiles_of(counts: Counts) -> tuple[float, ...]:
    """The values of ``QUANTILES``, in seconds; none of nothing."""
    return tuple(counts.quantiles(QUANTILES)) if counts.buckets else ()


def _heat(counts: Counts) -> dict[int, int]:
    rows: dict[int, int] = {}
    for number, count in counts.buckets.items():
        row = number >> _COARSE
        rows[row] = rows.get(row, 0) + count
    return rows
