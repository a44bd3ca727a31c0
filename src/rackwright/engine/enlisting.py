"""Machines that nobody knows yet: a rack hands them in, and they become nodes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import msgspec

from rackwright.core import hardware, lifecycle
from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.facts import WORLD, FactWrite
from rackwright.core.lifecycle import Machine
from rackwright.core.machine_messages import Register
from rackwright.core.machines import Known
from rackwright.core.ports import Event, Scope, Store, Transaction
from rackwright.engine import addresses
from rackwright.engine.happenings import of_nodes
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.lifecycle import put, save
from rackwright.engine.machines import deactivate
from rackwright.engine.observing import refuse_large
from rackwright.engine.transact import transact

INVENTORY = "observed.inventory"


class Enlisted(msgspec.Struct, frozen=True, kw_only=True):
    """Who a machine is from now on."""

    id: int
    name: str


async def enlist(store: Store, library: CatalogLibrary, rack: int, said: Register, now: float) -> Enlisted:
    """Make the machine that registers at a rack a node, or find the node that it is: to say it twice changes nothing.
    Its own clock does not matter.

    Raises InvalidInput for what cannot be a machine; Conflict, which is told as an event too, where it cannot be said
    which machine it is.
    """
    macs, serial = (
        hardware.macs_of((*said.macs, *([said.boot_mac] if said.boot_mac else []))),
        hardware.serial_of(said.serial),
    )
    facts = _facts(said, macs, serial)
    refuse_large(macs[0], facts)
    try:
        return await transact(store, functools.partial(_enlist, library, rack, macs, serial, facts, now))
    except Conflict as error:
        event = Event(kind="machine.refused", text=str(error), data={"macs": list(macs), "serial": serial})
        await transact(store, lambda tx: tx.record([event]))
        raise


def _facts(said: Register, macs: tuple[str, ...], serial: str) -> dict[str, Any]:
    booted = {
        "system": said.system,
        "request": said.request,
        "boot_id": said.boot_id,
        "firmware": said.firmware,
        "version": said.version,
    }
    facts: dict[str, Any] = {"observed.macs": list(macs), "observed.booted": booted}
    if serial:
        facts["observed.serial"] = serial
    for name, value in said.inventory.items():
        if not name or "." in name:
            raise InvalidInput(f"{name!r} cannot be a part of an inventory", where=macs[0], mend="write a plain name")
        facts[f"{INVENTORY}.{name}"] = value
    return facts


async def _enlist(
    library: CatalogLibrary,
    rack: int,
    macs: tuple[str, ...],
    serial: str,
    facts: Mapping[str, Any],
    now: float,
    tx: Transaction,
) -> Enlisted:
    owner = hardware.whose(macs, serial, await tx.known_by(hardware.spellings(macs), serial))
    node = await _new(tx, rack, macs) if owner is None else await _known(tx, rack, owner)
    before = await tx.machines([node.id], lock=True)
    writes = [FactWrite(node.id, path, value, WORLD) for path, value in facts.items()]
    after: dict[int, Machine] = {}
    if node.id not in before:
        machine = Machine(id=node.id, since=now)
        down = await tx.set_living([node.id], False)
        await deactivate(tx, [node] if down else [])
        accepted, more = await _accepted(tx, rack, node, machine, now)
        after, writes = {node.id: accepted}, [*writes, *more]
    events = await put(tx, library, writes)
    events += await save(tx, before, after)
    await tx.record(events)
    return Enlisted(id=node.id, name=node.name)


async def _new(tx: Transaction, rack: int, macs: tuple[str, ...]) -> Scope:
    name = f"m-{macs[0].replace(':', '')}"
    scope = Scope(id=0, kind="node", name=name, rack=rack, alive=False)
    (id,) = await tx.add_nodes([scope])
    found = msgspec.structs.replace(scope, id=id)
    await tx.announce(of_nodes("created", [found]))
    await tx.record([Event(kind="node.added", text=f"a machine has registered: {name}", scope=name)])
    return found


async def _known(tx: Transaction, rack: int, owner: Known) -> Scope:
    if owner.rack != rack:
        raise Conflict(
            f"{owner.name} has registered at a rack in which it does not stand",
            where=owner.name,
            mend="add it in the rack in which it stands",
        )
    return (await tx.scopes([owner.id]))[owner.id]


async def _accepted(
    tx: Transaction, rack: int, node: Scope, machine: Machine, now: float
) -> tuple[Machine, list[FactWrite]]:
    """The machine, accepted where its rack does so by itself; without an address left it stays new."""
    if not await addresses.accepts_by_itself(tx, rack):
        return machine, []
    given = await addresses.give(tx, [node])
    if given.without:
        return lifecycle.set_health(machine, "unknown", given.without[node.id], now), []
    return lifecycle.at_once(lifecycle.VERBS["accept"], machine, now), given.writes
