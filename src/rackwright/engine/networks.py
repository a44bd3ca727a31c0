"""Networks as people see them: made, changed, taken away, and their addresses given to nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core import networks
from rackwright.core.addresses import NIC, NICS, path_of
from rackwright.core.audit import Change
from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, FactWrite, lookup
from rackwright.core.networks import NETWORKS, NamedNetwork, called, supplies, whole
from rackwright.core.ports import Scope, Store, Transaction
from rackwright.core.served import Network
from rackwright.engine import addresses
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.lifecycle import put
from rackwright.engine.machines import scope_named
from rackwright.engine.situations import by_scope
from rackwright.engine.transact import transact


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one node: the address that it has now, or why it has none."""

    name: str
    address: str = ""
    error: str = ""


async def add(store: Store, library: CatalogLibrary, wanted: NamedNetwork) -> NamedNetwork:
    """Make a network. Raises Conflict where there is one of this name, or another rack has a range that it meets."""

    async def work(tx: Transaction) -> NamedNetwork:
        if await tx.networks(names=[wanted.name]):
            raise Conflict(f"there is already a network called {wanted.name}", mend="take another name, or change it")
        return await _write(tx, library, wanted, {}, "added")

    return await transact(store, work)


async def change(store: Store, library: CatalogLibrary, name: str, changes: Mapping[str, Any]) -> NamedNetwork:
    """Change fields of a network; racks that are left out lose it. Raises NotFound, InvalidInput or Conflict."""

    async def work(tx: Transaction) -> NamedNetwork:
        before = await _at(tx, name)
        fields = {**msgspec.to_builtins(whole(name, before)), **changes, "name": name}
        try:
            wanted = msgspec.convert(fields, NamedNetwork)
        except msgspec.ValidationError as error:
            raise InvalidInput(str(error), where=name, mend="see the reference of networks") from None
        return await _write(tx, library, wanted, before, "changed")

    return await transact(store, work)


async def delete(store: Store, library: CatalogLibrary, name: str) -> None:
    """Take a network away. Raises NotFound, and Conflict while nodes have addresses in it."""

    async def work(tx: Transaction) -> None:
        before = await _at(tx, name)
        held = await tx.addresses_held(next(iter(before.values())).cidr)
        if held:
            raise Conflict(f"nodes have {held} addresses in it", where=name, mend="give them others first")
        await tx.record(await put(tx, library, await _lists(tx, None, before)))
        await tx.note([Change(kind="network.deleted", text=f"the network {name} is gone", before=whole(name, before))])

    await transact(store, work)


async def give(
    store: Store, library: CatalogLibrary, name: str, names: Sequence[str], nic: str = ""
) -> list[Addressed]:
    """Give each of these nodes an address in a network, at its own (``nic`` empty) or at a further interface: all at
    once, each with its result. Who has one there already keeps it. Raises NotFound or InvalidInput."""
    _check_nic(nic)
    return await transact(store, lambda tx: _give(tx, library, name, list(dict.fromkeys(names)), nic))


async def release(
    store: Store, library: CatalogLibrary, name: str, names: Sequence[str], nic: str = ""
) -> list[Addressed]:
    """Take from each of these nodes the address that it has in a network, there. Raises as ``give`` does."""
    _check_nic(nic)

    async def work(tx: Transaction) -> list[Addressed]:
        path = await _path(tx, name, nic)
        nodes = await tx.named("node", names)
        held = {fact.scope: fact for fact in await tx.facts([node.id for node in nodes.values()], [path])}
        writes = [FactWrite(scope, path, None, fact.writer) for scope, fact in held.items() if fact.path == path]
        await tx.record(await put(tx, library, writes))
        return [_released(each, nodes.get(each), held) for each in dict.fromkeys(names)]

    return await transact(store, work)


async def _give(tx: Transaction, library: CatalogLibrary, name: str, names: Sequence[str], nic: str) -> list[Addressed]:
    claims = await tx.networks(names=[name])
    path = await _path(tx, name, nic)
    nodes, racks = await tx.named("node", names), {claim.rack for claim in claims}
    here = {node.name: node for node in nodes.values() if node.rack in racks}
    supply = supplies(await tx.lock_networks(sorted({claim.network.cidr for claim in claims})))
    facts = await tx.facts([node.id for node in here.values()], [path])
    has = {fact.scope: str(fact.value) for fact in facts if fact.path == path}
    given = addresses.Given()
    wanting = [node for node in here.values() if node.id not in has]
    await addresses.fill(tx, given, list(supply.values()), wanting, path)
    await tx.record(await put(tx, library, given.writes))
    has |= {write.scope: write.value for write in given.writes}
    return [_addressed(each, nodes.get(each), name, has, given.without) for each in names]


def _addressed(
    name: str, node: Scope | None, network: str, has: Mapping[int, str], without: Mapping[int, str]
) -> Addressed:
    if node is None:
        return Addressed(name=name, error=str(_nobody(name)))
    if node.id in has:
        return Addressed(name=name, address=has[node.id])
    apart = f"it stands in a rack on which the network {network} is not"
    return Addressed(name=name, error=str(Conflict(without.get(node.id, apart), where=name)))


def _released(name: str, node: Scope | None, held: Mapping[int, Any]) -> Addressed:
    if node is None:
        return Addressed(name=name, error=str(_nobody(name)))
    missing = str(NotFound("it has no address there", where=name))
    return Addressed(name=name, error="" if node.id in held else missing)


def _nobody(name: str) -> NotFound:
    return NotFound(f"there is no node {name}", mend="`rackwright get nodes` lists those that there are")


async def _path(tx: Transaction, name: str, nic: str) -> str:
    """The fact in which an interface has its address of a network."""
    return path_of(nic, next(iter((await _at(tx, name)).values())).address)


async def _at(tx: Transaction, name: str) -> dict[str, Network]:
    """A network as each of its racks, by name, has it."""
    claims = await tx.networks(names=[name])
    if not claims:
        raise NotFound(f"there is no network {name}", mend="`rackwright network get` lists those that there are")
    racks = await tx.scopes([claim.rack for claim in claims])
    return {racks[claim.rack].name: claim.network for claim in claims}


async def _write(
    tx: Transaction, library: CatalogLibrary, given: NamedNetwork, before: Mapping[str, Network], did: str
) -> NamedNetwork:
    wanted = networks.sound(given)
    await tx.record(await put(tx, library, await _lists(tx, wanted, before)))
    was = whole(wanted.name, before) if before else None
    await tx.note(
        [Change(kind=f"network.{did}", text=f"the network {wanted.name} was {did}", before=was, after=wanted)]
    )
    return wanted


async def _lists(tx: Transaction, wanted: NamedNetwork | None, before: Mapping[str, Network]) -> list[FactWrite]:
    """The lists of all racks concerned, with the network as it is to be, and where it was."""
    names = {*before, *(wanted.racks if wanted else ())}
    racks = {name: await scope_named(tx, "rack", name) for name in sorted(names)}
    ids = [rack.id for rack in racks.values()]
    await tx.hold_racks(ids)
    facts = by_scope(await tx.facts(ids, [NETWORKS]))
    writes = []
    for name, rack in racks.items():
        said = lookup(facts.get(rack.id, {}), NETWORKS)[1] or []
        others = [each for each in networks.read(said) if name not in before or called(each) != called(before[name])]
        mine = [wanted.at(name)] if wanted and name in wanted.racks else []
        value = [_plain(network) for network in (*others, *mine)]
        writes.append(FactWrite(rack.id, NETWORKS, value, PEOPLE))
    return writes


def _plain(network: Network) -> dict[str, Any]:
    """A network as people would write it: without what is as if nothing were said."""
    defaults = msgspec.to_builtins(Network(cidr="", address=""))
    return {key: value for key, value in msgspec.to_builtins(network).items() if value != defaults[key]}


def _check_nic(nic: str) -> None:
    if nic and not NIC.fullmatch(nic):
        raise InvalidInput(
            f"{nic!r} is no name of an interface", where=f"{NICS}.{nic}", mend="use letters, digits, - and _"
        )
