"""Kea answers DHCPv6 on the networks with IPv6 (https://kea.readthedocs.io/en/kea-2.2.0/arm/dhcp6-srv.html).

A host gets its address by its Ethernet address, which Kea takes from the client's identifier, its link-local address or
what a relay says. Hosts stand in the configuration. Machines boot over IPv4, so nobody is told here what to boot.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rackwright.core.dhcp import Answers, Host, Within
from rackwright.core.served import Network
from rackwright.rack.dhcp import leases
from rackwright.rack.dhcp.kea_configuration import LEASE_COMMANDS, hook
from rackwright.rack.dhcp.kea_server import KeaServer

Ports = tuple[tuple[str, tuple[str, ...]], ...]


class Kea6:
    """Kea's DHCPv6 server, with its files in ``folder``. It runs once there is a network with IPv6. ``tied``: see
    ``ServerProcess``."""

    name = "kea6"

    def __init__(self, folder: str, *, tied: bool = False) -> None:
        self._kea = KeaServer(folder, "kea-dhcp6", "kea-dhcp6-server", tied=tied)
        self._writing = asyncio.Lock()
        self._frame: tuple[object, ...] | None = None
        self._known: dict[int, Ports] = {}

    async def answer(self, answers: Answers, changed: Collection[int] | None = None) -> None:
        """See the protocol."""
        async with self._writing:
            if not _networks(answers):
                if self._frame is not None or changed is None:
                    await self.close()
                return
            lives = await self._kea.control.lives()
            moved = self._moved(answers, changed)
            if lives and not moved and self._frame == answers.frame():
                return
            wanted = await asyncio.to_thread(configuration, answers, self._kea.folder)
            await self._kea.tell(wanted, lives)
            self._frame = answers.frame()
            await leases.end_others(self._kea.control, _owners(self._known, moved), version=6)
            self._known |= moved

    async def close(self) -> None:
        """See the protocol."""
        await self._kea.close()
        self._frame = None

    def _moved(self, answers: Answers, changed: Collection[int] | None) -> dict[int, Ports]:
        """Of which hosts something of IPv6 differs, and what they have now."""
        ids = answers.hosts.keys() | self._known.keys() if changed is None else changed
        now = {id: _ports(answers.hosts.get(id)) for id in ids}
        return {id: ports for id, ports in now.items() if ports != self._known.get(id, ())}


def configuration(answers: Answers, folder: str) -> dict[str, Any]:
    """Kea's configuration for these answers."""
    networks = _networks(answers)
    return {
        "Dhcp6": {
            "interfaces-config": {
                "interfaces": list(dict.fromkeys(interface for _, interface in networks)),
                "service-sockets-max-retries": 1_000_000,
                "service-sockets-retry-wait-time": 1000,
            },
            "control-socket": {"socket-type": "unix", "socket-name": os.path.join(folder, "control")},
            "lease-database": {"type": "memfile", "persist": True, "name": os.path.join(folder, "leases6.csv")},
            "data-directory": folder,
            "server-id": {"type": "LL", "persist": True},
            "host-reservation-identifiers": ["hw-address"],
            "mac-sources": ["any"],
            "ip-reservations-unique": False,
            "hooks-libraries": [{"library": hook(LEASE_COMMANDS)}],
            "subnet6": [_subnet(network, interface, answers) for network, interface in networks],
            "loggers": [{"name": "kea-dhcp6", "output_options": [{"output": "stdout"}], "severity": "WARN"}],
        }
    }


def subnet_id(network: Network) -> int:
    """Kea's number of a network: it follows from its first address, whatever other networks there are."""
    return zlib.crc32(ipaddress.IPv6Network(network.cidr, strict=False).network_address.packed) or 1


def _networks(answers: Answers) -> list[tuple[Network, str]]:
    return [(network, interface) for network, interface in answers.present(6) if not network.proxy]


def _subnet(network: Network, interface: str, answers: Answers) -> dict[str, Any]:
    options = [("dns-servers", ", ".join(_sixes(network.dns))), ("domain-search", network.domain)]
    return {
        "id": subnet_id(network),
        "subnet": network.cidr,
        **({} if network.relayed else {"interface": interface}),
        "valid-lifetime": network.lease,
        "preferred-lifetime": max(network.lease // 2, 1),
        "pools": [{"pool": " - ".join(network.dynamic)}] if network.dynamic else [],
        "option-data": [{"name": name, "data": data} for name, data in options if data],
        "reservations": list(_reservations(network, answers)),
    }


def _ports(host: Host | None) -> Ports:
    """The Ethernet addresses of a host, each with its IPv6 addresses; those without are left out."""
    ports = host.ports() if host is not None else ()
    return tuple((mac, sixes) for mac, addresses in ports if (sixes := tuple(_sixes(addresses))))


def _owners(before: Mapping[int, Ports], moved: Mapping[int, Ports]) -> dict[str, set[str]]:
    """Of every address that these hosts had or have: the Ethernet addresses to which it belongs now."""
    owners: dict[str, set[str]] = {}
    for id, ports in moved.items():
        for _, addresses in before.get(id, ()):
            owners |= {address: set() for address in addresses if address not in owners}
        for mac, addresses in ports:
            for address in addresses:
                owners.setdefault(address, set()).add(mac)
    return owners


def _sixes(addresses: Collection[str]) -> list[str]:
    return [address for address in addresses if ":" in address]


def _reservations(network: Network, answers: Answers) -> Iterator[dict[str, Any]]:
    within = Within(network.cidr)
    for host in answers.known():
        for mac, address in host.within(within):
            yield {"hw-address": mac, "ip-addresses": [address], "hostname": host.name}
