"""A run in words: as a table for people, and as one object for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from rackwright.cli.output import Column, Item, Output, say
from rackwright.core.load.result import Judgement, Part, RunResult


def numbers(part: Part) -> dict[str, Any]:
    """What a part comes to: counts, and quantiles of latency in seconds."""
    p50, p90, p99, p999 = part.latency.quantiles((0.5, 0.9, 0.99, 0.999))
    return {
        "total": part.total,
        "errors": part.errors,
        "latency": {"p50": p50, "p90": p90, "p99": p99, "p99.9": p999},
        "service_mean": part.every.mean,
    }


def digest(result: RunResult) -> dict[str, Any]:
    """A run without its seconds."""
    return {
        "run": result.id,
        "title": result.title,
        "status": result.status,
        "success": result.success,
        "workloads": [
            {
                "name": workload.name,
                "scenario": workload.scenario,
                "seconds": workload.load_duration,
                "actions": {name or "iterations": numbers(part) for name, part in workload.whole.items()},
                "judgements": msgspec.to_builtins(workload.judgements),
                "firings": msgspec.to_builtins(workload.firings),
                "errors": msgspec.to_builtins(workload.samples),
                "notes": workload.notes,
                "knee": workload.knee,
            }
            for workload in result.workloads
        ],
    }


def _milliseconds(part: str) -> Callable[[Item], str]:
    return lambda item: f"{item['latency'][part] * 1e3:.3g} ms"


ACTIONS = [
    Column("WORKLOAD", lambda item: str(item["workload"])),
    Column("ACTION", lambda item: str(item["action"])),
    Column("COUNT", lambda item: f"{item['total']:,}"),
    Column("FAILED", lambda item: f"{item['errors']:,}"),
    Column("RATE", lambda item: f"{item['rate']:.4g}/s"),
    Column("P50", _milliseconds("p50")),
    Column("P90", _milliseconds("p90")),
    Column("P99", _milliseconds("p99")),
    Column("P99.9", _milliseconds("p99.9")),
]


def print_run(result: RunResult) -> None:
    """A table of its actions on stdout; verdicts, notes and errors on stderr."""
    items: list[Item] = [
        {
            "workload": workload.name,
            "action": name or "iterations",
            "rate": part.total / workload.load_duration if workload.load_duration else 0.0,
            **numbers(part),
        }
        for workload in result.workloads
        for name, part in sorted(workload.whole.items())
    ]
    Output().items(items, ACTIONS)
    for workload in result.workloads:
        for judgement in workload.judgements:
            say(f"{'ok    ' if judgement.success else 'BROKEN'} {workload.name}: {_words(judgement)}")
        for note in workload.notes:
            say(f"note   {workload.name}: {note}")
        for sample in workload.samples[:3]:
            say(f"error  {workload.name}: {sample.count} times {sample.kind}: {sample.message}")


def _words(judgement: Judgement) -> str:
    action = f" of {judgement.action}" if judgement.action else ""
    return f"{judgement.criterion}{action}: {judgement.detail}"
