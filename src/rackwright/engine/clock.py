"""Looking at the store's clock, and what is done when somebody has set it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

import structlog

from rackwright.core.clocks import SharedClock
from rackwright.core.errors import RackwrightError
from rackwright.core.ports import Store
from rackwright.engine.transact import transact

LOOK = 2.0
"""Seconds between two looks of a process that does nothing else with the clock."""

log = structlog.get_logger()


def shared_clock() -> SharedClock:
    """A clock on this host's steady clock."""
    return SharedClock(time.monotonic, time.time)


async def look(store: Store, clock: SharedClock) -> None:
    """Let the clock follow that of the store; if that has jumped, move what waits for a moment."""
    began = clock.steady()
    by = clock.learn(await transact(store, lambda tx: tx.clock()), began)
    if by:
        log.warning("the clock of the database was set; leases are not ended for a while", seconds=round(by, 1))
        await transact(store, lambda tx: tx.clock_jumped(clock(), by))


@contextlib.asynccontextmanager
async def followed(store: Store, clock: SharedClock) -> AsyncIterator[None]:
    """Look at the store's clock again and again as long as the block lasts."""

    async def follow() -> None:
        while True:
            with contextlib.suppress(RackwrightError):
                await look(store, clock)
            await asyncio.sleep(LOOK * random.uniform(0.8, 1.2))

    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait({following})
