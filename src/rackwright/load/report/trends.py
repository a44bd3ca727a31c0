"""The same workloads over many runs: a line for each workload, a step for each run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rackwright.core.load.summary import key_of, rows
from rackwright.core.load.timeline import QUANTILES
from rackwright.core.load.track import Recording, Track


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


def trends(recordings: Sequence[Recording]) -> list[Trend]:
    """The trends of all workloads, in the order in which they were seen first."""
    found: dict[tuple[str, str, int], Trend] = {}
    for recording in sorted(recordings, key=lambda recording: recording.run.started_at):
        for track in recording.tracks:
            key = name, scenario, _ = key_of(track, recording.tracks)
            trend = found.setdefault(key, Trend(workload=name, scenario=scenario, steps=[]))
            trend.steps.append(_step(recording, track))
    return list(found.values())


def _step(recording: Recording, track: Track) -> Step:
    latency, *_ = rows(track)
    quantiles = dict(zip(QUANTILES, latency.quantiles, strict=True))
    return Step(
        run=recording.run.id,
        started_at=track.result.started_at or recording.run.started_at,
        success=track.result.success,
        iterations=latency.total,
        rate=latency.rate,
        error_percent=latency.error_percent,
        p50=quantiles[0.5],
        p90=quantiles[0.9],
        p99=quantiles[0.99],
    )
