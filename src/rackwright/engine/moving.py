"""Nodes that come to stand in another rack."""

from __future__ import annotations

import msgspec

from rackwright.core.addresses import ADDRESS, written
from rackwright.core.audit import Change
from rackwright.core.errors import Conflict
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.lifecycle import word
from rackwright.core.ports import Event, Scope, Store, Transaction
from rackwright.engine import forcing
from rackwright.engine.happenings import of_nodes
from rackwright.engine.holding import UNBIND, bound_in, holding
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.lifecycle import put
from rackwright.engine.machines import scope_named
from rackwright.engine.transact import transact


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node is to stand, and with which address there (None: as before). By ``force`` the deployments that hold
    it let go of it first."""

    rack: str
    address: str | None = None
    force: bool = False


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a node stood elsewhere, and the deployments that have let go of it."""

    moved: bool
    unbound: list[str] = []


async def move(store: Store, library: CatalogLibrary, name: str, wanted: Move, asked_by: str = "") -> Moved:
    """Let a node stand in another rack: from now on that one serves it, and the one before does not know it any more.
    Its facts stay; tokens are each rack's own, so the machine gets a new one when it next boots over the network.

    Raises NotFound, or Conflict while a deployment of people holds it or something is done with it, or where its
    address is taken. Nothing has changed then.
    """
    return await transact(store, lambda tx: _move(tx, library, name, wanted, asked_by))


async def _move(tx: Transaction, library: CatalogLibrary, name: str, wanted: Move, asked_by: str) -> Moved:
    await tx.lock_places(moving=True)
    node, target = await scope_named(tx, "node", name), await scope_named(tx, "rack", wanted.rack)
    if node.rack == target.id:
        await _address(tx, library, node, wanted)
        return Moved(moved=False)
    freed = await forcing.unbind(tx, library, [node], asked_by) if wanted.force else {}
    await _refuse_busy(tx, node)
    before = await tx.scopes([node.rack]) if node.rack is not None else {}
    was = before[node.rack].name if node.rack is not None else ""
    await tx.set_rack(node.id, target.id)
    await tx.announce(of_nodes("changed", [node], rack=target.name))
    text = f"{name} stands in {target.name} now"
    await tx.record([Event(kind="node.moved", text=text, scope=name, data={"was": was})])
    await tx.note([Change(kind="node.moved", text="it stands in another rack", scope=name,
                          before={"rack": was}, after={"rack": target.name})])  # fmt: skip
    await _address(tx, library, node, wanted)
    return Moved(moved=True, unbound=freed.get(name, []))


async def _address(tx: Transaction, library: CatalogLibrary, node: Scope, wanted: Move) -> None:
    if wanted.address is None:
        return
    address = written(wanted.address, node.name)
    await tx.record(await put(tx, library, [FactWrite(node.id, ADDRESS, address, PEOPLE)]))
    await tx.note([Change(kind="facts", text=f"set: {ADDRESS}", scope=node.name, after={ADDRESS: address})])


async def _refuse_busy(tx: Transaction, node: Scope) -> None:
    """Raise Conflict for a node of which the rack where it stands still has something to do."""
    held = await holding(tx, [node.id])
    if node.id in held:
        raise Conflict(bound_in(held[node.id]), where=node.name, mend=UNBIND)
    machine = (await tx.machines([node.id], lock=True)).get(node.id)
    if machine is not None and machine.verb:
        mend = "wait until it is through, or abort it"
        raise Conflict(f"it is {word(machine)} now", where=node.name, mend=mend)
