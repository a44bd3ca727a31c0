"""Charts as plain geometry, ready for a template to draw as SVG: no script and no library is needed to see them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rackwright.load.report import words

Unit = Literal["seconds", "per second", "count", "cores", "percent"]

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 62, 8, 8, 24
"""Room around the drawing, in the units of its view box."""
_NICE = (1, 2, 5)
_SEEN = 2.0
"""The least width, or distance, that can be seen, in the units of the view box."""
_LEAST = 1e-12
"""What is smaller counts as this much: nothing that is drawn here is."""
_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True)
class Line:
    """A line of a chart: at each of ``times`` (seconds) its value; None is a gap."""

    name: str
    times: Sequence[float]
    values: Sequence[float | None]
    style: str
    """Its class in the page's style sheet."""


@dataclass(frozen=True)
class Scale:
    """From values to places: linear from 0, or logarithmic."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """The distance from the top of the view box."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (at - low) / (high - low))


@dataclass(frozen=True)
class Drawn:
    """A line as an SVG path."""

    name: str
    path: str
    style: str


@dataclass(frozen=True)
class Span:
    """A shaded stretch of time, or (without a width) a mark at one moment."""

    x: float
    width: float
    label: str


@dataclass(frozen=True)
class Axis:
    """The time that all charts of a workload share, with the stretches and moments that all of them show."""

    length: float
    bands: Sequence[tuple[float, float | None, str]] = ()
    marks: Sequence[tuple[float, str]] = ()
    names: Sequence[str] = ()
    """Where runs follow each other instead of seconds: the run from 0 to 1, from 1 to 2, ..."""

    def place(self, time: float) -> float:
        """The distance of a time (seconds) from the left of the view box."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(time / self.length, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and words of its labels: at most 9 of them, or 5 names."""
        if self.names:
            every = math.ceil(len(self.names) / 5)
            return [(round(self.place(n + 0.5), 1), self.names[n]) for n in range(0, len(self.names), every)]
        step = next((size for size in _TIMES if self.length / size <= 8), self.length / 8)
        count = math.floor(self.length / step + 1e-9)
        return [(round(self.place(n * step), 1), words.duration(n * step)) for n in range(count + 1)]

    def spans(self) -> list[Span]:
        """The bands, at least as wide as can be seen; those of one label that nobody can tell apart are one."""
        found: dict[str, list[Span]] = {}
        for start, end, label in sorted(self.bands, key=lambda band: band[0]):
            left, right = self.place(start), self.place(self.length if end is None else end)
            right = max(right, left + _SEEN)
            alike = found.setdefault(label, [])
            if alike and left < alike[-1].x + alike[-1].width + _SEEN:
                last = alike.pop()
                left, right = last.x, max(right, last.x + last.width)
            alike.append(Span(round(left, 1), round(right - left, 1), label))
        return [span for spans in found.values() for span in spans]

    def moments(self) -> list[Span]:
        """The marks; of many at one place there is the first, which tells how many there are."""
        found: dict[int, list[str]] = {}
        for time, label in self.marks:
            found.setdefault(round(self.place(time)), []).append(label)
        return [
            Span(x, 0, labels[0] + (f", and {len(labels) - 1} more" if len(labels) > 1 else ""))
            for x, labels in found.items()
        ]


@dataclass(frozen=True)
class Chart:
    """A chart to draw."""

    title: str
    summary: str
    """What it shows, in a sentence for those who do not see it."""
    axis: Axis
    lines: list[Drawn]
    ticks: list[tuple[float, str]]
    values: dict[str, Any] = field(default_factory=dict)
    """What the page's script reads out under the pointer."""


def chart(title: str, axis: Axis, lines: Sequence[Line], unit: Unit, *, log: bool = False) -> Chart:
    """Draw lines over one axis. A logarithmic chart leaves out values that are not above 0."""
    scale = scale_of([value for line in lines for value in line.values if value is not None], log=log)
    drawn = [Drawn(line.name, _path(line, axis, scale), line.style) for line in lines]
    ticks = [(round(scale.place(value), 1), text(value, unit)) for value in _ticks(scale)]
    values = {
        "unit": unit,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "width": WIDTH,
        "length": axis.length,
        "names": list(axis.names),
        "lines": [
            {"name": line.name, "times": list(line.times), "values": [_short(value) for value in line.values]}
            for line in lines
        ],
    }
    return Chart(title, _summary(lines, unit, axis.names), axis, drawn, ticks, values)


def scale_of(values: Iterable[float], *, log: bool = False) -> Scale:
    """A scale on which all values have a place, with round ends."""
    seen = [max(value, _LEAST) for value in values if value > 0]
    if not seen:
        return Scale(1e-3, 1.0, log=True) if log else Scale(0.0, 1.0)
    high = max(seen)
    if log:
        low = 10.0 ** math.floor(math.log10(min(seen)))
        return Scale(low, max(_round_up(high), low * 10), log=True)
    return Scale(0.0, _round_up(high))


def text(value: float, unit: Unit) -> str:
    """A value in its unit."""
    if unit == "seconds":
        return words.duration(value)
    suffix = {"per second": "/s", "percent": " %"}.get(unit, "")
    return words.number(value) + suffix


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next((factor * power for factor in _NICE if factor * power >= value), 10 * power)


def _ticks(scale: Scale) -> list[float]:
    if not scale.log:
        steps = 5 if f"{scale.high:e}".startswith("5") else 4
        return [scale.high * part / steps for part in range(steps + 1)]
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    factors = _NICE if last - first <= 2 else (1,)
    ticks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    return [tick for tick in ticks if scale.low * 0.999 <= tick <= scale.high * 1.001]


def _path(line: Line, axis: Axis, scale: Scale) -> str:
    """Its SVG path; a value alone between two gaps is a short stroke, else nobody would see it."""
    steps: list[str] = []
    points = zip(line.times, line.values, strict=True)
    for known, run in itertools.groupby(points, key=lambda point: _known(point[1], log=scale.log)):
        if known:
            places = [f"{axis.place(time):.1f} {scale.place(value or 0.0):.1f}" for time, value in run]
            steps.append("M" + "L".join(places) + ("h3" if len(places) == 1 else ""))
    return "".join(steps)


def _known(value: float | None, *, log: bool) -> bool:
    return value is not None and (value > 0 or not log)


def _summary(lines: Sequence[Line], unit: Unit, names: Sequence[str]) -> str:
    told = []
    for line in lines:
        known = [(value, time) for time, value in zip(line.times, line.values, strict=True) if value is not None]
        if known:
            (low, _), (high, at) = min(known), max(known)
            told.append(f"{line.name} from {text(low, unit)} to {text(high, unit)} (highest {_when(at, names)})")
    return "; ".join(told) or "Nothing was measured."


def _when(time: float, names: Sequence[str]) -> str:
    return f"in {names[int(time)]}" if names else f"at {words.number(time)} s"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
