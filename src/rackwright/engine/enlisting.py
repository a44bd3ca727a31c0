"""Machines that nobody knows yet: a rack hands them in, and they become nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
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


class _Newcomer(msgspec.Struct, frozen=True):
    """A machine that registers: by what it is known again, and what it tells of itself."""

    macs: tuple[str, ...]
    serial: str
    facts: dict[str, Any]


async def enlist(store: Store, library: CatalogLibrary, rack: int, said: Register, now: float) -> Enlisted:
    """Make the machine that registers at a rack a node, or find the node that it is: to say it twice changes nothing.
    Its own clock does not matter.

    Raises InvalidInput for what cannot be a machine; Conflict, which is told as an event too, where it cannot be said
    which machine it is.
    """
    one = _newcomer(said)

    async def work(tx: Transaction) -> list[Enlisted]:
        return await _enlist(tx, library, rack, [(one, await _owner(tx, rack, one))], now)

    try:
        return (await transact(store, work))[0]
    except Conflict as error:
        event = Event(kind="machine.refused", text=str(error), data={"macs": list(one.macs), "serial": one.serial})
        await transact(store, lambda tx: tx.record([event]))
        raise


async def enlist_many(
    store: Store, library: CatalogLibrary, rack: int, said: Sequence[Register], now: float
) -> list[Enlisted | None]:
    """Enlist machines of one rack in one transaction. None stands for each that has to ask alone, because something is
    wrong with it: then it is told what."""
    found: list[Enlisted | None] = [None] * len(said)
    apart = _apart([_sound(one) for one in said])

    async def work(tx: Transaction) -> list[tuple[int, Enlisted]]:
        places, met = [], []
        for place, one in apart:
            with contextlib.suppress(Conflict):
                met.append((one, await _owner(tx, rack, one)))
                places.append(place)
        return list(zip(places, await _enlist(tx, library, rack, met, now), strict=True))

    for place, enlisted in await transact(store, work) if apart else ():
        found[place] = enlisted
    return found


def _newcomer(said: Register) -> _Newcomer:
    """What a machine says, as far as it makes sense. Raises InvalidInput."""
    macs = hardware.macs_of((*said.macs, *([said.boot_mac] if said.boot_mac else [])))
    serial = hardware.serial_of(said.serial)
    facts = _facts(said, macs, serial)
    refuse_large(macs[0], facts)
    return _Newcomer(macs, serial, facts)


def _sound(said: Register) -> _Newcomer | None:
    try:
        return _newcomer(said)
    except InvalidInput:
        return None


def _apart(newcomers: Sequence[_Newcomer | None]) -> list[tuple[int, _Newcomer]]:
    """Those that share no name with one before them, with their places."""
    taken: set[str] = set()
    apart = []
    for place, one in enumerate(newcomers):
        names = {*one.macs, *([one.serial] if one.serial else [])} if one is not None else set()
        if one is not None and not names & taken:
            apart.append((place, one))
        taken |= names
    return apart


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


async def _owner(tx: Transaction, rack: int, one: _Newcomer) -> Known | None:
    """The node that a machine is; None: nobody knows it. Raises Conflict."""
    owner = hardware.whose(one.macs, one.serial, await tx.known_by(hardware.spellings(one.macs), one.serial))
    if owner is not None and owner.rack != rack:
        raise Conflict(
            f"{owner.name} has registered at a rack in which it does not stand",
            where=owner.name,
            mend=f"if it was moved there: `rackwright node move {owner.name} --rack RACK`",
        )
    return owner


async def _enlist(
    tx: Transaction, library: CatalogLibrary, rack: int, met: Sequence[tuple[_Newcomer, Known | None]], now: float
) -> list[Enlisted]:
    """Make nodes of those that nobody knows, and machines of those that are none yet; note what all tell."""
    known = await tx.scopes([owner.id for _, owner in met if owner is not None])
    made = iter(await _made(tx, rack, [one for one, owner in met if owner is None]))
    nodes = [next(made) if owner is None else known[owner.id] for _, owner in met]
    before = await tx.machines([node.id for node in nodes], lock=True)
    fresh = [node for node in nodes if node.id not in before]
    down = set(await tx.set_living([node.id for node in fresh], False))
    await deactivate(tx, [node for node in fresh if node.id in down])
    after, writes = await _accepted(tx, rack, fresh, now)
    told = [
        FactWrite(node.id, path, value, WORLD)
        for (one, _), node in zip(met, nodes, strict=True)
        for path, value in one.facts.items()
    ]
    events = await put(tx, library, [*told, *writes])
    events += await save(tx, before, after)
    await tx.record(events)
    return [Enlisted(id=node.id, name=node.name) for node in nodes]


async def _made(tx: Transaction, rack: int, strangers: Sequence[_Newcomer]) -> list[Scope]:
    """Nodes for strangers."""
    if not strangers:
        return []
    names = [f"m-{one.macs[0].replace(':', '')}" for one in strangers]
    scopes = [Scope(id=0, kind="node", name=name, rack=rack, alive=False) for name in names]
    ids = await tx.add_nodes(scopes)
    found = [msgspec.structs.replace(scope, id=id) for scope, id in zip(scopes, ids, strict=True)]
    await tx.announce(of_nodes("created", found))
    await tx.record([Event(kind="node.added", text=f"a machine has registered: {name}", scope=name) for name in names])
    return found


async def _accepted(
    tx: Transaction, rack: int, nodes: Sequence[Scope], now: float
) -> tuple[dict[int, Machine], list[FactWrite]]:
    """New machines, accepted where their rack does so by itself; without an address left they stay new."""
    machines = {node.id: Machine(id=node.id, since=now) for node in nodes}
    if not nodes or not await addresses.accepts_by_itself(tx, rack):
        return machines, []
    given = await addresses.give(tx, nodes)
    accept = lifecycle.VERBS["accept"]
    return {
        id: lifecycle.set_health(machine, "unknown", given.without[id], now)
        if id in given.without
        else lifecycle.at_once(accept, machine, now)
        for id, machine in machines.items()
    }, given.writes
