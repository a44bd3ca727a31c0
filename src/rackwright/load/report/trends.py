"""The same workloads over many runs: a line for each workload, a step for each run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rackwright.core.load.result import RunResult, WorkloadResult
from rackwright.core.load.summary import key_of, rows
from rackwright.core.load.timeline import QUANTILES


class Step(msgspec.Struct, kw_only=True):
    """One workload in one run. Durations are latencies in seconds."""

    run: str
    started_at: float
    success: bool
    iterations: int
    rate: float
    error_percent: float
    p50: float
    p90: float
    p99: float


class Trend(msgspec.Struct, kw_only=True):
    """One workload over the runs that have it, the oldest first."""

    workload: str
    scenario: str
    steps: list[Step]

    @property
    def growth(self) -> float | None:
        """By how many percent the p99 grew from the first run to the last; None when there is nothing to compare."""
        first, last = self.steps[0], self.steps[-1]
        return 100 * (last.p99 / first.p99 - 1) if len(self.steps) > 1 and first.p99 else None


def trends(runs: Sequence[RunResult]) -> list[Trend]:
    """The trends of all workloads, in the order in which they were seen first."""
    found: dict[tuple[str, str, int], Trend] = {}
    for run in sorted(runs, key=lambda run: run.started_at):
        for workload in run.workloads:
            key = key_of(workload, run.workloads)
            trend = found.setdefault(key, Trend(workload=workload.name, scenario=workload.scenario, steps=[]))
            trend.steps.append(_step(run, workload))
    return list(found.values())


def _step(run: RunResult, workload: WorkloadResult) -> Step:
    latency, *_ = rows(workload)
    quantiles = dict(zip(QUANTILES, latency.quantiles, strict=True))
    return Step(
        run=run.id,
        started_at=workload.started_at or run.started_at,
        success=workload.success,
        iterations=latency.total,
        rate=latency.rate,
        error_percent=latency.error_percent,
        p50=quantiles[0.5],
        p90=quantiles[0.9],
        p99=quantiles[0.99],
    )
