"""Bandwidth: how many bytes may pass in a second, whoever moves them."""

from __future__ import annotations

import asyncio

BURST = 0.25
"""Seconds of bytes that may pass at once after a silence."""
SLICE = 1 << 18
"""Bytes that those who are paced move at a time: small enough that many share fairly."""


class Bandwidth:
    """A budget of ``rate`` bytes a second for all who take from it; None: without bound. The rate may be set anew at
    any time. Use it from one event loop.

    Each taker is told how long to wait, by a clock that runs ahead of the real one by what has been taken: so nobody
    waits in a queue, and who gives up has still paid.
    """

    def __init__(self, rate: float | None = None) -> None:
        self.rate = rate
        self._until = 0.0

    @property
    def slice(self) -> int:
        """Bytes to take at a time; without a bound as many as one likes."""
        return SLICE if self.rate else 1 << 30

    async def take(self, count: int) -> None:
        """Wait until so many bytes may pass."""
        if not self.rate:
            return
        now = asyncio.get_running_loop().time()
        self._until = max(self._until, now - BURST) + count / self.rate
        if self._until > now:
            await asyncio.sleep(self._until - now)
