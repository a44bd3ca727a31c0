"""Which records a rack's DNS has of its networks and nodes: pure.

A network's domain is a zone, and so are the reverse zones that its addresses lie in. A node is called by its name in
the domain of the network that its address is of, a further interface ``{node}-{nic}`` in that of its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from rackwright.core.dhcp import Host, Within
from rackwright.core.served import Network

TTL = 60
"""Seconds for which an answer may be kept; that there is nothing, for as long as NOTHING says."""
NOTHING = 5


class Record(msgspec.Struct, frozen=True, order=True):
    """A resource record (RFC 1035). Names are in lower case and have no dot at their end."""

    zone: str
    name: str
    type: str
    content: str


class _Named:
    """A network with a domain: its zones, found once and not for every node."""

    def __init__(self, network: Network) -> None:
        self.within = Within(network.cidr)
        self.zone = network.domain.lower().rstrip(".")
        self.server = str(ipaddress.ip_address(network.address))
        self.reverse = reverse_zones(network.cidr)
        self._reverse = set(self.reverse)
        self._depth = self.reverse[0].count(".")

    def reverse_zone(self, pointer: str) -> str:
        """The reverse zone of a name in it; empty: it is in none."""
        zone = pointer.split(".", pointer.count(".") - self._depth)[-1]
        return zone if zone in self._reverse else ""


class Naming:
    """The names on these networks. Those without a domain have none."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = [_Named(network) for network in networks if network.domain]

    def zones(self) -> list[str]:
        """All zones, forward and reverse."""
        forward = [network.zone for network in self._networks]
        reverse = [zone for network in self._networks for zone in network.reverse]
        return list(dict.fromkeys([*forward, *reverse]))

    def own(self, serial: int) -> Iterator[Record]:
        """The records of the zones themselves: where they begin, and who answers for them."""
        addresses = self._servers()
        for zone in self.zones():
            server = f"ns.{zone}" if zone in addresses else f"ns.{next(iter(addresses))}"
            times = f"{serial} 3600 600 86400 {NOTHING}"
            yield Record(zone, zone, "SOA", f"{server} hostmaster.{server.partition('.')[2]} {times}")
            yield Record(zone, zone, "NS", server)
            for address in addresses.get(zone, ()):
                yield Record(zone, f"ns.{zone}", _type(address), address)

    def of(self, host: Host) -> Iterator[Record]:
        """The records of a node; the same one may come twice."""
        for nic in ("", *dict.fromkeys(nic.name for nic in host.nics)):
            name = f"{host.name}-{nic}" if nic else host.name
            for address in _addresses(host, nic):
                yield from self._at(address, name, () if nic else host.aliases)

    def _at(self, address: str, name: str, aliases: Sequence[str]) -> Iterator[Record]:
        """What names an address: it has one name, and may be found by others."""
        network = next((network for network in self._networks if address in network.within), None)
        if network is None:
            return
        called = [full for full in (_full(each, network.zone) for each in (name, *aliases)) if full]
        yield from (Record(network.zone, full, _type(address), address) for full in called)
        pointer = ipaddress.ip_address(address).reverse_pointer
        reverse = network.reverse_zone(pointer)
        if called and reverse:
            yield Record(reverse, pointer, "PTR", called[0])

    def _servers(self) -> dict[str, list[str]]:
        """The rack's own addresses by forward zone."""
        found: dict[str, list[str]] = {}
        for network in self._networks:
            found.setdefault(network.zone, []).append(network.server)
        return found


def reverse_zones(cidr: str) -> list[str]:
    """The smallest zones in which all addresses of a network lie: they end at whole bytes of IPv4 (RFC 1035, 3.5), at
    half bytes of IPv6 (RFC 3596, 2.5)."""
    network = ipaddress.ip_network(cidr, strict=False)
    bits, parts = (8, 4) if network.version == 4 else (4, 32)
    whole = max(1, min(-(-network.prefixlen // bits), parts - 1))
    if whole * bits <= network.prefixlen:
        first = ipaddress.ip_network((network.network_address, whole * bits), strict=False)
        return [_reverse(first, parts - whole)]
    return [_reverse(part, parts - whole) for part in network.subnets(new_prefix=whole * bits)]


def _reverse(network: ipaddress.IPv4Network | ipaddress.IPv6Network, left_out: int) -> str:
    return network.network_address.reverse_pointer.split(".", left_out)[left_out]


def _addresses(host: Host, nic: str) -> Iterator[str]:
    """The addresses that a name is for: of the node itself, or of an interface."""
    if not nic and host.address is not None:
        yield host.address
    for each in host.nics:
        # An interface that is the node's main one has its further addresses: they are the node's.
        if each.name == nic and (nic or each.mac in host.macs):
            yield from each.addresses


def _full(name: str, zone: str) -> str:
    """A name in its zone; empty for what is no name in it."""
    spelled = name.lower().rstrip(".")
    if not spelled or spelled == zone:
        return ""
    full = spelled if spelled.endswith(f".{zone}") else f"{spelled}.{zone}"
    return full if len(full) < 254 and all(0 < len(label) < 64 for label in full.split(".")) else ""


def _type(address: str) -> str:
    return "AAAA" if ":" in address else "A"
