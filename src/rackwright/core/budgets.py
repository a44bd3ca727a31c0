"""Budgets: of how many machines something may be done at the same time on one power feed, behind one uplink, ...

They count machines. One to which a verb was said keeps its shares from the beginning of its activity to the end, also
while it waits for its firmware. In a deployment a node keeps them while a node task runs on it whose task says of which
kinds of places it takes one (``Task.takes``). Budgets are asked where something begins; what goes on is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.topology import KINDS, kind_of


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most ``amount`` machines at the same time at one place of a kind, like the feed ``A``; without ``place`` at
    each place of the kind that has no budget of its own."""

    kind: str
    place: str = ""
    amount: int

    @property
    def key(self) -> str:
        """The place as machines name theirs, or the kind."""
        return f"{self.kind}={self.place}" if self.place else self.kind


class Placed(Protocol):
    """What takes a share at each of its places."""

    @property
    def places(self) -> tuple[str, ...]:
        """As ``kind=name``."""


P = TypeVar("P", bound=Placed)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A machine whose turn is yet to come: its place in the line, the wave that it belongs to, and where it stands."""

    scope: int
    name: str
    number: int
    wave: int
    places: tuple[str, ...]


class Shares:
    """What is left at each place under some budgets; ``busy`` counts the machines with which something is done."""

    def __init__(self, budgets: Iterable[Budget], busy: Mapping[str, int]) -> None:
        self._amounts = {budget.key: budget.amount for budget in budgets}
        self._busy = dict(busy)

    def full(self) -> set[str]:
        """Places at which nothing more may begin, as far as they are known."""
        return {place for place in {*self._busy, *self._amounts} if "=" in place and not self._has(place)}

    def has(self, turn: Placed) -> bool:
        """Whether something is left at every place of it."""
        return all(self._has(place) for place in turn.places)

    def take(self, turn: Placed) -> None:
        """Take its shares."""
        for place in turn.places:
            self._busy[place] = self._busy.get(place, 0) + 1

    def amount(self, place: str) -> int | None:
        """How many may be busy at a place; None: any number."""
        return self._amounts.get(place, self._amounts.get(kind_of(place)))

    def _has(self, place: str) -> bool:
        amount = self.amount(place)
        return amount is None or self._busy.get(place, 0) < amount


def admit(turns: Sequence[P], shares: Sequence[Shares]) -> list[P]:
    """Those whose turn has come, the first ones first: who has a share left of everything."""
    admitted = []
    for turn in turns:
        if all(each.has(turn) for each in shares):
            admitted.append(turn)
            for each in shares:
                each.take(turn)
    return admitted


def check(budget: Budget) -> None:
    """Raises InvalidInput for a kind that there is not, or an amount that cannot be."""
    if budget.kind not in KINDS:
        raise InvalidInput(f"{budget.kind!r} is no kind of place", mend=f"kinds: {', '.join(KINDS)}")
    if not (0 if budget.place else 1) <= budget.amount < 1_000_000:
        mend = "a number from 1 up; of one place also 0, which lets nothing begin there"
        raise InvalidInput(f"a budget of {budget.amount} cannot be", where=budget.key, mend=mend)
