"""Rows of iterations into seconds: batch by batch, so that an iteration itself only appends a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rackwright.core.load import moments
from rackwright.core.load.result import WHOLE, Part, Sample, Second
from rackwright.load.scenario import Action

KINDS = 50
"""Kinds of errors of which a sample is kept; the rest is counted under one name."""
MESSAGE = 500
"""Characters of an error's message that are kept."""


class Fault(NamedTuple):
    """Why an iteration failed."""

    kind: str
    message: str
    trace: str = ""


class Row(NamedTuple):
    """One iteration that ended. Times are seconds from the workload's start."""

    number: int
    intended: float
    started: float
    ended: float
    fault: Fault | None
    actions: Sequence[Action]
    output: dict[str, list[Any]] | None


class Tally:
    """Counts what one load process did, until it is taken to be sent; ``late`` is the lag that makes a start missed."""

    def __init__(self, late: float) -> None:
        self.late = late
        self._seconds: dict[int, Second] = {}
        self._samples: dict[str, Sample] = {}

    def second(self, at: float) -> Second:
        """The record of the second in which a moment lies."""
        number = max(int(at), 0)
        found = self._seconds.get(number)
        if found is None:
            found = self._seconds[number] = Second(at=number)
        return found

    def add_starts(self, starts: Sequence[tuple[float, float]]) -> None:
        """Count starts: intended and real."""
        for intended, started in starts:
            second = self.second(started)
            second.started += 1
            lag = started - intended
            second.lag.add(lag)
            if lag > self.late:
                second.missed += 1

    def add_intended(self, at: float, count: int = 1) -> None:
        """Count starts that the schedule has."""
        self.second(at).intended += count

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Count iterations that ended, in the order in which they did."""
        begin = 0
        while begin < len(rows):
            number = int(rows[begin].ended)
            end = begin + 1
            while end < len(rows) and int(rows[end].ended) == number:
                end += 1
            self._add_second(self.second(number), rows[begin:end])
            begin = end

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
        whole.failed.add_all([row.ended - row.started for row in faults])
        whole.total += len(rows)
        whole.errors += len(faults)
        whole.latency.add_all([row.ended - row.intended for row in rows])
        whole.service.add_all(services)
        every = moments.of(services)
        whole.every.merge(every)
        if faults:
            every = moments.of([row.ended - row.started for row in rows if row.fault is None])
        whole.good.merge(every)
        for row in faults:
            self._add_fault(row)
        for row in rows:
            for action in row.actions:
                _add_action(second, action)

    def _add_fault(self, row: Row) -> None:
        assert row.fault is not None
        kind = row.fault.kind
        if kind not in self._samples and len(self._samples) >= KINDS:
            kind = "others"
        found = self._samples.get(kind)
        if found is not None:
            found.count += 1
            return
        self._samples[kind] = Sample(
            kind=kind, message=row.fault.message[:MESSAGE], first_at=row.ended, trace=row.fault.trace
        )


def _add_action(second: Second, action: Action) -> None:
    part = second.parts.get(action.path)
    if part is None:
        part = second.parts[action.path] = Part()
    spent = action.ended - action.started
    part.add(spent, spent, failed=action.failed)
