"""How activities of machines go on and end: in the transaction of the results that their node tasks have brought."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import structlog

from rackwright.core import annealing, lifecycle
from rackwright.core.errors import RackwrightError
from rackwright.core.facts import FactWrite
from rackwright.core.lifecycle import Health, Machine, word
from rackwright.core.machines import METAL
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.core.ports import Deployment, Event, Scope, Store, Transaction
from rackwright.engine.happenings import of_facts, of_nodes
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.neighbours import unfinished
from rackwright.engine.ripple import ripple
from rackwright.engine.transact import transact

WRITER = "lifecycle"
"""Writer of the facts below ``machine``."""
ACTIVITY = "machine.activity"
MISSED = 500
"""Machines per transaction that are found to be missing."""
LOOK = 15.0
"""Seconds between two looks for missing machines, at most."""

log = structlog.get_logger()


async def follow(
    tx: Transaction,
    library: CatalogLibrary,
    deployments: Mapping[int, Deployment],
    near: Neighbourhood,
    rows: Sequence[NodeTask],
    now: float,
) -> list[Event]:
    """Let machines follow the given rows, just saved: their activity waits, goes on, has failed, or is through once
    every node task of it is active. ``deployments`` are those of the rows."""
    mine = [row for row in rows if row.id in near.touched and deployments[row.deployment].name == METAL]
    if not mine:
        return []
    machines = await tx.machines({row.scope for row in mine}, lock=True)
    concerned = [row for row in mine if _is_of(row, machines.get(row.scope))]
    after = {row.scope: _moved(machines[row.scope], row, now) for row in concerned}
    through = await _through(tx, near, concerned, after)
    ended = {id: lifecycle.end(after[id], now) for id in through}
    events = await _close(tx, library, [machines[id] for id in through], now)
    return events + await save(tx, machines, {**after, **ended})


async def watch(store: Store, patience: float, stop: asyncio.Event) -> None:
    """Find missing machines until ``stop`` is set: those that are silent for more than ``patience`` seconds. Any number
    of conductors may do so at once."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(patience / 10, 1.0), LOOK) * random.uniform(0.8, 1.2)):
                await stop.wait()
        try:
            while not stop.is_set() and await miss(store, time.time() - patience, time.time()):
                log.warning("machines are missing")
        except RackwrightError as error:
            log.warning("nobody could look for missing machines", why=str(error))


async def miss(store: Store, before: float, now: float) -> int:
    """Find machines missing whose agents were heard of before, but not since ``before``; gives how many."""

    async def work(tx: Transaction) -> int:
        machines = await tx.machines(await tx.silent(before, MISSED), lock=True)
        heard = {id: max(each.last_seen or now, each.last_ended_at or 0) for id, each in machines.items()}
        gone = {id: each for id, each in machines.items() if heard[id] < before}
        await tx.record(await set_health(tx, gone, "missing", "its agent was not heard of", now))
        return len(gone)

    return await transact(store, work)


async def set_health(
    tx: Transaction, machines: Mapping[int, Machine], health: Health, reason: str, now: float
) -> list[Event]:
    """Give these machines, which are locked, another health; gives the events of it."""
    after = {id: lifecycle.set_health(each, health, reason, now) for id, each in machines.items()}
    return await save(tx, machines, after)


async def put(tx: Transaction, library: CatalogLibrary, writes: Sequence[FactWrite]) -> list[Event]:
    """Put facts with all that follows from them; gives the events of it."""
    changed = await tx.put_facts(writes)
    await tx.announce(of_facts(changed))
    near = Neighbourhood()
    events = await ripple(tx, library, near, changed)
    await tx.save(near)
    return events


async def forget(tx: Transaction, nodes: Collection[int], paths: Collection[str]) -> list[FactWrite]:
    """What makes these facts of nodes, and all below them, gone: whoever wrote them."""
    if not nodes or not paths:
        return []
    found = await tx.facts(nodes, paths)
    gone = [fact for fact in found if any(fact.path == path or fact.path.startswith(f"{path}.") for path in paths)]
    return [FactWrite(fact.scope, fact.path, None, fact.writer) for fact in gone]


async def drop_rows(tx: Transaction, machines: Iterable[Machine], reason: str, now: float) -> None:
    """Forget the node tasks of these machines' activities; what runs is lost, and its rack hears of it."""
    by_deployment: dict[int, list[int]] = {}
    for machine in machines:
        if machine.deployment is not None:
            by_deployment.setdefault(machine.deployment, []).append(machine.id)
    for deployment, nodes in sorted(by_deployment.items()):
        ids = await tx.find(deployment, None, nodes)
        running = await tx.find(deployment, None, nodes, State.TRANSITION)
        near = await tx.lock(running)
        for row in near.rows.values():
            if row.state is State.TRANSITION:
                annealing.lose(near, row, reason, now)
        await tx.save(near)
        await tx.drop_rows(ids)
        await tx.leave(deployment, nodes)


async def save(tx: Transaction, before: Mapping[int, Machine], after: Mapping[int, Machine]) -> list[Event]:
    """Write what has become of machines, and tell hooks; gives the events of those whose word is another one now."""
    changed = [machine for id, machine in after.items() if machine != before.get(id)]
    await tx.save_machines(changed)
    turned = [each for each in changed if each.id not in before or word(each) != word(before[each.id])]
    scopes = await tx.scopes([each.id for each in turned]) if turned else {}
    await tx.announce([told for each in turned for told in of_nodes("changed", [scopes[each.id]], machine=word(each))])
    return [_told(scopes[each.id], before.get(each.id), each) for each in turned]


def _told(scope: Scope, before: Machine | None, after: Machine) -> Event:
    was = word(before) if before is not None else "plain"
    why = f": {after.reason}" if after.reason else ""
    data = {"was": was, "word": word(after), "activity": after.activity or (before.activity if before else "")}
    return Event(kind="machine", text=f"{scope.name} is {word(after)} now{why}", scope=scope.name, data=data)


def _is_of(row: NodeTask, machine: Machine | None) -> bool:
    return machine is not None and machine.deployment == row.deployment and machine.verb == row.graph


def _moved(machine: Machine, row: NodeTask, now: float) -> Machine:
    """The machine after one of its node tasks has moved."""
    if row.state is State.ERROR:
        return lifecycle.fail(machine, f"{row.task}: {row.reason}", now)
    waits = row.parked or row.state is State.PROPOSED
    if machine.phase in ("running", "waiting"):
        return lifecycle.set_phase(machine, "waiting" if waits else "running", now)
    return machine


async def _through(
    tx: Transaction, near: Neighbourhood, rows: Sequence[NodeTask], after: Mapping[int, Machine]
) -> list[int]:
    """Machines of which every node task is active."""
    graphs: dict[tuple[int, str], set[int]] = {}
    for row in rows:
        if row.state is State.ACTIVE:
            graphs.setdefault((row.deployment, row.graph), set()).add(row.scope)
    through: set[int] = set()
    for (deployment, graph), nodes in graphs.items():
        through |= nodes - await unfinished(tx, near, deployment, graph, nodes)
    return sorted(id for id in through if after[id].verb)


async def _close(tx: Transaction, library: CatalogLibrary, machines: Sequence[Machine], now: float) -> list[Event]:
    """Clear away what activities that are through leave behind. In rescue a machine stays until it is let out: what it
    boots is said by the fact of its activity."""
    if not machines:
        return []
    await drop_rows(tx, machines, "its activity is through", now)
    writes = [FactWrite(each.id, ACTIVITY, None, WRITER) for each in machines if each.verb != "rescue"]
    for name in sorted({each.verb for each in machines}):
        verb = lifecycle.VERBS[name]
        writes += await forget(tx, [each.id for each in machines if each.verb == name], lifecycle.forgotten(verb, "ok"))
    back = [each.id for each in machines if each.verb == "exit-rescue" and each.installed]
    await tx.set_living(back, True)
    return await put(tx, library, writes)
