"""A run as JSON for programs: its verdicts, its table, and its timeline, with quantiles by name. Times are seconds."""

from __future__ import annotations

from typing import Any

import msgspec

from rackwright.core.load.result import RunResult, WorkloadResult
from rackwright.core.load.summary import percentile, rows
from rackwright.core.load.timeline import QUANTILES, Point, row_start, timeline
from rackwright.core.load.track import Recording, Track

_LEFT_OUT = {"seconds", "whole", "workloads"}
"""Counts of every second, which only this program can read: the format ``counts`` has them."""


def outline(recording: Recording) -> dict[str, Any]:
    """The run as plain values, without its timelines."""
    run = recording.run
    return {**_fields(run), "success": run.success, "workloads": [_workload(track) for track in recording.tracks]}


def digest(recording: Recording) -> dict[str, Any]:
    """The run as plain values; each workload has its ``timeline``."""
    told = outline(recording)
    for workload, track in zip(told["workloads"], recording.tracks, strict=True):
        workload["timeline"] = [_point(point) for point in timeline(track.seconds(), track.length)]
    return told


def _fields(of: RunResult | WorkloadResult) -> dict[str, Any]:
    names = [name for name in of.__struct_fields__ if name not in _LEFT_OUT]
    plain: dict[str, Any] = msgspec.to_builtins({name: getattr(of, name) for name in names})
    return plain


def _workload(track: Track) -> dict[str, Any]:
    table = [
        {
            **msgspec.to_builtins(row),
            "error_percent": row.error_percent,
            "quantiles": _named(row.quantiles if row.total else ()),
        }
        for row in rows(track)
    ]
    return {**_fields(track.result), "success": track.result.success, "table": table}


def _point(point: Point) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(point),
        "latency": _named(point.latency),
        "service": _named(point.service),
        "heat": [[row_start(row), row_start(row + 1), count] for row, count in sorted(point.heat.items())],
        "actions": {
            name: {"done": pace.done, "errors": pace.errors, "service": _named(pace.quantiles)}
            for name, pace in point.actions.items()
        },
    }


def _named(quantiles: tuple[float, ...]) -> dict[str, float]:
    """Quantiles by name; none of nothing."""
    return {percentile(part): value for part, value in zip(QUANTILES, quantiles, strict=False)}
