"""Nodes: the machines."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import MIB, nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.names import split, unknown
from rackwright.api.pages import Limit, after, page, whole
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, WORLD, FactWrite
from rackwright.core.lifecycle import Allocation, Health, Phase
from rackwright.core.views import NodeView, Standing, Views
from rackwright.core.whom import Whom
from rackwright.engine import intake, machines, picking
from rackwright.engine.transact import transact

NodeWord = Literal["error", "transition", "todo", "blocked", "proposed", "active", "idle"]
"""What nodes can be picked by: the most pressing state of their node tasks."""


class NodeChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be changed of a node; what is left out stays. ``facts`` by path, null deletes; ``desired.*`` and
    ``observed.*`` only."""

    alive: bool | None = None
    available: bool | None = None
    address: str | None = None
    facts: dict[str, Any] = {}


class NodeFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts of one node, as in ``NodeChange``."""

    name: str
    facts: dict[str, Any]


class ManyFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts of many nodes."""

    items: list[NodeFacts]


class NodesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which nodes: by name (``a,b,c``), by rack, by state, or by where machines stand; a page of them."""

    names: str | None = None
    rack: str | None = None
    state: NodeWord | None = None
    machines: bool = False
    """Machines only, no plain nodes."""
    word: str | None = None
    """Of a machine: ready, deploying, deployed, ..."""
    allocation: Allocation | None = None
    phase: Phase | None = None
    health: Health | None = None
    pool: str | None = None
    zone: str | None = None
    tags: str | None = None
    """Nodes that have all of these."""
    labels: str | None = None
    """As ``key=value,key=value``."""
    cursor: str | None = None
    limit: Limit = 500


async def one(views: Views, name: str) -> NodeView:
    """A node with its facts. Raises NotFound that names the nearest nodes of the same beginning."""
    found = await views.nodes(names=[name])
    if found:
        return found[0]
    raise unknown("node", name, [node.name for node in await views.nodes(limit=1000)])


async def list_nodes(call: Call) -> Response:
    """A page of nodes, in the order of their names."""
    query = call.query(NodesQuery)
    found = await call.services.views.nodes(
        names=await _names(call, query),
        rack=query.rack,
        state=query.state,
        standing=Standing(
            only=query.machines,
            word=query.word,
            allocation=query.allocation,
            phase=query.phase,
            health=query.health,
        ),
        after=after(query.cursor, ""),
        limit=query.limit + 1,
    )
    return page(call, found, query.limit, lambda node: node.name)


async def _names(call: Call, query: NodesQuery) -> list[str] | None:
    """The names of the nodes that are asked for, as far as traits and labels tell; None: any."""
    names = split(query.names)
    if query.pool is query.zone is query.tags is query.labels is None:
        return names
    pairs = (pair.partition("=") for pair in split(query.labels) or [])
    labels = {key: value for key, _, value in pairs}
    wanted = Whom(labels=labels, rack=query.rack, pool=query.pool, zone=query.zone, tags=split(query.tags) or [])
    found = await picking.names_of(call.services.store, wanted)
    return found if names is None else sorted({*found} & {*names})


async def get_node(call: Call) -> Response:
    """One node with its facts."""
    return reply(await one(call.services.views, call.path["name"]))


async def add_nodes(call: Call) -> Response:
    """Make nodes known: one, or a list; the answer has one result for each."""
    batch = await call.some(machines.NewNode)
    added = await machines.add_nodes(call.store, batch)
    return whole(added)


async def change_node(call: Call) -> Response:
    """Change what is known or wished of a node; gives it as it then is."""
    services, name = call.services, call.path["name"]
    change = await call.body(NodeChange)
    if change.address is not None:
        await machines.set_address(call.store, services.catalogs, name, change.address)
    if change.facts:
        await _put_facts(call, name, change.facts)
    if change.alive is not None or change.available is not None:
        await machines.set_node(call.store, name, alive=change.alive, available=change.available)
    return reply(await one(services.views, name))


async def change_nodes(call: Call) -> Response:
    """Change facts of many nodes in one transaction; the answer has one result for each. Nodes that are not known keep
    out no others."""
    services, change = call.services, await call.body(ManyFacts)
    known = await transact(services.store, lambda tx: tx.named("node", [item.name for item in change.items]))
    writes = [
        write for item in change.items if item.name in known for write in _writes(known[item.name].id, item.facts)
    ]
    await intake.put_facts(call.store, services.catalogs, writes)
    return whole([_changed(item.name, item.name in known) for item in change.items])


async def delete_node(call: Call) -> Response:
    """Forget a node; refused while something runs on it."""
    await machines.remove(call.store, "node", call.path["name"])
    return nothing()


async def _put_facts(call: Call, name: str, facts: dict[str, Any]) -> None:
    services = call.services
    node = await transact(services.store, lambda tx: machines.scope_named(tx, "node", name))
    await intake.put_facts(call.store, services.catalogs, _writes(node.id, facts))


def _writes(node: int, facts: dict[str, Any]) -> list[FactWrite]:
    """Facts as they are put. Raises InvalidInput for an address."""
    if "desired.address" in facts:
        raise InvalidInput("an address is not set as a fact", where="/facts", mend="set `address` instead")
    return [
        FactWrite(node, path, value, WORLD if path.startswith("observed.") else PEOPLE) for path, value in facts.items()
    ]


def _changed(name: str, known: bool) -> dict[str, str]:
    error = "" if known else str(NotFound(f"there is no node {name}", mend="`rackwright get nodes` lists them"))
    return {"name": name, "error": error}


routes = [
    route("GET", f"{PREFIX}/nodes", list_nodes, "read"),
    route("POST", f"{PREFIX}/nodes", add_nodes, "admin"),
    route("PATCH", f"{PREFIX}/nodes", change_nodes, "admin", 16 * MIB),
    route("GET", f"{PREFIX}/nodes/{{name}}", get_node, "read"),
    route("PATCH", f"{PREFIX}/nodes/{{name}}", change_node, "admin"),
    route("DELETE", f"{PREFIX}/nodes/{{name}}", delete_node, "admin"),
]
