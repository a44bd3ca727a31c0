"""Counting anew: what the rows of a store say of themselves, against what follows from their states alone."""

from __future__ import annotations

from collections import Counter

from rackwright.core.node_task import Barrier, NodeTask, State
from rackwright.core.ports import Store
from rackwright.core.views import Views


async def faults(store: Store, views: Views) -> list[str]:
    """Everything that is not as it has to be at rest, in all deployments; empty when all is well."""
    async with store.transaction() as tx:
        near = await tx.lock(await tx.slice(0, 1_000_000))
    said = counters(list(near.rows.values()), list(near.barriers.values()))
    for row in near.rows.values():
        shut = row.waits or any(not near.barriers[gate].open for gate in row.gates)
        if row.state is State.TODO and row.waits:
            said.append(f"{row.task} on {row.scope} is todo and waits for {row.waits}")
        if row.state is State.BLOCKED and not shut and all(_woken(near.barriers[gate], row.id) for gate in row.gates):
            said.append(f"{row.task} on {row.scope} is blocked and waits for nothing")
    return said + await rolled_up(store, views, list(near.rows.values()))


def counters(rows: list[NodeTask], barriers: list[Barrier]) -> list[str]:
    """Waits of rows and barriers that differ from a recount, and scopes with more than one in transition."""
    waits, gates = Counter[int](), Counter[int]()
    for row in rows:
        if row.state is not State.ACTIVE:
            waits.update(row.children)
            gates.update(row.feeds)
    for barrier in barriers:
        if not barrier.open:
            gates.update(barrier.feeds)
    said = [f"{row.task} on {row.scope} waits for {row.waits}, recount {waits[row.id]}" for row in rows
            if row.waits != waits[row.id]]  # fmt: skip
    said += [f"barrier {barrier.name} waits for {barrier.waits}, recount {gates[barrier.id]}" for barrier in barriers
             if barrier.waits != gates[barrier.id]]  # fmt: skip
    running = Counter(row.scope for row in rows if row.state is State.TRANSITION)
    return said + [f"{count} run on {scope}" for scope, count in running.items() if count > 1]


async def rolled_up(store: Store, views: Views, rows: list[NodeTask]) -> list[str]:
    """Roll-ups of deployments that differ from a recount."""
    said = []
    async with store.transaction() as tx:
        names = {id: one.name for id, one in (await tx.deployments({row.deployment for row in rows})).items()}
    counted: dict[str, Counter[str]] = {}
    for row in rows:
        counted.setdefault(names[row.deployment], Counter())[row.state.word] += 1
    for view in await views.deployments(names=sorted(counted)):
        told = {state: count for state, count in view.tasks.items() if count}
        if told != dict(counted[view.name]):
            said.append(f"{view.name} tells {told}, recount {dict(counted[view.name])}")
    return said


def _woken(barrier: Barrier, row: int) -> bool:
    """Whether the wave of wakes has gone by."""
    return not barrier.children or barrier.released >= len(barrier.children) or row not in barrier.children
