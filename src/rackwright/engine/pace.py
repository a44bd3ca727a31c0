"""How much a pass takes in one transaction: more while that is quick, less when it is slow."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

QUICK, SLOW = 0.05, 0.2
"""Seconds. A transaction keeps its rows from others for as long as it lasts."""


class Pace:
    """The size of the next batch, by how long the last ones took."""

    def __init__(self, size: int, *, least: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with ``size``, and stay between ``least`` and ``most``."""
        self.size = size
        self._least, self._most = least, most
        self._clock = clock

    async def take(self, work: Callable[[int], Awaitable[int]]) -> int:
        """Do the work on at most ``size`` things; it gives how many there were. Twice as many next time when a full
        batch was quick (QUICK), half as many when it was SLOW."""
        began = self._clock()
        done = await work(self.size)
        took = self._clock() - began
        if took > SLOW:
            self.size = max(self._least, self.size // 2)
        elif took < QUICK and done >= self.size:
            self.size = min(self._most, self.size * 2)
        return done
