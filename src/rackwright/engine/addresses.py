"""Addresses for nodes, out of the static ranges of their racks' networks: given to any number of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rackwright.core.addresses import ADDRESS, path_of
from rackwright.core.facts import PEOPLE, FactWrite, lookup
from rackwright.core.networks import never_given
from rackwright.core.ports import Scope, Transaction
from rackwright.core.served import Network
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
    wanting: dict[int, list[Scope]] = {}
    for node in nodes:
        if node.id not in has and node.rack is not None:
            wanting.setdefault(node.rack, []).append(node)
    ranges: dict[int, list[Network]] = {rack: [] for rack in sorted(wanting)}
    for claim in await tx.networks(racks=list(ranges)) if ranges else ():
        ranges[claim.rack] += [claim.network] if claim.network.static else []
    await tx.lock_networks(sorted({network.cidr for networks in ranges.values() for network in networks}))
    given = Given()
    for rack, networks in ranges.items():
        if networks:
            await fill(tx, given, networks, wanting[rack])
    return given


async def fill(
    tx: Transaction, given: Given, networks: Sequence[Network], nodes: Sequence[Scope], nic: str = ""
) -> None:
    """Give each node one address out of these networks, which are locked: the first that has one left."""
    free: list[str] = []
    for network in networks:
        if network.static is not None and len(free) < len(nodes):
            taken = given.taken.setdefault(network.cidr, [])
            besides = [*never_given(network), *((address, address) for address in taken)]
            found = await tx.free_addresses(*network.static, besides, len(nodes) - len(free))
            taken += found
            free += found
    given.writes += [
        FactWrite(node.id, path_of(nic, address), address, PEOPLE) for node, address in zip(nodes, free, strict=False)
    ]
    ranges = ", ".join(" to ".join(network.static or ()) for network in networks)
    given.without |= {node.id: f"no address is left in {ranges}" for node in nodes[len(free) :]}


async def accepts_by_itself(tx: Transaction, rack: int) -> bool:
    """Whether a rack accepts new machines without a person."""
    facts: Mapping[str, object] = by_scope(await tx.facts([rack], [AUTO_ACCEPT])).get(rack, {})
    return lookup(facts, AUTO_ACCEPT)[1] is True
