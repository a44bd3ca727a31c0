"""What the page shows of a workload: its charts, and its numbers in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rackwright.core.load.result import WHOLE, WorkloadResult
from rackwright.core.load.summary import Change, Row, changes, rows
from rackwright.core.load.timeline import QUANTILES, Point, timeline
from rackwright.core.load.track import Track
from rackwright.load.report import charts, words
from rackwright.load.report.chart import Axis, Chart, Line, chart
from rackwright.load.report.heat import HeatMap, heat_map
from rackwright.load.report.trends import Trend

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
    marks = [
        (firing.started_at, f"hook {firing.action} at {words.number(firing.started_at)} s: {firing.status}")
        for firing in workload.firings
    ]
    return Axis(length, charts.bands(workload.judgements), marks)


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
        charts.rate(axis, points),
        charts.errors(axis, points),
        charts.latency(axis, points, before),
        *([heat] if heat else []),
        charts.service(axis, points),
        charts.in_flight(axis, points),
        *charts.generators(axis, points),
    ]


def _action_charts(axis: Axis, workload: WorkloadResult, points: Sequence[Point]) -> list[Chart]:
    """The actions that took the most time altogether."""
    names = [name for name in workload.whole if name != WHOLE]
    heaviest = sorted(names, key=lambda name: -workload.whole[name].every.total)[:MOST_ACTIONS]
    return [charts.action(name, axis, points) for name in heaviest]


def _settings(workload: WorkloadResult) -> str:
    told = {
        "scenario": {workload.scenario: workload.args},
        "runner": workload.runner,
        "contexts": workload.contexts,
        "sla": workload.sla,
        "hooks": workload.hooks,
    }
    return json.dumps(told, indent=2, ensure_ascii=False, default=str)
