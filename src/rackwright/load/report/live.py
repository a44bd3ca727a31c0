"""What is known of a workload while it runs: all of it merged, and its newest seconds one by one. Bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.load.counts import Counts
from rackwright.core.load.result import WHOLE, Health, Judgement, Part, Second

KEPT = 60
"""Seconds that are kept one by one."""
RECENT = 10
"""Seconds that count as now."""


class LiveWorkload:
    """A running workload. ``duration`` (seconds) or ``iterations`` say how far it will go, as far as that is known."""

    def __init__(self, name: str, *, duration: float | None = None, iterations: int | None = None) -> None:
        self.name = name
        self.duration = duration
        self.iterations = iterations
        self.whole: dict[str, Part] = {WHOLE: Part()}
        self.missed = 0
        self.judgements: Sequence[Judgement] = ()
        self.health: Sequence[Health] = ()
        self._seconds: dict[int, Second] = {}
        self._newest = -1

    def take(self, second: Second) -> None:
        """Take what one process or agent did in a second; the same second may come many times, late too."""
        for name, part in second.parts.items():
            self.whole.setdefault(name, Part()).merge(part)
        self.missed += second.missed
        self._newest = max(self._newest, second.at)
        self._seconds.setdefault(second.at, Second(at=second.at)).merge(second)
        for at in [at for at in self._seconds if at <= self._newest - KEPT]:
            del self._seconds[at]

    @property
    def elapsed(self) -> int:
        """Whole seconds that were seen."""
        return self._newest + 1

    @property
    def done(self) -> float | None:
        """How much of it is over, 0 to 1; None where that is not known."""
        if self.iterations:
            return min(self.whole[WHOLE].total / self.iterations, 1.0)
        return min(self.elapsed / self.duration, 1.0) if self.duration else None

    def history(self) -> list[Second]:
        """The newest seconds in order, those in which nothing was reported too."""
        first = max(self._newest - KEPT + 1, 0)
        return [self._seconds.get(at) or Second(at=at) for at in range(first, self._newest + 1)]

    def recent(self) -> Second:
        """The last ten seconds as one, whose ``in_flight`` is that of the last one."""
        merged = Second(at=max(self._newest - RECENT + 1, 0))
        for second in self.history()[-RECENT:]:
            merged.merge(second)
        merged.in_flight = self._seconds[self._newest].in_flight if self._seconds else 0
        return merged


def latency_of(second: Second) -> Counts:
    """The latencies of whole iterations that ended in a second."""
    return (second.parts.get(WHOLE) or Part()).latency
