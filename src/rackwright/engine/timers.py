"""What time brings: leases that end, barriers whose children wait to be woken, roll-ups to fold, and the slow check of
everything."""

from __future__ import annotations

from rackwright.core import annealing
from rackwright.core.node_task import State
from rackwright.core.ports import Event, Store, Transaction
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.neighbours import reach_out
from rackwright.engine.ripple import refresh
from rackwright.engine.seating import give_back
from rackwright.engine.transact import transact

REAP = 500
"""Leases per transaction."""
MANY = 20
"""Racks that fall silent together: that is rather the region, or the way to it, than so many racks. What they have in
hand stays theirs for a while, for nobody else can do it: to hand it out again would only make a region slower that is
slow already."""
BENEFIT = 300.0
"""Seconds, of the doubt."""
SOON = 5.0
"""Seconds; a seat that has no more left than this has fallen silent."""
WAKE = 2000
"""Children of a barrier per transaction, at first."""
FOLD = 10_000
"""Changes of roll-ups per transaction."""
SWEEP = 1000
"""Node tasks per slice of the slow check."""


async def reap(store: Store, now: float) -> int:
    """Take back what racks hold beyond their lease, or, while MANY are silent, long beyond it; gives how many node
    tasks went back to the queue."""

    async def work(tx: Transaction) -> int:
        doubtful = await tx.seats_ending(now - BENEFIT, now + SOON) >= MANY
        found = await tx.expired(now - BENEFIT if doubtful else now, REAP)
        reason = "the rack was not heard of before its lease ended"
        lost = await give_back(tx, [*found], reason, now, lambda row: row.lease_until == found[row.id]) if found else 0
        if lost:
            await tx.record([Event(kind="lost", text=f"{lost} node tasks came back after their lease ended")])
        return lost

    return await transact(store, work)


async def wake(store: Store, limit: int = WAKE) -> int:
    """Wake the next children of one open barrier, at most ``limit``; gives how many were looked at, 0 when no barrier
    has any left."""

    async def work(tx: Transaction) -> int:
        found = await tx.wakeable(limit)
        if found is None:
            return 0
        barrier, ids = found
        near = await tx.lock(ids)
        if not await tx.released(barrier.id, barrier.released, barrier.released + len(ids)):
            return len(ids)
        for id in ids:
            row = near.rows.get(id)
            if row is not None:
                annealing.settle(near, row)
        await tx.save(near)
        return len(ids)

    return await transact(store, work)


async def fold(store: Store) -> int:
    """Fold the next changes of roll-ups into their counts; gives 0 when there is no full batch left."""
    folded = await transact(store, lambda tx: tx.fold_rollups(FOLD))
    return folded if folded == FOLD else 0


async def look_at_heads(store: Store) -> None:
    """Note what is the first in line of the queues whose age is not written down."""
    await transact(store, lambda tx: tx.look_at_heads())


async def sweep(store: Store, library: CatalogLibrary, after: int) -> tuple[int, int]:
    """Ask a slice of all node tasks whether they are where they belong, and mend what is not. Gives the id to go on
    after (0: the round is over) and how many had to be mended: it should be none. At the end of a round values that no
    node task refers to any more are dropped, and the roll-ups are counted anew."""

    async def work(tx: Transaction) -> tuple[int, int]:
        ids = await tx.slice(after, SWEEP)
        if not ids:
            await tx.drop_values()
            return 0, len(await tx.recount())
        near = await tx.lock(ids)
        await reach_out(tx, near, ids)
        rows = [near.rows[id] for id in ids if id in near.rows]
        for row in rows:
            annealing.settle(near, row)
        revision = max((row.revision for row in rows), default=0) + 1
        # To look is no reason to try again what has failed, or to try it earlier.
        ran = [row for row in rows if row.state in (State.ACTIVE, State.TRANSITION)]
        events = await refresh(tx, library, near, ran, {}, revision)
        mended = len(near.touched)
        await tx.save(near)
        await tx.record(events)
        return ids[-1], mended

    return await transact(store, work)
