"""Nodes that come to stand in another rack."""

from __future__ import annotations

from rackwright.core.audit import Change
from rackwright.core.errors import Conflict
from rackwright.core.lifecycle import word
from rackwright.core.ports import Event, Scope, Store, Transaction
from rackwright.engine.happenings import of_nodes
from rackwright.engine.holding import UNBIND, bound_in, holding
from rackwright.engine.machines import scope_named
from rackwright.engine.transact import transact


async def move(store: Store, name: str, rack: str) -> bool:
    """Let a node stand in another rack: from now on that one serves it, and the one before does not know it any more.
    Gives whether it stood elsewhere. Its facts stay; tokens are each rack's own, so the machine gets a new one when it
    next boots over the network.

    Raises NotFound, or Conflict while a deployment of people holds it or something is done with it.
    """
    return await transact(store, lambda tx: _move(tx, name, rack))


async def _move(tx: Transaction, name: str, rack: str) -> bool:
    node, target = await scope_named(tx, "node", name), await scope_named(tx, "rack", rack)
    if node.rack == target.id:
        return False
    await _refuse_busy(tx, node)
    before = await tx.scopes([node.rack]) if node.rack is not None else {}
    was = before[node.rack].name if node.rack is not None else ""
    await tx.set_rack(node.id, target.id)
    await tx.announce(of_nodes("changed", [node], rack=rack))
    await tx.record([Event(kind="node.moved", text=f"{name} stands in {rack} now", scope=name, data={"was": was})])
    await tx.note([Change(kind="node.moved", text="it stands in another rack", scope=name,
                          before={"rack": was}, after={"rack": rack})])  # fmt: skip
    return True


async def _refuse_busy(tx: Transaction, node: Scope) -> None:
    """Raise Conflict for a node of which the rack where it stands still has something to do."""
    held = await holding(tx, [node.id])
    if node.id in held:
        raise Conflict(bound_in(held[node.id]), where=node.name, mend=UNBIND)
    machine = (await tx.machines([node.id], lock=True)).get(node.id)
    if machine is not None and machine.verb:
        mend = "wait until it is through, or abort it"
        raise Conflict(f"it is {word(machine)} now", where=node.name, mend=mend)
