"""Reports of many load processes into one line of seconds, each given once, when nobody can add to it any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rackwright.core.load.result import Part, Sample, Second
from rackwright.load.words import Report


class Merging:
    """Takes reports by the name of who made them; memory holds the seconds that are still open. The ``first`` second is
    the one in which they begin."""

    def __init__(self, names: Iterable[Any], first: int = 0) -> None:
        self._upto: dict[Any, float] = dict.fromkeys(names, float(first))
        self._open: dict[int, Second] = {}
        self._next = first
        self.samples: dict[str, Sample] = {}

    def take(self, name: Any, report: Report) -> list[Second]:
        """Merge a report; gives the seconds that are whole now, in order, without gaps."""
        for second in report.seconds:
            # What comes too late belongs to a second that was given already: it counts in the oldest open one.
            at = max(second.at, self._next)
            found = self._open.get(at)
            if found is None:
                found = self._open[at] = Second(at=at)
            found.merge(second)
        for sample in report.samples:
            self._keep(sample)
        if name in self._upto:
            self._upto[name] = max(self._upto[name], report.upto)
        return self._whole()

    def join(self, name: Any) -> None:
        """Somebody reports from now on: the oldest open second waits for it."""
        self._upto[name] = float(self._next)

    def leave(self, name: Any) -> list[Second]:
        """Somebody reports no more; gives the seconds that nobody else is waited for."""
        self._upto.pop(name, None)
        return self._whole()

    def _whole(self) -> list[Second]:
        if not self._upto and not self._open:
            return []
        end = int(min(self._upto.values())) if self._upto else max(self._open) + 1
        given = [self._open.pop(at) if at in self._open else Second(at=at) for at in range(self._next, end)]
        self._next = max(self._next, end)
        return given

    def _keep(self, sample: Sample) -> None:
        found = self.samples.get(sample.kind)
        if found is None:
            self.samples[sample.kind] = sample
            return
        found.count += sample.count
        if sample.first_at < found.first_at:
            found.first_at, found.message, found.trace = sample.first_at, sample.message, sample.trace


def add_whole(whole: dict[str, Part], second: Second) -> None:
    """Add a second's parts to those of the whole run."""
    for name, part in second.parts.items():
        whole.setdefault(name, Part()).merge(part)
