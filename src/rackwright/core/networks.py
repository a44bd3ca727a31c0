"""Networks: what racks answer on. Each is kept in the facts of the racks that it is on, ``desired.rack.networks``.

People see a network as one thing with a name: its range and what belongs to it, and per rack the rack's own address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from rackwright.core import addresses
from rackwright.core.errors import InvalidInput
from rackwright.core.served import Network

NETWORKS = "desired.rack.networks"
"""The fact of a rack with the list of its networks."""

_WORD = re.compile(r"[A-Za-z0-9._-]{0,253}")
_OWN = ("address", "interface")
"""What a network has per rack."""
_COMMON = tuple(name for name in Network.__struct_fields__ if name not in _OWN)
_LAST_VLAN = 4094
"""IEEE 802.1Q."""


class NetworkPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network at one rack."""

    address: str
    """The rack's own."""
    interface: str = ""
    """Empty: the one that has the address."""


class NamedNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network as people see it: everything of ``served.Network``, and its place at each rack by name."""

    name: str
    cidr: str
    racks: dict[str, NetworkPlace]
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    domain: str = ""
    forwarders: tuple[str, ...] = ()
    dynamic: tuple[str, str] | None = None
    lease: int = 3600
    static: tuple[str, str] | None = None
    reserved: tuple[tuple[str, str], ...] = ()
    vlan: int | None = None
    relayed: bool = False
    proxy: bool = False
    shared: bool = False

    def at(self, rack: str) -> Network:
        """The network as this rack answers on it."""
        place = self.racks[rack]
        common = {name: getattr(self, name) for name in _COMMON}
        return Network(address=place.address, interface=place.interface, **common)


class Claim(msgspec.Struct, frozen=True):
    """A network that a rack has."""

    rack: int
    network: Network


class Supply(msgspec.Struct, frozen=True, kw_only=True):
    """Where nodes are given addresses by themselves: from the first to the last, but for the ranges ``besides``."""

    cidr: str
    first: str
    last: str
    besides: tuple[tuple[str, str], ...] = ()


class NetworkErrands(Protocol):
    """The part of the store's port that is about networks and addresses. The store keeps them as its facts say."""

    async def networks(
        self, *, racks: Collection[int] | None = None, names: Collection[str] | None = None
    ) -> list[Claim]:
        """The networks of these racks, or of these names, in the order in which each rack has them; None: of any."""

    async def hold_racks(self, racks: Collection[int]) -> None:
        """Let nobody else change the networks of these racks by name until this transaction ends."""

    async def lock_networks(self, cidrs: Collection[str]) -> list[Claim]:
        """Let nobody else be told what is free in these networks until this transaction ends; gives what each of their
        racks says of them."""

    async def free_addresses(self, first: str, last: str, besides: Sequence[tuple[str, str]], count: int) -> list[str]:
        """At most ``count`` addresses from ``first`` to ``last`` that no node has and that are in none of the ranges
        ``besides``, in order: those behind the highest that is taken, then the lowest. The network is locked."""

    async def addresses_held(self, cidr: str) -> int:
        """How many addresses of a network nodes have."""


def whole(name: str, claims: Mapping[str, Network]) -> NamedNetwork:
    """A network out of what its racks, by name, say of it."""
    first = next(iter(claims.values()))
    common = {field: getattr(first, field) for field in _COMMON if field != "name"}
    places = {rack: NetworkPlace(address=each.address, interface=each.interface) for rack, each in claims.items()}
    return NamedNetwork(name=name, racks=places, **common)


def called(network: Network) -> str:
    """The name by which people know it: its own, else its range."""
    return network.name or network.cidr


def read(value: Any) -> tuple[Network, ...]:
    """The networks in a rack's fact. Raises ValueError (msgspec.ValidationError is one) for what makes no sense."""
    networks = msgspec.convert(value or [], tuple[Network, ...])
    for network in networks:
        _check(network)
    return networks


def readable(value: Any) -> tuple[Network, ...]:
    """The same; what cannot be read has no network. Who serves it tells what is wrong."""
    try:
        return read(value)
    except ValueError:
        return ()


def sound(named: NamedNetwork) -> NamedNetwork:
    """A network without faults, its range and addresses in their shortest form. Raises InvalidInput."""
    if not named.name or not _WORD.fullmatch(named.name):
        raise InvalidInput(f"{named.name!r} is no name of a network", mend="use letters, digits, dots, - and _")
    if not named.racks:
        raise InvalidInput("the network is on no rack", where=named.name, mend="name at least one, with its address")
    try:
        cidr = str(ipaddress.ip_network(named.cidr))
        read([msgspec.to_builtins(named.at(rack)) for rack in named.racks])
    except ValueError as error:
        raise InvalidInput(str(error), where=named.name, mend="give ranges and addresses of the network") from None
    return msgspec.structs.replace(named, cidr=cidr)


def never_given(network: Network) -> list[tuple[str, str]]:
    """The ranges of a network out of which nodes are given nothing by themselves."""
    own = [network.address, *([network.gateway] if network.gateway else []), *network.dns]
    moving = [network.dynamic] if network.dynamic else []
    return [*((address, address) for address in own), *network.reserved, *moving]


def supplies(claims: Iterable[Claim]) -> dict[str, Supply]:
    """The supply of each network that has a static range, by its range. What one of its racks keeps is kept for all."""
    found: dict[str, Supply] = {}
    for network in (claim.network for claim in claims):
        if network.static is not None:
            first, last = network.static
            known = found.setdefault(network.cidr, Supply(cidr=network.cidr, first=first, last=last))
            besides = dict.fromkeys((*known.besides, *never_given(network)))
            found[network.cidr] = msgspec.structs.replace(known, besides=tuple(besides))
    return found


def capacity(network: Network) -> int:
    """How many addresses nodes can be given by themselves, all in all."""
    if network.static is None:
        return 0
    first, last = network.static
    taken, at = 0, -1
    for low, high in addresses.spans(first, last, never_given(network)):
        taken += max(high - max(low, at + 1) + 1, 0)
        at = max(at, high)
    return addresses.length(first, last) + 1 - taken


def _check(network: Network) -> None:
    """Raises ValueError for what is no network or address."""
    within = ipaddress.ip_network(network.cidr)
    for address in (network.address, network.gateway, *network.dns, *network.forwarders):
        if address is not None:
            ipaddress.ip_address(address)
    for span in (network.dynamic, network.static, *network.reserved):
        if span is not None:
            _check_range(span, within)
    odd = [word for word in (network.domain, network.interface, network.name) if not _WORD.fullmatch(word)]
    if odd:
        raise ValueError(f"{odd[0]!r} is no name")
    if network.lease < 1:
        raise ValueError(f"{network.lease} s is no time for which an address can be given")
    if network.vlan is not None and not 0 < network.vlan <= _LAST_VLAN:
        raise ValueError(f"{network.vlan} is no VLAN: they go from 1 to {_LAST_VLAN}")


def _check_range(span: tuple[str, str], within: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    first, last = (ipaddress.ip_address(end) for end in span)
    if first not in within or last not in within:
        raise ValueError(f"{' - '.join(span)} is not within {within}")
    if int(last) < int(first):
        raise ValueError(f"{' - '.join(span)} ends before it begins")
