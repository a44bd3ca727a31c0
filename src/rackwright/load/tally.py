"""Rows of iterations into seconds: batch by batch, so that an iteration itself only appends a row."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from rackwright.core.load import moments
from rackwright.core.load.result import WHOLE, Part, Sample, Second
from rackwright.load.scenario import Action

KINDS = 50
"""Kinds of errors of which a sample is kept; the rest is counted under one name."""
MESSAGE = 500
"""Characters of an error's message that are kept."""
ACTIONS = 200
"""Atomic actions of which each has numbers of its own; what one process does under further names counts as one."""
OTHERS = "others"
"""The name of kinds and of actions that are too many."""


class Fault(NamedTuple):
    """Why an iteration failed."""

    kind: str
    message: str
    trace: str = ""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One iteration that ended. Times are seconds from the workload's start."""

    number: int
    intended: float
    started: float
    ended: float
    fault: Fault | None
    actions: Sequence[Action]
    output: dict[str, list[Any]] | None


T = TypeVar("T")

Start = tuple[float, float]
"""When an iteration was to start, and when it did."""


def _by_second(events: Sequence[T], when: Callable[[T], float]) -> Iterator[tuple[float, Sequence[T]]]:
    """Cut events, which are in order of time, into those of each second: nearly always one piece."""
    rest = events
    while rest:
        second: float = int(when(rest[0])) + 1
        here = len(rest) if when(rest[-1]) < second else bisect_left(rest, second, key=when)
        yield second - 1, rest[:here]
        rest = rest[here:]


class Tally:
    """Counts what one load process did, until it is taken to be sent; ``late`` is the lag that makes a start missed."""

    def __init__(self, late: float) -> None:
        self.late = late
        self._seconds: dict[int, Second] = {}
        self._samples: dict[str, Sample] = {}
        self._actions: set[str] = set()

    def second(self, at: float) -> Second:
        """The record of the second in which a moment lies."""
        number = max(int(at), 0)
        found = self._seconds.get(number)
        if found is None:
            found = self._seconds[number] = Second(at=number)
        return found

    def add_starts(self, starts: Sequence[Start], *, planned: bool = True) -> int:
        """Count starts, in the order in which they took place; gives how many were missed. Without a plan
        (``planned`` is false) each was intended when it took place."""
        missed = 0
        for at, some in _by_second(starts, lambda start: start[1]):
            second, lags = self.second(at), [started - intended for intended, started in some]
            second.started += len(some)
            second.lag.add_all(lags)
            late = sum(lag > self.late for lag in lags) if planned else 0
            second.missed += late
            missed += late
            if not planned:
                second.intended += len(some)
        return missed

    def add_intended(self, at: float, count: int = 1) -> None:
        """Count starts that the schedule has."""
        self.second(at).intended += count

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Count iterations that ended, in the order in which they did."""
        for at, some in _by_second(rows, lambda row: row.ended):
            self._add_second(self.second(at), some)

    def take(self) -> tuple[list[Second], list[Sample]]:
        """All that was counted since it was last taken; the next is added to it by merging."""
        seconds, self._seconds = self._seconds, {}
        samples, self._samples = self._samples, {}
        return [seconds[at] for at in sorted(seconds)], list(samples.values())

    def _add_second(self, second: Second, rows: Sequence[Row]) -> None:
        whole = second.parts.get(WHOLE)
        if whole is None:
            whole = second.parts[WHOLE] = Part()
        services = [row.ended - row.started for row in rows]
        faults = [row for row in rows if row.fault is not None]
        whole.total += len(rows)
        whole.errors += len(faults)
        whole.latency.add_all([row.ended - row.intended for row in rows])
        whole.service.add_all(services)
        every = moments.of(services)
        whole.every.merge(every)
        if faults:
            whole.failed.add_all([row.ended - row.started for row in faults])
            every = moments.of([row.ended - row.started for row in rows if row.fault is None])
        whole.good.merge(every)
        for row in faults:
            self._add_fault(row)
        for row in rows:
            for action in row.actions:
                self._add_action(second, action)

    def _add_fault(self, row: Row) -> None:
        assert row.fault is not None
        kind = row.fault.kind
        if kind not in self._samples and len(self._samples) >= KINDS:
            kind = OTHERS
        found = self._samples.get(kind)
        if found is not None:
            found.count += 1
            return
        self._samples[kind] = Sample(
            kind=kind, message=row.fault.message[:MESSAGE], first_at=row.ended, trace=row.fault.trace
        )

    def _add_action(self, second: Second, action: Action) -> None:
        path = action.path
        if path not in self._actions:
            if len(self._actions) < ACTIONS:
                self._actions.add(path)
            else:
                path = OTHERS
        part = second.parts.get(path)
        if part is None:
            part = second.parts[path] = Part()
        spent = action.ended - action.started
        part.add(spent, spent, failed=action.failed)
