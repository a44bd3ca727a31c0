"""Nodes and racks: made known, changed, forgotten."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from rackwright.core import annealing
from rackwright.core.addresses import ADDRESS, written
from rackwright.core.audit import Change
from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.node_task import State
from rackwright.core.ports import Event, Scope, Store, Transaction
from rackwright.engine.happenings import of_nodes
from rackwright.engine.intake import put_facts
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.neighbours import lock_below
from rackwright.engine.transact import transact


class NewNode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine to be known: its rack, its one address, its labels."""

    name: str
    rack: str | None = None
    address: str | None = None
    labels: dict[str, str] = {}


class Added(msgspec.Struct, frozen=True):
    """What became of one item of a batch: ``error`` is empty when it is known now."""

    name: str
    error: str = ""


async def add_nodes(store: Store, nodes: Sequence[NewNode]) -> list[Added]:
    """Make nodes known, each for itself: one that is wrong does not keep out the others. Those that nothing speaks
    against are added by one statement for all."""
    try:
        await transact(store, lambda tx: _add(tx, nodes))
    except (InvalidInput, NotFound, Conflict) as error:
        if len(nodes) == 1:
            return [Added(nodes[0].name, str(error))]
        half = len(nodes) // 2
        return [*await add_nodes(store, nodes[:half]), *await add_nodes(store, nodes[half:])]
    return [Added(node.name) for node in nodes]


async def add_rack(store: Store, name: str, secret: bytes) -> int:
    """Make a rack known; ``secret`` is the SHA-256 of the token that its process will show. Gives its id."""
    scope = Scope(id=0, kind="rack", name=_name("rack", name), created_at=time.time())

    async def work(tx: Transaction) -> int:
        id = await tx.add_scope(scope, secret=secret)
        await tx.note([Change(kind="rack.added", text="the rack is known now", scope=name)])
        return id

    return await transact(store, work)


async def remove(store: Store, kind: Literal["node", "rack"], name: str) -> None:
    """Forget a node or an empty rack. Raises Conflict while it is part of a deployment or holds nodes."""

    async def work(tx: Transaction) -> None:
        scope = await scope_named(tx, kind, name)
        if kind == "node":
            await tx.announce(of_nodes("deleted", [scope]))
        await tx.remove(scope.id)
        await tx.record([Event(kind=f"{kind}.removed", text=f"{kind} {name} was removed", scope=name)])
        await tx.note([Change(kind=f"{kind}.removed", text=f"the {kind} is no longer known", scope=name)])

    await transact(store, work)


async def set_node(store: Store, name: str, *, alive: bool | None = None, available: bool | None = None) -> None:
    """Note that a node lives or not, or may be worked on or not. A node that is gone has nothing active on it: all its
    node tasks go back to todo or blocked, and run again when it is back."""

    async def work(tx: Transaction) -> None:
        scope = await scope_named(tx, "node", name)
        await tx.set_alive(scope.id, alive=alive, available=available)
        if alive is False and scope.alive:
            await deactivate(tx, [scope])
        before, after = _wishes(scope, alive, available)
        if before:
            await tx.announce(of_nodes("changed", [scope], **after))
            text = f"{', '.join(before)} of the node changed"
            await tx.note([Change(kind="node.set", text=text, scope=name, before=before, after=after)])

    await transact(store, work)


async def set_address(store: Store, library: CatalogLibrary, name: str, address: str | None) -> None:
    """Give a node its address, in place of the one that it had. Raises Conflict when another node has it."""
    node = NewNode(name=name, address=_address(name, address))
    found = await transact(store, lambda tx: scope_named(tx, "node", name))
    await put_facts(store, library, [FactWrite(found.id, ADDRESS, node.address, PEOPLE)])


def _known(node: NewNode) -> Change:
    made = {"rack": node.rack, "address": node.address, "labels": node.labels}
    return Change(kind="node.added", text="the node is known now", scope=node.name, after=made)


async def scope_named(tx: Transaction, kind: str, name: str) -> Scope:
    """The scope of a kind by its name; NotFound with the nearest name when there is none."""
    found = await tx.named(kind, [name])
    if name in found:
        return found[name]
    near = difflib.get_close_matches(name, await tx.named(kind, None), n=1)
    raise NotFound(f"there is no {kind} {name}", mend=f"did you mean {near[0]}?" if near else f"add the {kind} first")


async def _add(tx: Transaction, nodes: Sequence[NewNode]) -> None:
    racks = {name: (await scope_named(tx, "rack", name)).id for name in {node.rack for node in nodes if node.rack}}
    scopes = [
        Scope(id=0, kind="node", name=_name("node", node.name), rack=racks.get(node.rack or ""), labels=node.labels)
        for node in nodes
    ]
    addresses = [_address(node.name, node.address) for node in nodes]
    ids = await tx.add_nodes(scopes)
    known = [msgspec.structs.replace(scope, id=id) for scope, id in zip(scopes, ids, strict=True)]
    await tx.announce(of_nodes("created", known))
    given = [(id, address) for id, address in zip(ids, addresses, strict=True) if address is not None]
    await tx.put_facts([FactWrite(id, ADDRESS, address, PEOPLE) for id, address in given])
    if nodes:
        names = nodes[0].name if len(nodes) == 1 else f"{nodes[0].name} .. {nodes[-1].name} ({len(nodes)})"
        await tx.note([_known(node) for node in nodes])
        await tx.record([Event(kind="node.added", text=f"known now: {names}")])


def _wishes(scope: Scope, alive: bool | None, available: bool | None) -> tuple[dict[str, bool], dict[str, bool]]:
    """What of a node is set to something else than it was: before, and after."""
    asked = {"alive": alive, "available": available}
    after = {name: value for name, value in asked.items() if value is not None and value is not getattr(scope, name)}
    return {name: not value for name, value in after.items()}, after


async def deactivate(tx: Transaction, nodes: Sequence[Scope]) -> None:
    """Take back what is active on nodes that are not alive: all but what needs no living node."""
    names = {node.id: node.name for node in nodes}
    concerned = await tx.deployments_of(list(names)) if names else {}
    deployments = sorted({id for ids in concerned.values() for id in ids})
    ids = [id for deployment in deployments for id in await tx.find(deployment, None, list(names))]
    if not ids:
        return
    near = await lock_below(tx, ids)
    for id in sorted(ids):
        row = near.rows.get(id)
        if row is not None and row.state is not State.PROPOSED:
            annealing.deactivate(near, row, f"{names[row.scope]} is not alive", time.time())
    await tx.save(near)
    await tx.forget_reads([id for id in ids if id in near.rows and not near.rows[id].offline])


def _name(kind: str, name: str) -> str:
    allowed = name.replace("-", "").replace(".", "").replace("_", "")
    if not name or len(name) > 255 or not (allowed.isascii() and allowed.isalnum()) or name != name.lower():
        raise InvalidInput(
            f"{name!r} cannot be the name of a {kind}", mend="use lower-case letters, digits, dots, - and _"
        )
    return name


def _address(name: str, address: Any) -> str | None:
    if isinstance(address, list):
        raise InvalidInput(f"{name} is given {len(address)} addresses", where=name, mend="give it exactly one")
    return None if address is None else written(address, name)
