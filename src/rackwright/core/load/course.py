"""The starts of one process, one after the other; it may be turned to another share while it goes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import msgspec

from rackwright.core.load.schedule import Open, Schedule, Share

Start = tuple[int, float]
"""The number of an iteration, and its intended start in seconds."""


class Course:
    """The starts of a share from the second ``after`` on; ``head`` is the next one, None when there are no more. A
    closed schedule has none that are known beforehand."""

    def __init__(self, schedule: Schedule, share: Share, after: float = 0.0) -> None:
        self._schedule = schedule
        self._rest = self._starts(share, after)
        self.head = next(self._rest, None)

    def step(self) -> None:
        """Go on to the next start."""
        self.head = next(self._rest, None)

    def turn(self, after: float, share: Share) -> None:
        """Keep the starts before a moment; from it on have those of another share."""
        ahead = itertools.chain(() if self.head is None else (self.head,), self._rest)
        kept = itertools.takewhile(lambda start: start[1] < after, ahead)
        self._rest = itertools.chain(kept, self._starts(share, after))
        self.step()

    def _starts(self, share: Share, after: float) -> Iterator[Start]:
        schedule = self._schedule
        return schedule.starts(share, after) if isinstance(schedule, Open) else iter(())


class Deal(msgspec.Struct, frozen=True):
    """A share that holds from the second ``after`` on, until the next deal."""

    after: float
    share: Share


def between(schedule: Open, deals: Sequence[Deal], begin: float, end: float) -> Iterator[float]:
    """The intended starts of one who had these deals, from ``begin`` until before ``end``."""
    ends = [*(deal.after for deal in deals[1:]), math.inf]
    for deal, over in zip(deals, ends, strict=True):
        for _, at in schedule.starts(deal.share, max(begin, deal.after)):
            if at >= min(end, over):
                break
            yield at
