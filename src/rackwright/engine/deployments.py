"""Deployments: made, stopped, resumed, and the verbs of people on their node tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rackwright.core import annealing
from rackwright.core.audit import Change
from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.core.ports import Deployment, Event, Store, Transaction
from rackwright.engine.happenings import of_deployment
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import scope_named
from rackwright.engine.neighbours import lock_below
from rackwright.engine.situations import chain
from rackwright.engine.transact import transact


async def create(store: Store, library: CatalogLibrary, name: str, *, catalog: str, parent: str | None = None) -> None:
    """Make a deployment of what a catalog means now, without members yet. Its ``desired`` facts are inherited from
    ``parent``, and it is stopped when that one is. Raises NotFound for an unknown catalog or parent, Conflict for a
    name that is taken."""

    async def work(tx: Transaction) -> None:
        above = await scope_named(tx, "deployment", parent) if parent is not None else None
        deployment = Deployment(
            id=0,
            name=name,
            parent=above.id if above is not None else None,
            catalog=await library.resolve(tx, catalog),
            catalog_name=catalog,
            stopped=above is not None and (await tx.deployments([above.id]))[above.id].stopped,
            created_at=time.time(),
        )
        id = await tx.add_deployment(deployment)
        await tx.announce(of_deployment("created", id, name))
        await tx.record([Event(kind="deployment.created", text=f"made of the catalog {catalog}", deployment=name)])
        made = {"catalog": catalog, "parent": parent}
        await tx.note([Change(kind="deployment.created", text="made", deployment=name, after=made)])

    await transact(store, work)


async def stop(store: Store, name: str) -> None:
    """Let nothing new start, in the deployments below it neither; what runs ends by itself."""
    await _set_stopped(store, name, True)


async def resume(store: Store, name: str) -> None:
    """Let work start again, in the deployments below it too. Raises Conflict while one above it is stopped."""
    await _set_stopped(store, name, False)


async def delete(store: Store, name: str) -> None:
    """Forget a deployment with its node tasks and facts. Raises Conflict while something runs in it."""

    async def work(tx: Transaction) -> None:
        scope = await scope_named(tx, "deployment", name)
        await tx.announce(of_deployment("deleted", scope.id, name))
        await tx.remove(scope.id)
        await tx.record([Event(kind="deployment.deleted", text=f"deployment {name} was deleted", deployment=name)])
        await tx.note([Change(kind="deployment.deleted", text="deleted with its facts", deployment=name)])

    await transact(store, work)


async def retry(
    store: Store, name: str, *, tasks: Sequence[str] | None = None, nodes: Sequence[str] | None = None
) -> int:
    """Let node tasks run again: those in error, or, where tasks or nodes are named, these whether in error or active.
    Gives how many."""
    chosen = tasks is not None or nodes is not None

    def move(near: Neighbourhood, row: NodeTask) -> bool:
        if row.state is State.ERROR or (chosen and row.state is State.ACTIVE):
            annealing.retry(near, row, "a person asked for it")
            return True
        return False

    return await _each(store, name, tasks, nodes, None if chosen else State.ERROR, move, "retried")


async def commit(
    store: Store, name: str, *, tasks: Sequence[str] | None = None, nodes: Sequence[str] | None = None
) -> int:
    """Agree to proposed node tasks (all, or of these tasks and nodes), so that they run. Gives how many."""

    def move(near: Neighbourhood, row: NodeTask) -> bool:
        if row.state is not State.PROPOSED:
            return False
        annealing.commit(near, row)
        return True

    return await _each(store, name, tasks, nodes, State.PROPOSED, move, "committed")


async def _each(
    store: Store,
    name: str,
    tasks: Sequence[str] | None,
    nodes: Sequence[str] | None,
    state: State | None,
    move: Callable[[Neighbourhood, NodeTask], bool],
    word: str,
) -> int:
    async def work(tx: Transaction) -> int:
        deployment = await scope_named(tx, "deployment", name)
        scopes = None if nodes is None else [(await scope_named(tx, "node", node)).id for node in nodes]
        ids = await tx.find(deployment.id, tasks, scopes, state)
        if not ids and tasks is not None and not await tx.find(deployment.id, tasks, None):
            raise NotFound(f"the deployment {name} has no task {', '.join(tasks)}")
        near = await lock_below(tx, ids)
        moved = sum(move(near, near.rows[id]) for id in sorted(ids) if id in near.rows)
        await tx.save(near)
        which = {"tasks": tasks, "nodes": nodes, "count": moved}
        text = f"{moved} node tasks were {word}"
        await tx.note([Change(kind=f"deployment.{word}", text=text, deployment=name, after=which)])
        return moved

    if tasks is not None and not tasks:
        raise InvalidInput("no task is named", mend="name tasks, or leave them out to mean all")
    return await transact(store, work)


async def _set_stopped(store: Store, name: str, stopped: bool) -> None:
    async def work(tx: Transaction) -> None:
        scope = await scope_named(tx, "deployment", name)
        await set_stopped(tx, scope.id, stopped)
        await tx.announce(of_deployment("changed", scope.id, name, stopped=stopped))
        word = "stopped" if stopped else "resumed"
        await tx.record([Event(kind=f"deployment.{word}", text=f"the deployment was {word}", deployment=name)])
        await tx.note([Change(kind=f"deployment.{word}", text=f"the deployment was {word}", deployment=name)])

    await transact(store, work)


async def set_stopped(tx: Transaction, deployment: int, stopped: bool) -> None:
    """Stop a deployment with all below it, or let them go on. Raises Conflict when one above it is stopped."""
    if not stopped:
        await _refuse_below_a_stopped_one(tx, deployment)
    for id in sorted({deployment, *(await tx.deployments_of([deployment])).get(deployment, [])}):
        await tx.set_deployment(id, stopped=stopped)


async def _refuse_below_a_stopped_one(tx: Transaction, deployment: int) -> None:
    known = await tx.deployments([deployment])
    for id in chain(known, known[deployment].parent):
        if known[id].stopped:
            raise Conflict(
                f"the deployment {known[id].name}, above it, is stopped",
                where=f"deployment {known[deployment].name}",
                mend=f"resume {known[id].name}: what is below it goes on too",
            )
