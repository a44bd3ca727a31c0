"""The slow check for deadlocks: rings of node tasks that wait for each other across deployments are told."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.deadlock import Standing, Wait, rings, told, waits
from rackwright.core.node_task import NodeTask, State
from rackwright.core.ports import Event, Store, Transaction
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.situations import situations
from rackwright.engine.transact import transact

LOOKED = 100
"""Nodes with errors per look."""


async def look(store: Store, library: CatalogLibrary, after: int) -> tuple[int, int]:
    """Look at the next nodes, by id, on which something has failed, and tell every ring in the reasons of its node
    tasks. Gives the id to go on after (0: the round is over) and how many rings were new. Nothing is moved."""

    async def work(tx: Transaction) -> tuple[int, int]:
        deployments = await tx.named("deployment", None)
        failed: set[int] = set()
        for deployment in deployments.values():
            failed |= await tx.failed_scopes(deployment.id)
        scopes = sorted(scope for scope in failed if scope > after)
        new = 0
        for scope in scopes[:LOOKED]:
            rows = await tx.standing_on(scope)
            if len({row.deployment for row in rows}) > 1:
                new += await _on_one_node(tx, library, rows)
        return (scopes[LOOKED - 1] if len(scopes) > LOOKED else 0), new

    return await transact(store, work)


async def _on_one_node(tx: Transaction, library: CatalogLibrary, rows: Sequence[NodeTask]) -> int:
    idle = [row for row in rows if row.state not in (State.ACTIVE, State.TRANSITION)]
    seen = await situations(tx, library, idle)
    names = {id: f"{at.task.id} of {at.deployment.name} on {at.scope.name}" for id, at in seen.items()}
    standing = []
    for row in idle:
        task, missing = seen[row.id].task, set(seen[row.id].inputs.missing)
        own = [read.path for read in task.reads.values() if read.scope == task.scope and str(read) in missing]
        writes = [write.path for write in task.writes if write.scope != "nodes"]
        standing.append(Standing(row=row, lacks=own, writes=writes))
    found = [(ring, told(ring, names)) for ring in rings(waits(standing))]
    return sum([await _tell(tx, ring, text) for ring, text in found])


async def _tell(tx: Transaction, ring: Sequence[Wait], text: str) -> bool:
    """Write the ring down where people look; False when it stands there already, or is no more."""
    near = await tx.lock([wait.waiting for wait in ring])
    rows = list(near.rows.values())
    if any(row.state in (State.ACTIVE, State.TRANSITION) for row in rows) or all(row.reason == text for row in rows):
        return False
    for row in rows:
        row.reason = text
        near.touched.add(row.id)
    await tx.save(near)
    scopes = await tx.scopes({row.deployment for row in rows} | {row.scope for row in rows})
    await tx.record(
        [
            Event(
                kind="deadlock",
                text=text,
                deployment=scopes[row.deployment].name,
                scope=scopes[row.scope].name,
                task=row.task,
            )
            for row in rows
        ]
    )
    return True
