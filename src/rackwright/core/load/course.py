"""The starts of one process, one after the other; its share of them may change while it goes.

A start has a place: its intended second in an open schedule, its number in a closed one. Who has a share says before
a change how far it may go meanwhile, and goes no further until it hears from which place on the new shares hold. So no
start is made by two, and none by nobody, however late the word comes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import msgspec

from rackwright.core.load.schedule import Open, Schedule, Share

Start = tuple[int, float]
"""The number of an iteration, and its place."""


class Deal(msgspec.Struct, frozen=True):
    """A share that holds from the place ``after`` on, until the next deal; None is nothing at all."""

    after: float
    share: Share | None


WHOLE = (Deal(0.0, Share()),)
"""The deals of one who does everything."""


def starts(schedule: Schedule, deals: Sequence[Deal], begin: float = 0.0) -> Iterator[Start]:
    """The starts of one who had these deals, from the place ``begin`` on."""
    for deal, end in _stretches(deals):
        if deal.share is None or math.isinf(deal.after):
            continue
        for start in schedule.starts(deal.share, max(begin, deal.after)):
            if start[1] >= end:
                break
            yield start


def rest(schedule: Schedule, deals: Sequence[Deal], ended: int) -> list[Deal]:
    """The deals of what is left when the first ``ended`` starts of these are done; empty if nothing is."""
    following = next(itertools.islice(starts(schedule, deals), ended, None), None)
    if following is None:
        return []
    return [Deal(max(deal.after, following[1]), deal.share) for deal, end in _stretches(deals) if end > following[1]]


def _stretches(deals: Sequence[Deal]) -> Iterator[tuple[Deal, float]]:
    """Each deal, and the place before which it holds."""
    return zip(deals, [*(deal.after for deal in deals[1:]), math.inf], strict=False)


def split(schedule: Schedule, deals: Sequence[Deal], parts: int) -> list[list[Deal]]:
    """The same deals, divided among ``parts`` who carry them out together."""
    divided = [divide(schedule, deal.share, parts) for deal in deals]
    return [
        [Deal(deal.after, shares[part]) for deal, shares in zip(deals, divided, strict=True)] for part in range(parts)
    ]


def divide(schedule: Schedule, share: Share | None, parts: int) -> list[Share | None]:
    """A share for each of ``parts``. Where it has fewer slots than that, some get nothing: the bounds of all together
    are what was asked."""
    if share is None:
        return [None] * parts
    busy = max(1, min(parts, schedule.slots(share)))
    return [*share.split(busy), *[None] * (parts - busy)]


class Course:
    """The starts of one who has these deals; ``head`` is the next one, None when there are no more for now."""

    def __init__(self, schedule: Schedule, deals: Sequence[Deal]) -> None:
        self._schedule = schedule
        self._rest = starts(schedule, deals)
        self._next = next(self._rest, None)
        self._share: Share | None = None
        self.limit = math.inf
        """The place before which it stays until it is settled."""
        self.head = self._next
        """The next start; None when there is none, or none before the limit."""

    @property
    def reached(self) -> float:
        """The place before which all of its share was taken; infinite when no start is left."""
        return math.inf if self._next is None else self._next[1]

    @property
    def held(self) -> bool:
        """Whether another share is to come, and it is not known from where on."""
        return self.limit < math.inf

    @property
    def over(self) -> bool:
        """Whether no start is left, and no other share is to come."""
        return self._next is None and not self.held

    def step(self) -> None:
        """Go on to the next start."""
        self._next = next(self._rest, None)
        self._look()

    def hold(self, share: Share | None, limit: float) -> None:
        """Another share is to come: take nothing from the place ``limit`` on until ``settle``. It lies beyond all that
        was taken."""
        self._share, self.limit = share, limit
        self._look()

    def settle(self, place: float) -> None:
        """From a place on, not before the limit, have the other share; infinite: keep the one that it has."""
        self.limit = math.inf
        if math.isinf(place):
            self._look()
            return
        ahead = itertools.chain(() if self._next is None else (self._next,), self._rest)
        kept = itertools.takewhile(lambda start: start[1] < place, ahead)
        self._rest = itertools.chain(kept, starts(self._schedule, [Deal(place, self._share)]))
        self.step()

    def _look(self) -> None:
        following = self._next
        self.head = following if following is not None and following[1] < self.limit else None


def between(schedule: Open, deals: Sequence[Deal], begin: float, end: float) -> Iterator[float]:
    """The intended starts of one who had these deals, from ``begin`` until before ``end``."""
    for _, at in starts(schedule, deals, begin):
        if at >= end:
            return
        yield at
