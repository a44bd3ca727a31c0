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
_Candidates = dict[str, list[Known]]


class Enlisted(msgspec.Struct, frozen=True, kw_only=True):
    """Who a machine is from now on."""

    id: int
    name: str


class _Newcomer(msgspec.Struct, frozen=True):
    """A machine that registers: by what it is known again, and what it tells of itself."""

    rack: int
    macs: tuple[str, ...]
    serial: str
    facts: dict[str, Any]


async def enlist(store: Store, library: CatalogLibrary, rack: int, said: Register, now: float) -> Enlisted:
    """Make the machine that registers at a rack a node, or find the node that it is: to say it twice changes nothing.
    Its own clock does not matter.

    Raises InvalidInput for what cannot be a machine; Conflict, which is told as an event too, where it cannot be said
    which machine it is.
    """
    one = _newcomer(rack, said)

    async def work(tx: Transaction) -> list[Enlisted]:
        known = await _candidates(tx, [one])
        return await _enlist(tx, library, [(one, _owner(one, known))], now)

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
    return (await transact(store, lambda tx: enlist_all(tx, library, [(rack, said)], now)))[0]


async def enlist_all(
    tx: Transaction, library: CatalogLibrary, said: Sequence[tuple[int, Sequence[Register]]], now: float
) -> list[list[Enlisted | None]]:
    """The same for the machines of many racks."""
    found: list[list[Enlisted | None]] = [[None] * len(some) for _, some in said]
    places = [(batch, place) for batch, (_, some) in enumerate(said) for place in range(len(some))]
    apart = _apart([_sound(rack, one) for rack, some in said for one in some])
    known = await _candidates(tx, [one for _, one in apart])
    met, numbers = [], []
    for number, one in apart:
        with contextlib.suppress(Conflict):
            met.append((one, _owner(one, known)))
            numbers.append(number)
    for number, enlisted in zip(numbers, await _enlist(tx, library, met, now), strict=True):
        batch, place = places[number]
        found[batch][place] = enlisted
    return found


def _newcomer(rack: int, said: Register) -> _Newcomer:
    """What a machine says at a rack, as far as it makes sense. Raises InvalidInput."""
    macs = hardware.macs_of((*said.macs, *([said.boot_mac] if said.boot_mac else [])))
    serial = hardware.serial_of(said.serial)
    facts = _facts(said, macs, serial)
    refuse_large(macs[0], facts)
    return _Newcomer(rack, macs, serial, facts)


def _sound(rack: int, said: Register) -> _Newcomer | None:
    try:
        return _newcomer(rack, said)
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


async def _candidates(tx: Transaction, newcomers: Sequence[_Newcomer]) -> _Candidates:
    """The nodes that these machines may be, by Ethernet address and by serial number."""
    macs = [spelled for one in newcomers for spelled in hardware.spellings(one.macs)]
    found: _Candidates = {}
    for known in await tx.known_by(macs, [one.serial for one in newcomers if one.serial]) if newcomers else ():
        for name in {*known.macs, known.serial}:
            found.setdefault(name, []).append(known)
    return found


def _owner(one: _Newcomer, known: _Candidates) -> Known | None:
    """The node that a machine is; None: nobody knows it. Raises Conflict."""
    names = (*one.macs, *([one.serial] if one.serial else []))
    candidates = {each.id: each for name in names for each in known.get(name, ())}
    owner = hardware.whose(one.macs, one.serial, sorted(candidates.values(), key=lambda each: each.id))
    if owner is not None and owner.rack != one.rack:
        raise Conflict(
            f"{owner.name} has registered at a rack in which it does not stand",
            where=owner.name,
            mend=f"if it was moved there: `rackwright node move {owner.name} --rack RACK`",
        )
    return owner


async def _enlist(
    tx: Transaction, library: CatalogLibrary, met: Sequence[tuple[_Newcomer, Known | None]], now: float
) -> list[Enlisted]:
    """Make nodes of those that nobody knows, and machines of those that are none yet; note what all tell."""
    if not met:
        return []
    known = await tx.scopes([owner.id for _, owner in met if owner is not None])
    made = iter(await _made(tx, [one for one, owner in met if owner is None]))
    nodes = [next(made) if owner is None else known[owner.id] for _, owner in met]
    before = await tx.machines([node.id for node in nodes], lock=True)
    fresh = [node for node in nodes if node.id not in before]
    down = set(await tx.set_living([node.id for node in fresh], False))
    await deactivate(tx, [node for node in fresh if node.id in down])
    after, writes = await _accepted(tx, fresh, now)
    told = [
        FactWrite(node.id, path, value, WORLD)
        for (one, _), node in zip(met, nodes, strict=True)
        for path, value in one.facts.items()
    ]
    events = await put(tx, library, [*told, *writes])
    events += await save(tx, before, after)
    await tx.record(events)
    return [Enlisted(id=node.id, name=node.name) for node in nodes]


async def _made(tx: Transaction, strangers: Sequence[_Newcomer]) -> list[Scope]:
    """Nodes for strangers."""
    if not strangers:
        return []
    names = [f"m-{one.macs[0].replace(':', '')}" for one in strangers]
    scopes = [
        Scope(id=0, kind="node", name=name, rack=one.rack, alive=False)
        for name, one in zip(names, strangers, strict=True)
    ]
    ids = await tx.add_nodes(scopes)
    found = [msgspec.structs.replace(scope, id=id) for scope, id in zip(scopes, ids, strict=True)]
    await tx.announce(of_nodes("created", found))
    await tx.record([Event(kind="node.added", text=f"a machine has registered: {name}", scope=name) for name in names])
    return found


async def _accepted(tx: Transaction, nodes: Sequence[Scope], now: float) -> tuple[dict[int, Machine], list[FactWrite]]:
    """New machines, accepted where their rack does so by itself; without an address left they stay new."""
    machines = {node.id: Machine(id=node.id, since=now) for node in nodes}
    racks = await addresses.accepting(tx, {node.rack for node in nodes if node.rack is not None})
    welcome = [node for node in nodes if node.rack in racks]
    if not welcome:
        return machines, []
    given = await addresses.give(tx, welcome)
    accept = lifecycle.VERBS["accept"]
    for node in welcome:
        if node.id in given.without:
            machines[node.id] = lifecycle.set_health(machines[node.id], "unknown", given.without[node.id], now)
        else:
            machines[node.id] = lifecycle.at_once(accept, machines[node.id], now)
    return machines, given.writes
