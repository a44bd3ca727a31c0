"""One clock for all processes, the store's; and what becomes of moments that are written down when it is set.

Leases, deadlines and pauses are moments. Processes on several hosts compare them, so they must mean one clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

JUMP = 5.0
"""Seconds by which the store's clock may stray from a steady one between two looks; what is more is a jump: somebody
has set it."""
SETTLE = 90.0
"""Seconds after a jump in which no lease is ended: whoever lives has prolonged its leases by then."""
FAR = 3600.0
"""A lease that ends later than so many seconds from now is of a clock that was set back since: nobody prolongs it."""
SAME_AT = 60.0
"""Jumps that are told within so many seconds, and go equally far, are one."""
SLOW = 1.0
"""A look that took more seconds than this tells too little."""


class SharedClock:
    """Seconds since the epoch by the store's clock. Between two looks at it a steady clock goes on."""

    def __init__(self, steady: Callable[[], float], wall: Callable[[], float]) -> None:
        """``wall`` counts until the first look, ``steady`` from then on."""
        self._steady = steady
        self._offset = wall() - steady()
        self._looked = False
        self._jumped: float | None = None

    def __call__(self) -> float:
        """Now."""
        return self._steady() + self._offset

    def learn(self, told: float, began: float) -> float:
        """The store said ``told`` to who asked at ``began`` by the steady clock. Gives by how many seconds the clock
        has jumped since the last look; 0 for no jump."""
        ended = self._steady()
        if self._looked and ended - began > SLOW:
            return 0.0
        offset = told - (began + ended) / 2
        moved, self._offset = offset - self._offset, offset
        known, self._looked = self._looked, True
        if not known or abs(moved) < JUMP:
            return 0.0
        self._jumped = ended
        return moved

    def steady(self) -> float:
        """The steady clock, for ``learn``."""
        return self._steady()

    @property
    def settled(self) -> bool:
        """False for a while after a jump."""
        return self._jumped is None or self._steady() - self._jumped > SETTLE


class ClockErrands(Protocol):
    """The part of the store's port that is about its clock."""

    async def clock(self) -> float:
        """The store's clock: seconds since the epoch."""

    async def clock_jumped(self, at: float, by: float) -> bool:
        """The clock was set by so many seconds, and says ``at`` now. Deadlines of parked attempts and pauses before
        another try move with it: they last as long as they would have. False where that was done for this jump."""
