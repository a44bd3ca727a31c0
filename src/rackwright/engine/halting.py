"""Aborting a deployment: what runs is given back, and what was to run waits for a person."""

from __future__ import annotations

import functools

from rackwright.core import annealing
from rackwright.core.audit import Change
from rackwright.core.node_task import State
from rackwright.core.ports import Event, Store, Transaction
from rackwright.engine.machines import scope_named
from rackwright.engine.transact import transact

SLICE = 2000
"""Node tasks per transaction."""
REASON = "aborted: commit it to let it run"


async def abort(store: Store, name: str, now: float) -> int:
    """End every attempt that runs without a result, and propose what ran or was to run; gives how many node tasks.

    Racks hear of it with their next heartbeat, and end the processes. The deployment is stopped meanwhile; should this
    process die on the way it stays so, and nothing starts.
    """

    async def hold(tx: Transaction) -> tuple[int, bool]:
        scope = await scope_named(tx, "deployment", name)
        stopped = (await tx.deployments([scope.id]))[scope.id].stopped
        await tx.set_deployment(scope.id, stopped=True)
        return scope.id, stopped

    deployment, stopped = await transact(store, hold)
    count = 0
    for state in (State.TRANSITION, State.TODO, State.BLOCKED):
        async with store.transaction() as tx:
            ids = await tx.find(deployment, None, None, state)
        for start in range(0, len(ids), SLICE):
            count += await transact(store, functools.partial(_propose, ids[start : start + SLICE], now))

    async def release(tx: Transaction) -> None:
        await tx.set_deployment(deployment, stopped=stopped)
        text = f"the deployment was aborted: {count} node tasks are proposed"
        await tx.record([Event(kind="deployment.aborted", text=text, deployment=name)])
        await tx.note([Change(kind="deployment.aborted", text=text, deployment=name)])

    await transact(store, release)
    return count


async def _propose(ids: list[int], now: float, tx: Transaction) -> int:
    near = await tx.lock(ids)
    rows = [row for row in near.rows.values() if row.state in (State.TRANSITION, State.TODO, State.BLOCKED)]
    for row in rows:
        if row.state is State.TRANSITION:
            annealing.lose(near, row, REASON, now)
        annealing.propose(near, row, REASON)
    await tx.save(near)
    return len(rows)
