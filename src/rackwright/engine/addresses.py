"""Addresses for nodes, out of the static ranges of their racks' networks: given to any number of them at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from rackwright.core.addresses import ADDRESS
from rackwright.core.facts import PEOPLE, FactWrite, lookup
from rackwright.core.networks import Supply, supplies
from rackwright.core.ports import Scope, Transaction
from rackwright.engine.situations import by_scope

AUTO_ACCEPT = "desired.rack.auto_accept"


class Given(msgspec.Struct):
    """Addresses as facts to be put, and per node for which there is none why."""

    writes: list[FactWrite] = []
    without: dict[int, str] = {}
    taken: dict[str, list[str]] = {}
    """What is given already, by the range of the network: nobody has it yet."""


async def give(tx: Transaction, nodes: Sequence[Scope]) -> Given:
    """Addresses for those of these nodes that have none of their own. In a rack without a static range nodes get none,
    and nothing is wrong."""
    has = {fact.scope for fact in await tx.facts([node.id for node in nodes], [ADDRESS]) if fact.path == ADDRESS}
    racks = {node.rack for node in nodes if node.id not in has and node.rack is not None}
    ranges: dict[int, tuple[str, ...]] = {}
    for claim in await tx.networks(racks=sorted(racks)) if racks else ():
        if claim.network.static is not None:
            ranges[claim.rack] = (*ranges.get(claim.rack, ()), claim.network.cidr)
    supply = supplies(await tx.lock_networks(sorted({cidr for cidrs in ranges.values() for cidr in cidrs})))
    wanting: dict[tuple[str, ...], list[Scope]] = {}
    for node in nodes:
        if node.id not in has and node.rack in ranges:
            wanting.setdefault(ranges[node.rack], []).append(node)
    given = Given()
    for cidrs, group in wanting.items():
        await fill(tx, given, [supply[cidr] for cidr in cidrs if cidr in supply], group, ADDRESS)
    return given


async def fill(tx: Transaction, given: Given, supply: Sequence[Supply], nodes: Sequence[Scope], path: str) -> None:
    """Give each node one address out of these networks, which are locked, as this fact: the first that has one left."""
    free: list[str] = []
    for each in supply:
        if len(free) < len(nodes):
            taken = given.taken.setdefault(each.cidr, [])
            besides = [*each.besides, *((address, address) for address in taken)]
            found = await tx.free_addresses(each.first, each.last, besides, len(nodes) - len(free))
            taken += found
            free += found
    given.writes += [FactWrite(node.id, path, address, PEOPLE) for node, address in zip(nodes, free, strict=False)]
    ranges = ", ".join(f"{each.first} to {each.last}" for each in supply)
    given.without |= {node.id: f"no address is left in {ranges}" for node in nodes[len(free) :]}


async def accepting(tx: Transaction, racks: Collection[int]) -> set[int]:
    """Those of these racks that accept new machines without a person."""
    facts = by_scope(await tx.facts(racks, [AUTO_ACCEPT]))
    return {rack for rack in racks if lookup(facts.get(rack, {}), AUTO_ACCEPT)[1] is True}
