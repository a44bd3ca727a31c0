"""A workload as a report reads it: its result, and its seconds one at a time, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import msgspec

from rackwright.core.load.counts import Counts
from rackwright.core.load.result import Part, RunResult, Second, WorkloadResult


@dataclass(frozen=True)
class Track:
    """One workload. ``result`` has no seconds and the whole of all; made by ``track``."""

    result: WorkloadResult
    seconds: Callable[[], Iterable[Second]]
    """Gives them from the first to the last, as often as it is called."""
    length: int
    """Whole seconds until the last one that is known ended."""
    intended: int
    missed: int
    lag: Counts


@dataclass(frozen=True)
class Recording:
    """A run as a report reads it: ``run`` has no seconds, each of ``tracks`` is one of its workloads."""

    run: RunResult
    tracks: list[Track]


def track(result: WorkloadResult, seconds: Callable[[], Iterable[Second]]) -> Track:
    """Read a workload's seconds once, and keep what is true of all of them."""
    whole: dict[str, Part] = {}
    lag = Counts()
    length = intended = missed = 0
    for second in seconds():
        for name, part in second.parts.items():
            whole.setdefault(name, Part()).merge(part)
        lag.merge(second.lag)
        length = max(length, second.at + 1)
        intended += second.intended
        missed += second.missed
    result = msgspec.structs.replace(result, seconds=[], whole=whole or result.whole)
    return Track(result, seconds, length, intended, missed, lag)


def recording(run: RunResult, seconds: Callable[[int], Iterable[Second]] | None = None) -> Recording:
    """A run whose seconds are in memory, or come from ``seconds``, which is given a workload's place in the run."""

    def of(number: int) -> Iterable[Second]:
        return run.workloads[number].seconds if seconds is None else seconds(number)

    tracks = [track(workload, partial(of, number)) for number, workload in enumerate(run.workloads)]
    return Recording(msgspec.structs.replace(run, workloads=[each.result for each in tracks]), tracks)
