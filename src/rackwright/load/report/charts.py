"""The charts of a workload along its time: the same in a report and on the page of a load that still goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rackwright.core.load.result import WHOLE, Judgement
from rackwright.core.load.summary import percentile
from rackwright.core.load.timeline import QUANTILES, Pace, Point
from rackwright.load.report.chart import Axis, Chart, Line, chart

SHOWN = (0.5, 0.9, 0.99, 0.999)
"""Quantiles that are drawn."""


def bands(judgements: Iterable[Judgement]) -> list[tuple[float, float | None, str]]:
    """The stretches in which the SLA was broken, each with what is said of it."""
    return [(start, end, _band(judgement)) for judgement in judgements for start, end in judgement.broken]


def rate(axis: Axis, points: Sequence[Point]) -> Chart:
    """Starts and ends of iterations for each second, beside the starts that were intended."""
    lines = [
        _line("intended", points, [point.rate(point.intended) for point in points], "dashed"),
        _line("started", points, [point.rate(point.started) for point in points], "b"),
        _line("ended", points, [point.rate(point.done) for point in points], "a"),
    ]
    return chart("Rate", axis, lines, "per second")


def errors(axis: Axis, points: Sequence[Point]) -> Chart:
    """Iterations that failed, for each second."""
    return chart("Errors", axis, [_line("failed", points, [p.rate(p.errors) for p in points], "bad")], "per second")


def latency(axis: Axis, points: Sequence[Point], before: Sequence[Point] = ()) -> Chart:
    """Quantiles of the latency, and the p99 of an earlier run."""
    lines = _quantiles([point.latency for point in points], points)
    if before:
        at = QUANTILES.index(0.99)
        lines.append(_line("p99 before", before, [_quantile(point.latency, at) for point in before], "dashed"))
    return chart("Latency from the intended start", axis, lines, "seconds", log=True)


def service(axis: Axis, points: Sequence[Point]) -> Chart:
    """Quantiles of the service time."""
    lines = _quantiles([point.service for point in points], points)
    return chart("Service time from the real start", axis, lines, "seconds", log=True)


def in_flight(axis: Axis, points: Sequence[Point]) -> Chart:
    """Iterations that are under way at the end of a second."""
    return chart(
        "Iterations in flight", axis, [_line("in flight", points, [p.in_flight for p in points], "a")], "count"
    )


def generators(axis: Axis, points: Sequence[Point]) -> list[Chart]:
    """How the generators do: how late they start iterations, and the processors that they use."""
    lag = _line("lag", points, [point.lag for point in points], "a")
    cpu = _line("processors", points, [point.cpu for point in points], "a")
    return [
        chart("Generator: start lag p99", axis, [lag], "seconds"),
        chart("Generator: processors used", axis, [cpu], "cores"),
    ]


def action(name: str, axis: Axis, points: Sequence[Point]) -> Chart:
    """Quantiles of one action's service time."""
    paces = [point.actions.get(name) or Pace() for point in points]
    lines = [
        _line(percentile(part), points, [_quantile(pace.quantiles, QUANTILES.index(part)) for pace in paces], style)
        for part, style in ((0.5, "a"), (0.99, "c"))
    ]
    return chart(name, axis, lines, "seconds", log=True)


def _band(judgement: Judgement) -> str:
    of = f" of {judgement.action}" if judgement.action != WHOLE else ""
    return f"{judgement.criterion}{of} broken: {judgement.detail}"


def _quantiles(of: Sequence[tuple[float, ...]], points: Sequence[Point]) -> list[Line]:
    return [
        _line(percentile(part), points, [_quantile(each, QUANTILES.index(part)) for each in of], style)
        for part, style in zip(SHOWN, "abcd", strict=True)
    ]


def _quantile(quantiles: tuple[float, ...], at: int) -> float | None:
    return quantiles[at] if quantiles else None


def _line(name: str, points: Sequence[Point], values: Sequence[float | None], style: str) -> Line:
    return Line(name, [point.at + point.width / 2 for point in points], values, style)
