"""What node tasks see right now: their tasks, inputs and fingerprints, gathered for many rows at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.addresses import ADDRESS
from rackwright.core.catalog import Task
from rackwright.core.facts import Fact
from rackwright.core.inputs import Inputs, Known, Surroundings, data, fingerprint, fingerprints, resolve
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import Deployment, Membership, Scope, Transaction
from rackwright.core.resolution import MASTER
from rackwright.engine.library import CatalogLibrary, Shelf
from rackwright.engine.sight import Sight

NO_INPUTS = Inputs({})
"""Of a task that reads nothing; nobody may add to it."""


class Situation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One node task with all that carrying it out depends on."""

    task: Task
    shelf: Shelf
    deployment: Deployment
    scope: Scope
    rack: str | None
    address: str | None
    inputs: Inputs
    sight: Sight
    places: dict[str, Any]
    """Everything that its evaluation reads, by place in ``$``."""
    reads: dict[str, str]
    """The fingerprints of these, and of what it looked for in vain."""
    fingerprint: bytes
    """Of the task and its reads."""

    @property
    def data(self) -> dict[str, Any]:
        """What its expressions see as ``$``."""
        return data(self.places, itself=self.sight.itself, absent=self.inputs.absent)


class _World(msgspec.Struct):
    """Everything that the rows of one batch may see, fetched by a fixed number of queries."""

    deployments: dict[int, Deployment]
    shelves: dict[int, Shelf]
    scopes: dict[int, Scope]
    members: dict[int, dict[int, Membership]]
    facts: dict[int, dict[str, Any]]
    known: Known = {}
    unread: dict[tuple[int, str, str], bytes] = {}
    """Fingerprints of the tasks that read nothing, by deployment, graph and task."""


Seen = tuple[Task, Sight]
"""A task with the reads that its expressions imply, and what they look at."""


async def situations(
    tx: Transaction, library: CatalogLibrary, rows: Sequence[NodeTask], instead: Mapping[int, Seen] | None = None
) -> dict[int, Situation]:
    """The situation of each row, by its id. The number of queries does not depend on the number of rows.

    ``instead`` gives rows, by id, another task than the one that their deployment's catalog has for them.
    """
    if not rows:
        return {}
    deployments = await tx.deployments({row.deployment for row in rows})
    shelves = {id: await library.shelf(tx, deployments[id].catalog) for id in {row.deployment for row in rows}}
    seen = {row.id: shelves[row.deployment].seen(row.graph, row.task) for row in rows} | dict(instead or {})
    tasks = [task for task, _ in seen.values()]
    members = await _members(tx, rows, seen)
    scopes = await tx.scopes({row.scope for row in rows} | {row.rack for row in rows if row.rack is not None})
    facts = await _facts(tx, deployments, scopes, members, tasks)
    world = _World(deployments, shelves, scopes, members, facts)
    return {row.id: _situation(world, row, *seen[row.id]) for row in rows}


async def _members(
    tx: Transaction, rows: Sequence[NodeTask], seen: Mapping[int, Seen]
) -> dict[int, dict[int, Membership]]:
    """Members of the deployments: all where a task gathers from all, else those of the rows with expressions."""
    everyone = {row.deployment for row in rows if _gathers(seen[row.id][0])}
    some: dict[int, set[int]] = {}
    for row in rows:
        if row.deployment not in everyone and seen[row.id][1].expressive:
            some.setdefault(row.deployment, set()).add(row.scope)
    members = {id: await tx.memberships(id) for id in everyone}
    members |= {id: await tx.memberships(id, scopes) for id, scopes in some.items()}
    return {id: {member.scope: member for member in found} for id, found in members.items()}


async def _facts(
    tx: Transaction,
    deployments: dict[int, Deployment],
    scopes: dict[int, Scope],
    members: dict[int, dict[int, Membership]],
    tasks: Iterable[Task],
) -> dict[int, dict[str, Any]]:
    paths = {read.path for task in tasks for read in task.reads.values()} | {ADDRESS}
    wanted = set(scopes) | set(deployments) | {id for found in members.values() for id in found}
    wanted |= {scope.rack for scope in scopes.values() if scope.rack is not None}
    return by_scope(await tx.facts(wanted, paths))


def by_scope(facts: Iterable[Fact]) -> dict[int, dict[str, Any]]:
    """Facts as path to value, by scope."""
    found: dict[int, dict[str, Any]] = {}
    for fact in facts:
        found.setdefault(fact.scope, {})[fact.path] = fact.value
    return found


def _situation(world: _World, row: NodeTask, task: Task, sight: Sight) -> Situation:
    if not task.reads and not sight.expressive:
        return _unread(world, row, task, sight)
    shelf, scope = world.shelves[row.deployment], world.scopes[row.scope]
    members = world.members.get(row.deployment, {})
    around = Surroundings(
        own=world.facts.get(row.scope, {}),
        rack=world.facts.get(scope.rack or 0, {}),
        deployments=[world.facts.get(id, {}) for id in chain(world.deployments, row.deployment)],
        defaults=shelf.defaults,
        nodes=_gathered(world, members.values(), scope) if _gathers(task) else {},
    )
    inputs = resolve(task, around)
    rack = world.scopes[row.rack].name if row.rack is not None and row.rack in world.scopes else None
    places = inputs.places
    if sight.expressive:
        places |= _surroundings(scope, task, members.get(row.scope), around, world.deployments[row.deployment], rack)
    reads = fingerprints(places, inputs.absent, world.known)
    return Situation(
        task=task,
        shelf=shelf,
        deployment=world.deployments[row.deployment],
        scope=scope,
        rack=rack,
        address=around.own.get(ADDRESS),
        inputs=inputs,
        sight=sight,
        places=places,
        reads=reads,
        fingerprint=fingerprint(shelf.digests.get((row.graph, row.task), b""), reads, inputs.missing),
    )


def _unread(world: _World, row: NodeTask, task: Task, sight: Sight) -> Situation:
    """The situation of a node task that reads nothing: its fingerprint is that of the task, wherever it runs."""
    shelf, key = world.shelves[row.deployment], (row.deployment, row.graph, row.task)
    if key not in world.unread:
        world.unread[key] = fingerprint(shelf.digests.get((row.graph, row.task), b""), {})
    rack = world.scopes.get(row.rack) if row.rack is not None else None
    return Situation(
        task=task,
        shelf=shelf,
        deployment=world.deployments[row.deployment],
        scope=world.scopes[row.scope],
        rack=None if rack is None else rack.name,
        address=world.facts.get(row.scope, {}).get(ADDRESS),
        inputs=NO_INPUTS,
        sight=sight,
        places={},
        reads={},
        fingerprint=world.unread[key],
    )


def _gathers(task: Task) -> bool:
    return bool(task.reads) and any(read.scope == "nodes" for read in task.reads.values())


def _gathered(
    world: _World, members: Iterable[Membership], scope: Scope
) -> dict[str, tuple[Collection[str], dict[str, Any]]]:
    """The members that a task of this scope may gather from: all, for a rack those that stand in it."""
    return {
        member.name: (member.tags, world.facts.get(member.scope, {}))
        for member in members
        if scope.kind != "rack" or member.rack == scope.id
    }


def _surroundings(
    scope: Scope, task: Task, member: Membership | None, around: Surroundings, deployment: Deployment, rack: str | None
) -> dict[str, Any]:
    """What every expression sees without a read. A node's task of nobody's node is the control node's."""
    control = scope.kind == "deployment" and task.scope == "node"
    node = {
        "name": MASTER if control else scope.name,
        "address": around.own.get(ADDRESS),
        "tags": [MASTER] if control else list(member.tags) if member else [],
        "roles": list(member.roles) if member else [],
    }
    return {"node": node, "deployment": deployment.name, "rack": rack}


def chain(deployments: Mapping[int, Deployment], id: int | None) -> list[int]:
    """A deployment and its ancestors, nearest first."""
    chain: list[int] = []
    while id is not None and id in deployments and id not in chain:
        chain.append(id)
        id = deployments[id].parent
    return chain
