"""A load as far as its lines have told of it, ready to be drawn at any moment. Memory is bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rackwright.core.load.lines import ITERATIONS, Begun, Judged, Line, Over, Passed, Standing, Told
from rackwright.core.load.result import Health, Judgement
from rackwright.core.load.summary import percentile
from rackwright.core.load.timeline import MOST, QUANTILES, Point
from rackwright.load.report import charts, words
from rackwright.load.report.chart import Axis, Chart
from rackwright.load.report.live import RECENT
from rackwright.load.report.view import Tile

SHORTEST = 10
"""Seconds of the shortest axis."""
_NAMES = [percentile(part) for part in QUANTILES]


class Followed:
    """One workload of the load; ``number`` is its place."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.duration: float | None = None
        self.iterations: int | None = None
        self.elapsed = 0
        """Seconds that are over."""
        self.total = self.errors = self.missed = 0
        self.judgements: Sequence[Judgement] = ()
        self.health: Sequence[Health] = ()
        self.generators = 0
        self.over: Over | None = None
        self._points: list[Point] = []
        self._recent: deque[Point] = deque(maxlen=RECENT)

    def take(self, line: Line) -> None:
        """Take what is told of it."""
        if isinstance(line, Begun):
            self.name = line.name if line.name == line.scenario else f"{line.name}: {line.scenario}"
            self.duration, self.iterations = line.duration, line.iterations
        elif isinstance(line, Passed):
            self._pass(line)
        elif isinstance(line, Standing):
            self.judgements, self.health, self.generators = line.judgements, line.health, line.generators
        elif isinstance(line, Over):
            self.over = line

    @property
    def done(self) -> float | None:
        """How much of it is over, 0 to 1; None where that is not known."""
        if self.over is not None:
            return 1.0
        if self.iterations:
            return min(self.total / self.iterations, 1.0)
        return min(self.elapsed / self.duration, 1.0) if self.duration else None

    @property
    def broken(self) -> list[Judgement]:
        """The promises that do not hold."""
        return [judgement for judgement in self.judgements if not judgement.success]

    @property
    def word(self) -> str:
        """How it stands, in a word or two."""
        if self.over is not None:
            return "Passed" if self.over.success else "Failed"
        return "Broken so far" if self.broken else "Good so far"

    @property
    def tiles(self) -> list[Tile]:
        """The last seconds, and what adds up since the start, as numbers."""
        recent = [point for point in self._recent if point.at >= self.elapsed - RECENT]
        span = max(len(recent), 1)
        rate, intended = (sum(each) / span for each in ([p.done for p in recent], [p.intended for p in recent]))
        p50, p99 = (_worst(recent, part) for part in (0.5, 0.99))
        percent = 100 * self.errors / self.total if self.total else 0.0
        lag = max((point.lag for point in recent), default=0.0)
        flying = recent[-1].in_flight if recent else 0
        return [
            Tile("Rate", f"{words.number(rate)}/s", f"{words.number(intended)}/s intended"),
            Tile("Latency p50", words.duration(p50), "from the intended start"),
            Tile("Latency p99", words.duration(p99), f"highest of {span} s"),
            Tile("Errors", words.percent(percent), f"{self.errors:,} of {self.total:,} failed", bool(self.errors)),
            Tile("In flight", f"{flying:,}", "at the end of the second"),
            Tile("Missed starts", f"{self.missed:,}", f"start lag p99 {words.duration(lag)}", bool(self.missed)),
        ]

    @property
    def drawings(self) -> list[Chart]:
        """Its way until now."""
        axis, points = Axis(max(self.elapsed, SHORTEST), charts.bands(self.judgements)), self._points
        return [
            charts.rate(axis, points),
            charts.errors(axis, points),
            charts.latency(axis, points),
            charts.in_flight(axis, points),
            *charts.generators(axis, points),
        ]

    def _pass(self, line: Passed) -> None:
        point = _point(line)
        self.elapsed = line.at + 1
        self.total += point.done
        self.errors += point.errors
        self.missed += point.missed
        self._recent.append(point)
        width = self._points[0].width if self._points else 1
        if self._points and line.at < self._points[-1].at + width:
            self._points[-1] = _joined(self._points[-1], point, width)
        else:
            self._points.append(_joined(Point(at=line.at // width * width), point, width))
        if len(self._points) > MOST:
            self._points = _coarser(self._points, 2 * width)


class Following:
    """A whole load."""

    def __init__(self) -> None:
        self.workloads: dict[int, Followed] = {}
        self.told: Told | None = None
        """Its last line."""

    def take(self, line: Line) -> None:
        """Take the next line."""
        if isinstance(line, Told):
            self.told = line
        elif not isinstance(line, Judged):
            number = line.workload
            self.workloads.setdefault(number, Followed(number, f"workload {number}")).take(line)


def _point(line: Passed) -> Point:
    whole = line.actions.get(ITERATIONS)
    return Point(
        at=line.at,
        intended=line.intended,
        started=line.started,
        missed=line.missed,
        done=whole.total if whole else 0,
        errors=whole.errors if whole else 0,
        in_flight=line.in_flight,
        cpu=line.cpu,
        lag=line.lag_p99,
        latency=tuple(whole.latency.get(name, 0.0) for name in _NAMES) if whole and whole.latency else (),
    )


def _coarser(points: Sequence[Point], width: int) -> list[Point]:
    """The same in points of ``width`` seconds."""
    found: list[Point] = []
    for point in points:
        if not found or point.at >= found[-1].at + width:
            found.append(Point(at=point.at // width * width))
        found[-1] = _joined(found[-1], point, width)
    return found


def _joined(one: Point, other: Point, width: int) -> Point:
    """Two points as one of ``width`` seconds. Quantiles cannot be merged: it has the highest."""
    latencies = [each for each in (one.latency, other.latency) if each]
    return Point(
        at=one.at,
        width=width,
        intended=one.intended + other.intended,
        started=one.started + other.started,
        missed=one.missed + other.missed,
        done=one.done + other.done,
        errors=one.errors + other.errors,
        in_flight=max(one.in_flight, other.in_flight),
        cpu=max(one.cpu, other.cpu),
        lag=max(one.lag, other.lag),
        latency=tuple(map(max, *latencies)) if len(latencies) > 1 else next(iter(latencies), ()),
    )


def _worst(points: Sequence[Point], part: float) -> float:
    at = QUANTILES.index(part)
    return max((point.latency[at] for point in points if point.latency), default=0.0)
