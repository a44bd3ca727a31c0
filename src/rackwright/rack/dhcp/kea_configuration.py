"""What Kea's DHCPv4 server is told (https://kea.readthedocs.io/en/kea-2.2.0/arm/dhcp4-srv.html), and what both of its
servers share.

A host's reservation carries its boot URL as option 67, and a network that of strangers; only iPXE is to see them. For
all other firmware the hook ``flex_option`` puts the first stage in place of it, and classes put it into the field
``file`` too, for ROMs that look only there.

Hosts are either in the configuration itself, or in rows of a database: then a packet costs one look at it, for the
Ethernet address. A request would cost a second one: whether the address that it asks for is another host's. Kea leaves
that out where it looks for hosts of no network (its "global reservations"). So those of the first network are such
rows, and only the first network looks for them.
"""

from __future__ import annotations

import ipaddress
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from typing import Any

from rackwright.core.dhcp import (
    BIOS,
    UEFI,
    UEFI_ARCHITECTURES,
    Answers,
    Host,
    Within,
    host_url,
    http_boot_url,
    stranger_url,
)
from rackwright.core.served import Network

FLEX_OPTION, LEASE_COMMANDS = "libdhcp_flex_option.so", "libdhcp_lease_cmds.so"

_HOOKS = "/usr/lib/*/kea/hooks/"

OF_THE_FIRST = 0
"""Kea's number for hosts of no network: the rows of the first IPv4 network have it."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Database = Mapping[str, Any]
"""Where rows of hosts are, in Kea's words (``hosts-databases``)."""


def configuration(
    answers: Answers, folder: str, rows: Database | None = None, taken: Iterable[str] = ()
) -> dict[str, Any]:
    """Kea's configuration for these answers. With ``rows`` the hosts are there, and ``taken`` are those of their
    addresses that lie in dynamic ranges: they are left out of these."""
    networks = given(answers, 4)
    subnets = [_subnet(network, answers, None if rows is None else taken) for network, _ in networks]
    if rows is not None and subnets:
        subnets[0] |= {"reservations-global": True, "reservations-in-subnet": False}
    listening = dict.fromkeys(f"{interface}/{network.address}" for network, interface in networks)
    return {
        "Dhcp4": {
            "interfaces-config": {
                "interfaces": list(listening),
                "dhcp-socket-type": "raw",
                # An interface without a carrier cannot be opened: it is tried again until it can.
                "service-sockets-max-retries": 1_000_000,
                "service-sockets-retry-wait-time": 1000,
            },
            "control-socket": {"socket-type": "unix", "socket-name": os.path.join(folder, "control")},
            "lease-database": {"type": "memfile", "persist": True, "name": os.path.join(folder, "leases.csv")},
            "host-reservation-identifiers": ["hw-address"],
            # Firmware, iPXE and the installed system name themselves differently: a machine is its Ethernet address.
            "match-client-id": False,
            # A node may boot from each of its interfaces.
            "ip-reservations-unique": False,
            "hooks-libraries": [{"library": hook(LEASE_COMMANDS)}, *_first_stage(networks, answers.door)],
            "client-classes": _classes(),
            **(hosts_in(rows) if rows is not None else {}),
            "subnet4": subnets,
            "loggers": [{"name": "kea-dhcp4", "output_options": [{"output": "stdout"}], "severity": "WARN"}],
        }
    }


def given(answers: Answers, version: int) -> list[tuple[Network, str]]:
    """The networks of this version of IP on which Kea gives addresses, each with its interface."""
    return [(network, interface) for network, interface in answers.present(version) if not network.proxy]


def subnet_id(network: Network) -> int:
    """Kea's number of a network: it follows from its first address, so it stays the same whatever other networks there
    are. Of IPv4 it is that address, of IPv6 a checksum of it."""
    first = ipaddress.ip_network(network.cidr, strict=False).network_address
    return int(first) if first.version == 4 else zlib.crc32(first.packed) or 1


def row_ids(answers: Answers, version: int) -> Iterator[tuple[int, Network]]:
    """The networks on which Kea gives addresses, each with the number that the rows of its hosts have."""
    for at, (network, _) in enumerate(given(answers, version)):
        yield OF_THE_FIRST if (at, version) == (0, 4) else subnet_id(network), network


def hook(name: str) -> str:
    """The path of a hook library."""
    found = sorted(glob(_HOOKS + name))
    return found[0] if found else name


def hosts_in(rows: Database) -> dict[str, Any]:
    """What either of Kea's servers is told when hosts are rows. No address of a host is in a pool: so Kea need not look
    whether one of a pool is a host's."""
    return {
        "hosts-databases": [rows],
        "reservations-global": False,
        "reservations-in-subnet": True,
        "reservations-out-of-pool": True,
        # Threads lose more to each other than they win while one waits for the database: a tenth to a third.
        "multi-threading": {"enable-multi-threading": False},
    }


def pools(network: Network, taken: Iterable[str]) -> list[dict[str, str]]:
    """The dynamic range without what is taken, in Kea's words."""
    return [{"pool": f"{first} - {last}"} for first, last in _free(network, sorted(map(ipaddress.ip_address, taken)))]


def _classes() -> list[dict[str, Any]]:
    # Every test is made for every packet, so each is as short as can be.
    uefi = " or ".join(f"option[93].hex == 0x{code:04x}" for code in UEFI_ARCHITECTURES)
    http = {"name": "vendor-class-identifier", "data": "HTTPClient", "always-send": True}
    return [
        {"name": "ipxe", "test": "option[175].exists or option[77].hex == 'iPXE'"},
        {"name": "http", "test": "substring(option[60].hex, 0, 10) == 'HTTPClient'", "option-data": [http]},
        {"name": "uefi", "test": f"not member('ipxe') and ({uefi})", "boot-file-name": UEFI},
        {"name": "bios", "test": "not (member('ipxe') or member('http') or member('uefi'))", "boot-file-name": BIOS},
    ]


def _first_stage(networks: list[tuple[Network, str]], port: int) -> Iterator[dict[str, Any]]:
    """The hook that gives everything but iPXE its first stage."""
    if not networks:
        return
    url = f"'{http_boot_url(networks[0][0], port)}'"
    for network, interface in networks:
        if not network.relayed:
            url = f"ifelse(pkt.iface == '{interface}', '{http_boot_url(network, port)}', {url})"
    stages = (("http", url), ("uefi", f"'{UEFI}'"), ("bios", f"'{BIOS}'"))
    options = [{"code": 67, "client-class": name, "supersede": stage} for name, stage in stages]
    yield {"library": hook(FLEX_OPTION), "parameters": {"options": options}}


def _subnet(network: Network, answers: Answers, taken: Iterable[str] | None) -> dict[str, Any]:
    """``taken``: what is left out of the dynamic range; None: hosts are told here."""
    options = [
        ("routers", network.gateway or ""),
        ("domain-name-servers", ", ".join(network.dns)),
        ("domain-name", network.domain),
        ("boot-file-name", _escaped(stranger_url(network, answers.door))),
    ]
    return {
        "id": subnet_id(network),
        "subnet": network.cidr,
        "pools": pools(network, taken or ()),
        "valid-lifetime": network.lease,
        "next-server": network.address,
        "authoritative": True,
        "option-data": [{"name": name, "data": data} for name, data in options if data],
        "reservations": list(_reservations(network, answers)) if taken is None else [],
    }


def _free(network: Network, taken: list[Address]) -> Iterator[tuple[Address, Address]]:
    if network.dynamic is None:
        return
    first, last = map(ipaddress.ip_address, network.dynamic)
    for address in taken:
        if int(first) <= int(address) <= int(last):
            if first != address:
                yield first, address - 1
            first = address + 1
    if int(first) <= int(last):
        yield first, last


def _reservations(network: Network, answers: Answers) -> Iterator[dict[str, Any]]:
    within = Within(network.cidr)
    for host in answers.known():
        for mac, address in host.within(within):
            yield _reservation(host, mac, address, host_url(network, answers.door, host))


def _reservation(host: Host, mac: str, address: str | None, url: str) -> dict[str, Any]:
    what: dict[str, Any] = {"option-data": [{"name": "boot-file-name", "data": _escaped(url)}]}
    if address is not None:
        what["ip-address"] = address
    if host.name:
        what["hostname"] = host.name
    return {"hw-address": mac, **what}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,")
