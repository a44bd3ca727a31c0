"""Shares of one load dealt anew, in two steps, so that no start is ever two agents' or nobody's.

All who work are asked how far they go meanwhile: there they stop by themselves, and wait. When all have answered, the
new shares hold from the furthest of these places on. Who does not answer in time makes the turn be called off: nobody
waits for one that is slow, and the next try gives more time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from rackwright.core.load.course import Deal
from rackwright.core.load.schedule import Share
from rackwright.load.distributed.member import Member
from rackwright.load.distributed.messages import FromController, Offer, Settle
from rackwright.load.distributed.part import Part

NOTICE = 0.5
"""Seconds that all go on while they are asked, at the first try."""
MOST_NOTICE = 8.0
"""The same after many tries."""
PATIENCE = 0.8
"""The part of that time after which a turn is called off."""


class Dealing:
    """Deals shares of a load; ``tell`` says a word to an agent."""

    def __init__(self, load: int, tell: Callable[[Member, FromController], None]) -> None:
        self._load = load
        self._tell = tell
        self._turn = 0
        self._since = 0.0
        self._ahead = NOTICE
        self._limits: dict[Part, float | None] = {}
        self.shares: dict[Part, Share] = {}
        """What each is to have; empty when no turn is under way."""

    def ask(self, working: Sequence[Part], newcomers: Sequence[Part]) -> None:
        """Begin a turn, in place of one that is under way: divide all among those who work and those who do not yet."""
        self._turn += 1
        self._since = time.monotonic()
        self.shares = _divided([*working, *newcomers])
        self._limits = dict.fromkeys(working)
        for part in working:
            self._tell(
                part.member,
                Offer(load=self._load, piece=part.piece, turn=self._turn, share=self.shares[part], ahead=self._ahead),
            )

    def hear(self, part: Part, turn: int, limit: float) -> None:
        """One of those who were asked answers."""
        if turn == self._turn and part in self._limits:
            self._limits[part] = limit

    @property
    def reach(self) -> float | None:
        """The furthest that anybody goes; None until all have answered, infinite when somebody cannot change."""
        told = [limit for limit in self._limits.values() if limit is not None]
        return max(told, default=0.0) if len(told) == len(self._limits) else None

    @property
    def late(self) -> bool:
        """Whether answers have taken so long that those who gave them would wait."""
        return bool(self.shares) and time.monotonic() - self._since > self._ahead * PATIENCE

    def settle(self, place: float) -> dict[Part, Share]:
        """From this place on the new shares hold; gives them."""
        shares, self._ahead = self.shares, NOTICE
        for part in self._limits:
            part.deals.append(Deal(place, shares[part]))
        self._close(place)
        return shares

    def call_off(self) -> None:
        """All stays as it was; the next turn has more time."""
        if self.shares:
            self._ahead = min(2 * self._ahead, MOST_NOTICE)
            self._close(math.inf)

    def forget(self) -> None:
        """The load is stopped: nothing is dealt any more."""
        self.shares, self._limits = {}, {}

    def _close(self, place: float) -> None:
        for part in self._limits:
            self._tell(part.member, Settle(load=self._load, piece=part.piece, turn=self._turn, place=place))
        self.shares, self._limits = {}, {}


def _divided(parts: Sequence[Part]) -> dict[Part, Share]:
    """The same for every agent, whatever the number of its pieces."""
    pieces: dict[Member, list[Part]] = {}
    for part in parts:
        pieces.setdefault(part.member, []).append(part)
    return {
        part: own
        for share, its in zip(Share().split(len(pieces)), pieces.values(), strict=True)
        for part, own in zip(its, share.split(len(its)), strict=True)
    }
