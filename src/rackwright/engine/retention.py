"""Keeping history in parts: a coarse pass that makes parts ahead, and drops those that are older than is kept."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from rackwright.core.errors import RackwrightError
from rackwright.core.ports import Store
from rackwright.core.retention import DAY, Arrangement, Series, arrange

EVERY = 3600.0
"""Seconds between two passes; parts are made weeks ahead, so that none is urgent."""
FIRST = 20.0
"""Seconds before the first pass."""
OF_HISTORY: tuple[Series, ...] = ("run", "event", "audit")

log = structlog.get_logger()


@dataclass(frozen=True)
class Keep:
    """For how many seconds history (attempts, events and changes) and logs are kept, at least."""

    history: float = 90 * DAY
    logs: float = 30 * DAY


async def run(store: Store, keep: Callable[[], Keep], stop: asyncio.Event) -> None:
    """Tend history from time to time until ``stop`` is set; ``keep`` is asked before each pass.

    Every conductor may do so: only one at a time does. What goes wrong is told, and tried again at the next pass.
    """
    pause = FIRST
    while not stop.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(pause * random.uniform(0.8, 1.2)):
                await stop.wait()
        if stop.is_set():
            return
        pause = EVERY
        try:
            await tend(store, keep(), time.time())
        except RackwrightError as error:
            log.warning("history was not tended", why=str(error))
        except Exception:
            log.exception("history was not tended")


async def tend(store: Store, keep: Keep, now: float) -> int:
    """Make the parts that are needed soon and drop those that are too old; gives how many came and went. May raise
    TryAgain when a table is much in use."""
    done = [await _tend(store, series, keep.history, now) for series in OF_HISTORY]
    return sum([*done, await _tend(store, "log_piece", keep.logs, now)])


async def _tend(store: Store, series: Series, keep: float, now: float) -> int:
    async with store.transaction() as tx:
        parts = await tx.parts(series)
        wanted = Arrangement() if parts is None else arrange(parts, now, keep)
        if wanted == Arrangement():
            return 0
        await tx.arrange(series, wanted)
    log.info("history is cut", table=series, dropped=len(wanted.drop), made=len(wanted.make))
    return len(wanted.drop) + len(wanted.make)
