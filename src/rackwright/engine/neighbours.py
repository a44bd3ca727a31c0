"""Locking node tasks together with what lies below them, as the graph is under the lock."""

from __future__ import annotations

from collections.abc import Collection

from rackwright.core.node_task import Neighbourhood, State
from rackwright.core.ports import Transaction


async def lock_below(tx: Transaction, children: Collection[int], descendants: Collection[int] = ()) -> Neighbourhood:
    """Lock the node tasks ``children`` with their direct children, and ``descendants`` with everything below them.

    What is below is looked up before the locks are there. A plan may add edges in between: then what it added is
    locked too, for nobody can change the edges of what is locked.
    """
    if not descendants:
        near = await tx.lock(children, "children")
        await _catch_up(tx, near, children)
        return near
    near = await tx.lock({*await tx.reach(children, "children"), *await tx.reach(descendants, "descendants")})
    await _catch_up(tx, near, children)
    await join_descendants(tx, near, descendants)
    return near


async def reach_out(tx: Transaction, near: Neighbourhood, ids: Collection[int]) -> None:
    """Lock these rows with their children, and join them to the neighbourhood."""
    await _join(tx, near, await tx.reach(ids, "children"))
    await _catch_up(tx, near, ids)


async def join_descendants(tx: Transaction, near: Neighbourhood, ids: Collection[int]) -> None:
    """Lock everything below these rows, which are locked already, and join it to the neighbourhood."""
    await _join(tx, near, await tx.reach(ids, "descendants"))


async def _catch_up(tx: Transaction, near: Neighbourhood, ids: Collection[int]) -> None:
    rows = [near.rows[id] for id in ids if id in near.rows]
    await _join(tx, near, {child for row in rows for child in row.children})


async def _join(tx: Transaction, near: Neighbourhood, ids: Collection[int]) -> None:
    """A barrier that was only read as a gate until now may be locked as fed by a new row: then what was read under the
    lock counts. One that was changed here is locked already, and newer than what the store has."""
    missing = [id for id in ids if id not in near.rows]
    if not missing:
        return
    found = await tx.lock(missing)
    near.rows.update(found.rows)
    near.barriers.update({id: found.barriers[id] for id in found.barriers if id not in near.touched_barriers})


async def unfinished(
    tx: Transaction, near: Neighbourhood, deployment: int, graph: str, scopes: Collection[int]
) -> set[int]:
    """Those of the scopes on which not all of a graph is active. What the neighbourhood shows is not asked for: mostly
    the node task that was released is among it."""
    seen = {
        row.scope
        for row in near.rows.values()
        if row.state is not State.ACTIVE and row.deployment == deployment and row.graph == graph
    } & set(scopes)
    rest = set(scopes) - seen
    return seen | await tx.unfinished(deployment, graph, rest) if rest else seen
