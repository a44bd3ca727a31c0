"""Carrying a deployment to what is asked of it: members, facts and the shape of its graph, in one transaction."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from rackwright.core.catalog import Graph, Task
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.expansion import Expansion
from rackwright.core.facts import Fact, nest, touches
from rackwright.core.linking import expand
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.core.plan import Plan, build
from rackwright.core.ports import Deployment, Event, Membership, Scope, Transaction
from rackwright.core.resolution import RACK_PREFIX, Member, NodeId
from rackwright.core.role_order import arranged
from rackwright.engine import binding, forecasting, shares, steering, summary
from rackwright.engine.changes import Changes, desired, memberships
from rackwright.engine.choosing import leave_out
from rackwright.engine.hooks import announce_plan
from rackwright.engine.library import CatalogLibrary, Shelf
from rackwright.engine.reconcile import Place, Shape, reconcile
from rackwright.engine.relating import computed
from rackwright.engine.ripple import refresh, ripple
from rackwright.engine.serialization.policy import BY_SIZE, PolicySettings
from rackwright.engine.situations import by_scope

FACT_IN_FILTER = re.compile(r"\$\.(\w+)")
"""The facts of a node that a node filter looks at; those that are absent are null to it."""


class _Site(msgspec.Struct):
    """One deployment under change."""

    deployment: Deployment
    shelf: Shelf
    graph: Graph
    nodes: dict[str, Scope]
    racks: dict[int, str]
    members: list[Membership]
    binding: binding.Binding

    def names(self) -> dict[int, str]:
        """Names of everything that node tasks and facts of the deployment stand on, by id."""
        return {
            **self.racks,
            **{member.scope: member.name for member in self.members},
            **{scope.id: scope.name for scope in self.nodes.values()},
            self.deployment.id: self.deployment.name,
        }

    def places(self) -> dict[int, NodeId]:
        """The place of each scope, as graphs name it."""
        racks: dict[int, NodeId] = {id: f"{RACK_PREFIX}{name}" for id, name in self.racks.items()}
        return {**racks, **{member.scope: member.name for member in self.members}, self.deployment.id: None}

    def racks_of_scopes(self) -> dict[int, int | None]:
        """The rack of each member, and of each rack itself."""
        return {id: id for id in self.racks} | {member.scope: member.rack for member in self.members}


async def roll_out(
    tx: Transaction,
    library: CatalogLibrary,
    deployment: int,
    changes: Changes,
    settings: PolicySettings = BY_SIZE,
) -> dict[str, Any]:
    """Make the changes and fit the graph to them; gives the summary of what will run. New node tasks are committed;
    stale ones go where the rules say. ``settings`` say who evaluates computed relations.

    Raises InvalidInput, NotFound or Conflict when the changes cannot be made; nothing is kept then.
    """
    before = await tx.memberships(deployment)
    site = await _site(tx, library, deployment, changes, before)
    await tx.set_members(deployment, site.members)
    writes = desired(site.shelf.catalog, deployment, changes, site.nodes) + site.binding.writes
    old = by_scope(await tx.facts({write.scope for write in writes}, {write.path for write in writes}))
    changed = await tx.put_facts(writes)
    shape, expansion = await _reshape(tx, library, site, settings)
    events = await _refresh(tx, library, site, shape, changed)
    names = site.names()
    left = leave_out(shape, expansion, changes.tasks, changes.subgraphs, site.places())
    told = {
        **await asyncio.to_thread(
            summary.rows, shape, names, site.racks_of_scopes(), lambda row: site.shelf.task(row.graph, row.task), left
        ),
        "members": summary.members(before, site.members),
        **site.binding.told(site.deployment.name),
        "facts": summary.facts(changed, old, site.shelf.defaults, names),
        "warnings": expansion.warnings,
    }
    await tx.replace_graph(
        deployment,
        changes.graph,
        insert=shape.inserted,
        update=shape.updated(),
        delete=[row.id for row in shape.removed],
        barriers=list(shape.near.barriers.values()),
    )
    taken = await shares.note(tx, deployment, changes.graph, site.graph.tasks, shape.near.rows.values())
    reshaped = before != site.members or bool(changed) or changes.catalog is not None
    await announce_plan(tx, site.deployment, site.shelf.catalog, shape, reshaped)
    sequence = (changes.graph, *changes.then) if changes.then else ()
    await steering.begin(tx, deployment, changes.graph, expansion, site.members, time.time(), sequence)
    told |= await forecasting.of_plan(tx, deployment, shape.near, names, taken)
    elsewhere = Neighbourhood()
    events += await ripple(tx, library, elsewhere, changed)
    await tx.save(elsewhere)
    await tx.record(events)
    return told


async def _site(
    tx: Transaction, library: CatalogLibrary, id: int, changes: Changes, before: Sequence[Membership]
) -> _Site:
    deployment = (await tx.deployments([id]))[id]
    if changes.catalog is not None:
        digest = await library.resolve(tx, changes.catalog)
        if digest != deployment.catalog:
            await tx.set_deployment(id, catalog=digest)
            deployment = (await tx.deployments([id]))[id]
    shelf = await library.shelf(tx, deployment.catalog)
    graph = shelf.catalog.graphs.get(changes.graph)
    if graph is None:
        known = ", ".join(sorted(shelf.catalog.graphs)) or "none"
        raise NotFound(f"the catalog {shelf.catalog.name} has no graph {changes.graph}", mend=f"its graphs: {known}")
    named = {name for names in (*changes.bind.values(), *changes.unbind.values()) for name in names}
    named |= set(changes.set_nodes) | {member.name for member in before}
    nodes = await tx.named("node", named)
    racks = {scope.id: scope.name for scope in (await tx.named("rack", None)).values()}
    bound = await binding.bind(tx, library, binding.Site(deployment, shelf.catalog, graph, before, nodes), changes)
    members = memberships(shelf.catalog, id, before, bound.settled.roster, nodes)
    graph = arranged(graph, shelf.catalog.roles, bound.services)
    return _Site(deployment, shelf, graph, nodes, racks, members, bound)


async def _reshape(
    tx: Transaction, library: CatalogLibrary, site: _Site, settings: PolicySettings
) -> tuple[Shape, Expansion]:
    members = await _chosen(tx, library, site)
    relations = await computed(
        tx, library, site.shelf, site.deployment.id, site.graph.tasks, members, site.members, settings
    )
    # What is pure runs beside the loop: a large graph takes seconds, and leases go on meanwhile.
    expansion = await asyncio.to_thread(expand, site.graph.tasks, members, relations=relations)
    plan = await asyncio.to_thread(build, expansion, {member.name: member.rack for member in members})
    await steering.limit_tasks(tx, site.deployment.id, site.graph.tasks, expansion)
    rows = await tx.graph_rows(site.deployment.id, site.graph.type)
    places = _places(site, plan, rows)
    tasks = len(places)
    fresh = await tx.reserve(tasks, len(plan.vertices) - tasks)
    shape = await asyncio.to_thread(
        reconcile, plan, rows, places, deployment=site.deployment.id, graph=site.graph.type, fresh=fresh
    )
    return shape, expansion


async def _chosen(tx: Transaction, library: CatalogLibrary, site: _Site) -> list[Member]:
    """The members that the graph is for: all, or those that its node filter lets through."""
    members = [
        Member(name=m.name, tags=m.tags, rack=site.racks.get(m.rack) if m.rack is not None else None)
        for m in site.members
    ]
    if not site.graph.node_filter:
        return members
    paths = sorted(set(FACT_IN_FILTER.findall(site.graph.node_filter)))
    facts = by_scope(await tx.facts([member.scope for member in site.members], paths))
    evaluator, condition, absent = library.evaluator, {"yaql_exp": site.graph.node_filter}, dict.fromkeys(paths)
    return [
        member
        for member, at in zip(members, site.members, strict=True)
        if evaluator.holds(condition, {**absent, **nest(facts.get(at.scope, {}).items())}, where=at.name)
    ]


def _places(site: _Site, plan: Plan, rows: Sequence[NodeTask]) -> dict[int, Place]:
    """Scope and rack of every task vertex. What belongs to the deployment as a whole is carried out by the rack that
    did so before, as long as members stand in it, for state may be kept there; at first by that of the first member. A
    deployment that has lost its last member stays where it was."""
    by_name = {member.name: member for member in site.members}
    rack_ids = {name: id for id, name in site.racks.items()}
    racks = [member.rack for member in site.members if member.rack is not None]
    former = next((row.rack for row in rows if row.scope == site.deployment.id), None)
    home = former if former in racks else next(iter(racks), former)
    place = cache(lambda node: _place(node, site.deployment.id, home, by_name, rack_ids))
    places = {index: place(vertex.node) for index, vertex in enumerate(plan.vertices) if vertex.task is not None}
    unplaced = sorted({plan.vertices[index].node or "deployment" for index, place in places.items() if not place[1]})
    if unplaced:
        raise InvalidInput(
            f"nobody can carry out the tasks of {', '.join(unplaced[:5])}: no rack",
            mend="put each node in a rack with `rackwright node set NAME --rack RACK`",
        )
    return places


def _place(
    node: NodeId, deployment: int, home: int | None, members: dict[str, Membership], racks: dict[str, int]
) -> Place:
    if node is not None and node in members:
        return members[node].scope, members[node].rack
    if node is not None and node.startswith(RACK_PREFIX):
        rack = racks[node.removeprefix(RACK_PREFIX)]
        return rack, rack
    return deployment, home


async def _refresh(
    tx: Transaction, library: CatalogLibrary, site: _Site, shape: Shape, changed: Sequence[Fact]
) -> list[Event]:
    """Move the kept rows whose inputs or task differ from what they last ran on."""
    rows = [row for row in shape.kept if row.state in (State.ACTIVE, State.ERROR, State.TRANSITION)]
    rows = [row for row in rows if row.state is not State.ERROR or _reads_any(site, row, changed)]
    reasons = {row.id: _why(site.shelf.task(row.graph, row.task), changed) for row in rows}
    revision = max((fact.revision for fact in changed), default=max((row.revision for row in rows), default=0) + 1)
    return await refresh(tx, library, shape.near, rows, reasons, revision)


def _reads_any(site: _Site, row: NodeTask, changed: Sequence[Fact]) -> bool:
    reads = site.shelf.task(row.graph, row.task).reads.values()
    return any(touches(read.path, fact.path) for read in reads for fact in changed)


def _why(task: Task, changed: Sequence[Fact]) -> str:
    paths = sorted({fact.path for fact in changed for read in task.reads.values() if touches(read.path, fact.path)})
    return "changed: " + ", ".join(paths) if paths else "its task or the membership has changed"
