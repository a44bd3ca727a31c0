"""What both stores say alike about networks: those that the facts of a rack claim, and which of them exclude others."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from rackwright.core.estate import NetworkView
from rackwright.core.facts import lookup
from rackwright.core.networks import NETWORKS, Claim, capacity, readable, whole
from rackwright.core.served import Network


def claimed(facts: Mapping[str, Any]) -> list[Network]:
    """The networks of a rack with these facts, each range once and in its shortest form."""
    found: dict[str, Network] = {}
    for network in readable(lookup(facts, NETWORKS)[1]):
        cidr = str(ipaddress.ip_network(network.cidr))
        found.setdefault(cidr, msgspec.structs.replace(network, cidr=cidr))
    return list(found.values())


def meeting(claims: Iterable[Claim]) -> tuple[Claim, Claim] | None:
    """The first two claims that exclude each other: their ranges meet, and they are not shared by two racks."""
    around: list[tuple[int, Claim]] = []
    for version, first, above, claim in sorted(map(_placed, claims), key=lambda placed: placed[:3]):
        # Of two ranges that meet one holds the other: those around this one are those that have begun and not ended.
        around = [(end, other) for end, other in around if end >= first]
        for _, other in around:
            apart = ipaddress.ip_network(other.network.cidr).version != version
            if not apart and not (claim.network.shared and other.network.shared and claim.rack != other.rack):
                return claim, other
        around.append((-above, claim))
    return None


def _placed(claim: Claim) -> tuple[int, int, int, Claim]:
    cidr = ipaddress.ip_network(claim.network.cidr)
    return cidr.version, int(cidr.network_address), -int(cidr.broadcast_address), claim


class Standing(NamedTuple):
    """A network at one rack: how many addresses nodes have in it, and how many of those in its static range."""

    rack: str
    network: Network
    held: int
    given: int


def view(name: str, standing: Sequence[Standing]) -> NetworkView:
    """A network as people read it."""
    first = standing[0]
    wanted = whole(name, {each.rack: each.network for each in standing})
    return NetworkView(
        **msgspec.structs.asdict(wanted),
        held=first.held,
        free=max(capacity(first.network) - first.given, 0),
    )
