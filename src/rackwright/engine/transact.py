"""Running a unit of work until it is through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rackwright.core.errors import TryAgain
from rackwright.core.ports import Store, Transaction
from rackwright.engine.documents import keep_in_step

T = TypeVar("T")

REPEATS = 20
"""Two transactions in each other's way are rare; so many times in a row means something else is wrong."""


async def transact(store: Store, work: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run ``work`` in a transaction and give what it gives; what racks serve follows in the same one. It is repeated
    when the store says that it got in the way of another (TryAgain), at most REPEATS times."""
    for repeat in range(REPEATS):
        try:
            async with store.transaction() as tx:
                done = await work(tx)
                await keep_in_step(tx)
                return done
        except TryAgain:
            if repeat == REPEATS - 1:
                raise
            await asyncio.sleep(0.002 * 2 ** min(repeat, 6))
    raise AssertionError("unreachable: the loop returns or raises")
