"""Verbs: what people say to machines. One request for many of them, each with its own answer."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core import annealing, lifecycle
from rackwright.core.audit import Change
from rackwright.core.errors import Conflict, NotFound, TryAgain
from rackwright.core.facts import WORLD, FactWrite
from rackwright.core.lifecycle import Machine, Verb, word
from rackwright.core.machines import METAL
from rackwright.core.node_task import Neighbourhood, State
from rackwright.core.ports import Deployment, Event, Scope, Transaction
from rackwright.engine import addresses, forcing, machines
from rackwright.engine.activity_rows import copies, layout
from rackwright.engine.happenings import of_deployment
from rackwright.engine.holding import UNBIND, bound_in, holding
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.lifecycle import ACTIVITY, WRITER, drop_rows, forget, put, save
from rackwright.engine.neighbours import lock_below

ABORTED = "its activity was aborted"
REPLACED = "another verb has taken the place of its activity"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a verb for one machine: its word and activity then, or why it was refused."""

    name: str
    word: str = ""
    activity: str = ""
    error: str = ""
    campaign: int | None = None
    """The campaign in which it waits for its turn (see ``campaigns``)."""
    unbound: list[str] = []
    """Deployments that have let go of it, by force."""


async def system(tx: Transaction, library: CatalogLibrary) -> Deployment:
    """The deployment in which activities are carried out, with what the name of its catalog means now. It is made of
    the shipped catalog when it is first needed; people may have made it before, of a catalog of their own."""
    found = await tx.named("deployment", [METAL])
    if not found:
        made = Deployment(id=0, name=METAL, catalog=await library.resolve(tx, METAL), catalog_name=METAL)
        try:
            await tx.announce(of_deployment("created", await tx.add_deployment(made), METAL))
        except Conflict as taken:
            raise TryAgain("somebody else has just made the deployment of the machines") from taken
        found = await tx.named("deployment", [METAL])
    id = found[METAL].id
    deployment = (await tx.deployments([id]))[id]
    digest = await library.resolve(tx, deployment.catalog_name or METAL)
    if deployment.catalog == digest:
        return deployment
    await tx.set_deployment(id, catalog=digest)
    return (await tx.deployments([id]))[id]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is said to machines: a verb, and what its activity is to know (its tasks read it as the fact
    ``machine.activity``). By ``force`` deployments that hold a machine let go of it, where the verb wants it alone."""

    verb: Verb
    parameters: Mapping[str, Any] = {}
    force: bool = False
    asked_by: str = ""


class _Turn(msgspec.Struct, kw_only=True):
    """One order, given to some nodes: what is known of them, and what becomes of them."""

    order: Order
    now: float
    nodes: dict[int, Scope]
    machines: dict[int, Machine]
    """As they were, locked; plain nodes are none."""
    near: Neighbourhood
    """The node tasks of the activities that there are, locked."""
    after: dict[int, Machine] = {}
    writes: list[FactWrite] = []
    events: list[Event] = []
    errors: dict[str, str] = {}

    @property
    def verb(self) -> Verb:
        """What is said."""
        return self.order.verb

    def machine(self, node: int) -> Machine:
        """As it was; a plain node is taken for one that is new."""
        return self.machines.get(node) or Machine(id=node, since=self.now)

    def allowed(self) -> list[Scope]:
        """Nodes to which the verb can be said; the others get their error."""
        good = []
        for node in self.nodes.values():
            try:
                lifecycle.check(self.verb, self.machines.get(node.id), node.name)
                good.append(node)
            except Conflict as error:
                self.errors[node.name] = str(error)
        return good

    def refuse(self, node: Scope, why: str, mend: str) -> None:
        """Note that a node cannot follow."""
        self.errors[node.name] = str(Conflict(f"{self.verb.name}: {why}", where=node.name, mend=mend))


async def say_in(
    tx: Transaction, library: CatalogLibrary, order: Order, names: Sequence[str], now: float
) -> list[Answer]:
    """Say a verb to the machines of these names, each of which comes once. Those that cannot follow it are told why,
    and do not keep out the others; nothing about them has changed.

    Raises InvalidInput or NotFound when the catalog has no fitting graph for it, and, by force, what a plan raises
    where a deployment cannot let go of its machines. Nothing is kept then.
    """
    await tx.lock_places()
    verb, freed = order.verb, await _freed(tx, library, order, names)
    turn = await _turn(tx, order, names, now)
    good = turn.allowed()
    if verb.alone:
        good = await _alone(tx, turn, good)
    if freed.keys() - {node.name for node in good}:
        raise TryAgain("a machine that was to be let go of cannot follow any more")
    if verb.name in lifecycle.STEERING:
        await _steer(tx, turn, good)
    else:
        activities = {node.id for node in good if lifecycle.needs_graph(verb, turn.machine(node.id))}
        await _at_once(tx, turn, [node for node in good if node.id not in activities])
        await _begin(tx, library, turn, [node for node in good if node.id in activities])
    turn.events += await put(tx, library, turn.writes)
    turn.events += await save(tx, turn.machines, turn.after)
    await tx.record(turn.events)
    await tx.note([_noted(turn, turn.nodes[id]) for id in turn.after])
    ids = {node.name: node.id for node in turn.nodes.values()}
    return [_answer(turn, name, ids.get(name), freed.get(name, [])) for name in names]


async def _freed(tx: Transaction, library: CatalogLibrary, order: Order, names: Sequence[str]) -> dict[str, list[str]]:
    """The machines of which deployments have let go, by force, with these: only such as can follow the verb. It comes
    before their rows are locked, for a plan has locks of its own."""
    if not (order.force and order.verb.alone):
        return {}
    nodes = await tx.named("node", names)
    machines = await tx.machines([node.id for node in nodes.values()])
    able = [node for node in nodes.values() if lifecycle.can(order.verb, machines.get(node.id))]
    return await forcing.unbind(tx, library, able, order.asked_by)


async def _turn(tx: Transaction, order: Order, names: Sequence[str], now: float) -> _Turn:
    """What is known of the nodes. Rows are locked before machines, as those do who bring results."""
    known = await tx.named("node", names)
    nodes = {scope.id: scope for scope in known.values()}
    ids = await _rows_of(tx, await tx.machines(nodes))
    near = await lock_below(tx, ids) if ids else Neighbourhood()
    found = await tx.machines(nodes, lock=True)
    if set(await _rows_of(tx, found)) - set(ids):
        raise TryAgain("an activity has begun meanwhile")
    missing = {
        name: str(NotFound(f"there is no node {name}", mend="`rackwright get nodes` lists those that there are"))
        for name in names
        if name not in known
    }
    return _Turn(order=order, now=now, nodes=nodes, machines=found, near=near, errors=missing)


async def _alone(tx: Transaction, turn: _Turn, nodes: Sequence[Scope]) -> list[Scope]:
    """Those of the nodes that no deployment of people holds."""
    held = await holding(tx, [node.id for node in nodes])
    for node in nodes:
        if node.id in held:
            turn.refuse(node, bound_in(held[node.id]), UNBIND)
    return [node for node in nodes if node.id not in held]


async def _rows_of(tx: Transaction, found: Mapping[int, Machine]) -> list[int]:
    """Ids of the node tasks of these machines' activities."""
    by_deployment: dict[int, list[int]] = {}
    for machine in found.values():
        if machine.deployment is not None:
            by_deployment.setdefault(machine.deployment, []).append(machine.id)
    return [id for deployment, nodes in by_deployment.items() for id in await tx.find(deployment, None, nodes)]


# ---- verbs that are done at once


async def _at_once(tx: Transaction, turn: _Turn, nodes: Sequence[Scope]) -> None:
    if turn.verb.name == "accept":
        nodes = await _addressed(tx, turn, nodes)
    await _give_up(tx, turn, nodes, REPLACED)
    turn.after |= {node.id: lifecycle.at_once(turn.verb, turn.machine(node.id), turn.now) for node in nodes}
    if turn.verb.name == "adopt":
        has = {fact.scope for fact in await tx.facts([node.id for node in nodes], ["observed.os"])}
        adopted = {"request": "", "adopted": True}
        turn.writes += [FactWrite(node.id, "observed.os", adopted, WORLD) for node in nodes if node.id not in has]


async def _addressed(tx: Transaction, turn: _Turn, nodes: Sequence[Scope]) -> list[Scope]:
    """Those of the nodes that have an address now, or need none."""
    given = await addresses.give(tx, nodes)
    turn.writes += given.writes
    for node in nodes:
        if node.id in given.without:
            why = given.without[node.id]
            turn.refuse(node, why, "widen the static range of the rack's network, or give it an address")
    return [node for node in nodes if node.id not in given.without]


# ---- verbs about the activity that there is


async def _steer(tx: Transaction, turn: _Turn, nodes: Sequence[Scope]) -> None:
    name = turn.verb.name
    if name == "abort":
        await _give_up(tx, turn, nodes, ABORTED)
        turn.after |= {node.id: lifecycle.abort(turn.machines[node.id], turn.now) for node in nodes}
        return
    moved = await _retry(tx, turn, {node.id for node in nodes}) if name == "retry" else {node.id for node in nodes}
    phase = lifecycle.phase_after(name)
    for node in nodes:
        was = turn.machines[node.id]
        turn.after[node.id] = lifecycle.set_phase(was, phase, turn.now) if node.id in moved else was


async def _retry(tx: Transaction, turn: _Turn, nodes: set[int]) -> set[int]:
    """Let go on what has failed or waits to be committed; gives the machines of which something does."""
    moved: set[int] = set()
    for row in [turn.near.rows[id] for id in sorted(turn.near.rows)]:
        if row.scope not in nodes or row.state not in (State.ERROR, State.PROPOSED):
            continue
        if row.state is State.ERROR:
            annealing.retry(turn.near, row, "a person asked for it")
        else:
            annealing.commit(turn.near, row)
        moved.add(row.scope)
    await tx.save(turn.near)
    return moved


async def _give_up(tx: Transaction, turn: _Turn, nodes: Sequence[Scope], reason: str) -> None:
    """Clear away the activities that these machines have."""
    busy = [turn.machines[node.id] for node in nodes if node.id in turn.machines and turn.machines[node.id].verb]
    await drop_rows(tx, busy, reason, turn.now)
    turn.writes += [FactWrite(machine.id, ACTIVITY, None, WRITER) for machine in busy]
    for name in sorted({machine.verb for machine in busy}):
        paths = lifecycle.forgotten(lifecycle.VERBS[name], "aborted")
        turn.writes += await forget(tx, [machine.id for machine in busy if machine.verb == name], paths)


# ---- activities


async def _begin(tx: Transaction, library: CatalogLibrary, turn: _Turn, nodes: Sequence[Scope]) -> None:
    nodes = [node for node in nodes if _stands(turn, node)]
    if turn.verb.accepts:
        new = [node for node in nodes if turn.machine(node.id).allocation == "new"]
        refused = {node.id for node in new} - {node.id for node in await _addressed(tx, turn, new)}
        nodes = [node for node in nodes if node.id not in refused]
    if not nodes:
        return
    deployment = await system(tx, library)
    catalog = (await library.shelf(tx, deployment.catalog)).catalog
    found = layout(catalog, turn.verb.name)
    await _give_up(tx, turn, nodes, REPLACED)
    await _down(tx, turn, nodes)
    env = catalog.graphs[turn.verb.name].bootenv
    for node in nodes:
        activity = f"{turn.verb.name}-{uuid.uuid4().hex[:12]}"
        said = {"verb": turn.verb.name, "id": activity, "env": env, "parameters": dict(turn.order.parameters)}
        turn.writes.append(FactWrite(node.id, ACTIVITY, said, WRITER))
        turn.after[node.id] = lifecycle.begin(
            turn.verb, turn.machine(node.id), activity=activity, deployment=deployment.id, now=turn.now
        )
    # Facts come first: fresh node tasks have read nothing yet, and need not be asked whether they are stale.
    turn.events += await put(tx, library, turn.writes)
    turn.writes = []
    ids, _ = await tx.reserve(len(nodes) * len(found.steps), 0)
    await tx.join(deployment.id, [node.id for node in nodes], found.roles, found.tags)
    await tx.add_rows(deployment.id, list(copies(found, nodes, ids, deployment=deployment.id, graph=turn.verb.name)))


def _stands(turn: _Turn, node: Scope) -> bool:
    if node.rack is None:
        turn.refuse(node, "it stands in no rack, so nobody can carry it out", "add it with its rack")
    return node.rack is not None


async def _down(tx: Transaction, turn: _Turn, nodes: Sequence[Scope]) -> None:
    """A machine that restarts into something else takes down what is active on it."""
    if turn.verb.reboots:
        down = await tx.set_living([node.id for node in nodes], False)
        await machines.deactivate(tx, [turn.nodes[id] for id in down])


# ---- what is told


def _noted(turn: _Turn, node: Scope) -> Change:
    before, after = turn.machines.get(node.id), turn.after[node.id]
    return Change(
        kind=f"machine.{turn.verb.name}",
        text=f"{turn.verb.name} was said to the machine",
        scope=node.name,
        before={"word": word(before) if before is not None else "plain"},
        after={"word": word(after), "activity": after.activity, "parameters": dict(turn.order.parameters)},
    )


def _answer(turn: _Turn, name: str, id: int | None, unbound: list[str]) -> Answer:
    if id is None or name in turn.errors:
        return Answer(name=name, error=turn.errors[name])
    machine = turn.after[id]
    return Answer(name=name, word=word(machine), activity=machine.activity, unbound=unbound)
