"""What the page shows of a workload: its charts, and its numbers in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rackwright.core.load.result import WHOLE, Judgement, WorkloadResult
from rackwright.core.load.summary import Change, Row, changes, percentile, rows
from rackwright.core.load.timeline import QUANTILES, Pace, Point, timeline
from rackwright.core.load.track import Track
from rackwright.load.report import words
from rackwright.load.report.chart import Axis, Chart, Line, chart
from rackwright.load.report.heat import HeatMap, heat_map
from rackwright.load.report.trends import Trend

SHOWN = (0.5, 0.9, 0.99, 0.999)
"""Quantiles that are drawn."""
MOST_ACTIONS = 8
"""Actions that have a chart of their own; the table has all."""


@dataclass(frozen=True)
class Tile:
    """One number at the top of a workload."""

    label: str
    value: str
    note: str = ""
    bad: bool = False


@dataclass(frozen=True)
class View:
    """A workload, ready for the template."""

    anchor: str
    name: str
    result: WorkloadResult
    tiles: list[Tile]
    charts: list[Chart | HeatMap]
    action_charts: list[Chart]
    table: list[Row]
    changes: list[Change]
    numbers: list[Point]
    settings: str
    """What the workload was told to do, as JSON."""


def view(track: Track, number: int, earlier: Track | None = None) -> View:
    """A workload, the ``number``-th of its run, beside the same one of an earlier run."""
    workload = track.result
    points = timeline(track.seconds(), track.length)
    before = timeline(earlier.seconds(), earlier.length) if earlier else []
    axis = _axis(workload, max((series[-1].at + series[-1].width for series in (points, before) if series), default=1))
    return View(
        anchor=f"w{number}",
        name=words.workload(workload),
        result=workload,
        tiles=_tiles(track),
        charts=_charts(axis, points, before),
        action_charts=_action_charts(axis, workload, points),
        table=rows(track),
        changes=changes(earlier, track) if earlier else [],
        numbers=points,
        settings=_settings(workload),
    )


@dataclass(frozen=True)
class TrendView:
    """A workload over many runs, ready for the template."""

    trend: Trend
    charts: list[Chart]


def trend_view(trend: Trend) -> TrendView:
    """A workload over many runs: its latencies, its rate and its errors."""
    steps = trend.steps
    axis = Axis(len(steps), names=[step.run for step in steps])
    times = [number + 0.5 for number in range(len(steps))]
    latencies = [
        Line("p50", times, [step.p50 for step in steps], "a"),
        Line("p90", times, [step.p90 for step in steps], "b"),
        Line("p99", times, [step.p99 for step in steps], "c"),
    ]
    rate = Line("ended", times, [step.rate for step in steps], "a")
    errors = Line("failed", times, [step.error_percent for step in steps], "bad")
    return TrendView(
        trend,
        [
            chart("Latency from the intended start", axis, latencies, "seconds", log=True),
            chart("Rate", axis, [rate], "per second"),
            chart("Errors", axis, [errors], "percent"),
        ],
    )


def _axis(workload: WorkloadResult, length: int) -> Axis:
    bands = [(start, end, _band(judgement)) for judgement in workload.judgements for start, end in judgement.broken]
    marks = [
        (firing.started_at, f"hook {firing.action} at {words.number(firing.started_at)} s: {firing.status}")
        for firing in workload.firings
    ]
    return Axis(length, bands, marks)


def _band(judgement: Judgement) -> str:
    of = f" of {judgement.action}" if judgement.action != WHOLE else ""
    return f"{judgement.criterion}{of} broken: {judgement.detail}"


def _tiles(track: Track) -> list[Tile]:
    latency, *_ = rows(track)
    asked, missed, lag = track.intended, track.missed, words.duration(track.lag.quantile(0.99))
    quantiles = dict(zip(QUANTILES, latency.quantiles, strict=True))
    return [
        Tile("Iterations", f"{latency.total:,}", f"in {words.duration(track.result.load_duration or track.length)}"),
        Tile(
            "Rate", f"{words.number(latency.rate)}/s", f"{asked:,} starts intended" if asked else "as fast as it goes"
        ),
        Tile("Errors", words.percent(latency.error_percent), f"{latency.errors:,} failed", bool(latency.errors)),
        Tile("Latency p50", words.duration(quantiles[0.5]), "from the intended start"),
        Tile("Latency p99", words.duration(quantiles[0.99]), f"highest {words.duration(latency.high)}"),
        Tile("Missed starts", f"{missed:,}", f"start lag p99 {lag}", bool(missed)),
    ]


def _charts(axis: Axis, points: Sequence[Point], before: Sequence[Point]) -> list[Chart | HeatMap]:
    heat = heat_map("Latency, all iterations", axis, points)
    return [
        chart("Rate", axis, _rates(points), "per second"),
        chart("Errors", axis, [_line("failed", points, [p.rate(p.errors) for p in points], "bad")], "per second"),
        chart("Latency from the intended start", axis, _latencies(points, before), "seconds", log=True),
        *([heat] if heat else []),
        chart("Service time from the real start", axis, _quantiles("service", points), "seconds", log=True),
        chart("Iterations in flight", axis, [_line("in flight", points, [p.in_flight for p in points], "a")], "count"),
        chart("Generator: start lag p99", axis, [_line("lag", points, [p.lag for p in points], "a")], "seconds"),
        chart("Generator: processors used", axis, [_line("processors", points, [p.cpu for p in points], "a")], "cores"),
    ]


def _rates(points: Sequence[Point]) -> list[Line]:
    return [
        _line("intended", points, [point.rate(point.intended) for point in points], "dashed"),
        _line("started", points, [point.rate(point.started) for point in points], "b"),
        _line("ended", points, [point.rate(point.done) for point in points], "a"),
    ]


def _latencies(points: Sequence[Point], before: Sequence[Point]) -> list[Line]:
    lines = _quantiles("latency", points)
    if before:
        at = QUANTILES.index(0.99)
        lines.append(_line("p99 before", before, [_quantile(point.latency, at) for point in before], "dashed"))
    return lines


def _quantiles(measure: str, points: Sequence[Point]) -> list[Line]:
    return [
        _line(percentile(part), points, [_quantile(getattr(p, measure), QUANTILES.index(part)) for p in points], style)
        for part, style in zip(SHOWN, "abcd", strict=True)
    ]


def _quantile(quantiles: tuple[float, ...], at: int) -> float | None:
    return quantiles[at] if quantiles else None


def _action_charts(axis: Axis, workload: WorkloadResult, points: Sequence[Point]) -> list[Chart]:
    """The actions that took the most time altogether."""
    names = [name for name in workload.whole if name != WHOLE]
    heaviest = sorted(names, key=lambda name: -workload.whole[name].every.total)[:MOST_ACTIONS]
    return [chart(name, axis, _action_lines(name, points), "seconds", log=True) for name in heaviest]


def _action_lines(name: str, points: Sequence[Point]) -> list[Line]:
    paces = [point.actions.get(name) or Pace() for point in points]
    return [
        _line(percentile(part), points, [_quantile(pace.quantiles, QUANTILES.index(part)) for pace in paces], style)
        for part, style in ((0.5, "a"), (0.99, "c"))
    ]


def _line(name: str, points: Sequence[Point], values: Sequence[float | None], style: str) -> Line:
    return Line(name, [point.at + point.width / 2 for point in points], values, style)


def _settings(workload: WorkloadResult) -> str:
    told = {
        "scenario": {workload.scenario: workload.args},
        "runner": workload.runner,
        "contexts": workload.contexts,
        "sla": workload.sla,
        "hooks": workload.hooks,
    }
    return json.dumps(told, indent=2, ensure_ascii=False, default=str)
