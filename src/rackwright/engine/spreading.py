"""Blocking what lies below an error, in slices (see ``core.spreading``)."""

from __future__ import annotations

from collections.abc import Collection

from rackwright.core import annealing
from rackwright.core.node_task import Neighbourhood
from rackwright.core.ports import Store, Transaction
from rackwright.engine.neighbours import join_descendants, lock_below
from rackwright.engine.transact import transact

CROWD = 5000
"""With more than so many node tasks below it an error blocks in slices."""
SLICE = 2000
"""Node tasks per transaction, at first."""


async def lock_for_ends(tx: Transaction, children: Collection[int], descendants: Collection[int]) -> Neighbourhood:
    """Lock these node tasks with their children, for their attempts have ended; those of ``descendants`` have failed:
    with all below them, unless that is more than CROWD."""
    if not await tx.crowded(descendants, CROWD):
        return await lock_below(tx, children, descendants)
    near = await lock_below(tx, {*children, *descendants})
    near.later |= set(descendants)
    return near


async def join_for_failures(tx: Transaction, near: Neighbourhood, ids: Collection[int]) -> None:
    """These rows, which are locked already, have failed after all: lock what is below, unless that is too much."""
    if await tx.crowded(ids, CROWD):
        near.later |= set(ids)
    else:
        await join_descendants(tx, near, ids)


async def spread(store: Store, limit: int = SLICE) -> int:
    """Block the next node tasks below errors, at most ``limit``; gives 0 when nothing is left, or another conductor
    works on it."""

    async def work(tx: Transaction) -> int:
        found = await tx.spreading(limit)
        if not found:
            return await tx.spread_out()
        near = await lock_below(tx, [id for id, _ in found])
        rows = [(near.rows[id], reason) for id, reason in found if id in near.rows]
        for row, reason in rows:
            annealing.block(near, row, reason)
        for row, _ in rows:
            # What failed may be mended by now: then nothing holds these back.
            annealing.settle(near, row)
        await tx.save(near)
        await tx.spread_done([id for id, _ in found])
        return len(found)

    return await transact(store, work)
