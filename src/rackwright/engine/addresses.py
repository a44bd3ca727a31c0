"""Addresses for machines that are accepted: from the static ranges of their rack's networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.facts import PEOPLE, FactWrite, lookup
from rackwright.core.ports import Scope, Transaction
from rackwright.core.served import Network
from rackwright.engine.happenings import ADDRESS
from rackwright.engine.situations import by_scope

NETWORKS = "desired.rack.networks"
AUTO_ACCEPT = "desired.rack.auto_accept"


async def give(tx: Transaction, nodes: Sequence[Scope]) -> tuple[list[FactWrite], dict[int, str]]:
    """Addresses for those of these nodes that have none, as facts to be put, and per node for which there is none left
    why. In a rack without a static range nodes get none, and nothing is wrong."""
    has = {fact.scope for fact in await tx.facts([node.id for node in nodes], [ADDRESS]) if fact.path == ADDRESS}
    wanting: dict[int, list[Scope]] = {}
    for node in nodes:
        if node.id not in has and node.rack is not None:
            wanting.setdefault(node.rack, []).append(node)
    found = by_scope(await tx.facts(list(wanting), [NETWORKS])) if wanting else {}
    writes: list[FactWrite] = []
    without: dict[int, str] = {}
    for rack in sorted(wanting):
        networks = _static(found.get(rack, {}))
        free = await _free(tx, rack, networks, len(wanting[rack])) if networks else []
        writes += [
            FactWrite(node.id, ADDRESS, address, PEOPLE) for node, address in zip(wanting[rack], free, strict=False)
        ]
        if networks:
            ranges = ", ".join(f"{first} to {last}" for first, last in (each.static or ("", "") for each in networks))
            without |= {node.id: f"no address is left in {ranges}" for node in wanting[rack][len(free) :]}
    return writes, without


async def accepts_by_itself(tx: Transaction, rack: int) -> bool:
    """Whether a rack accepts new machines without a person."""
    facts = by_scope(await tx.facts([rack], [AUTO_ACCEPT])).get(rack, {})
    return lookup(facts, AUTO_ACCEPT)[1] is True


async def _free(tx: Transaction, rack: int, networks: Sequence[Network], count: int) -> list[str]:
    free: list[str] = []
    for network in networks:
        if network.static is None or len(free) >= count:
            continue
        first, last = network.static
        besides = [network.address, *([network.gateway] if network.gateway else []), *network.dns]
        free += await tx.free_addresses(rack, first, last, besides, count - len(free))
    return free


def _static(facts: Mapping[str, Any]) -> list[Network]:
    """The networks of a rack that have a static range; what cannot be read is told by who serves it."""
    said = lookup(facts, NETWORKS)[1]
    try:
        return [network for network in msgspec.convert(said or [], list[Network]) if network.static is not None]
    except msgspec.ValidationError:
        return []
