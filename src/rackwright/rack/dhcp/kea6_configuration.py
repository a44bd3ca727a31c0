"""What Kea's DHCPv6 server is told (https://kea.readthedocs.io/en/kea-2.2.0/arm/dhcp6-srv.html).

A host gets its address by its Ethernet address. Kea takes it from what a relay says (RFC 6939), from the link-local
address that the question comes from, or else from the client's identifier. That comes after them because a machine has
one for all its interfaces: it names the same interface, whichever of them asks. Machines boot over IPv4, so nobody is
told here what to boot.

As with IPv4, hosts are either in the configuration itself or in rows. Here a request costs no second look, so all rows
are those of their network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from rackwright.core.dhcp import Answers, Within
from rackwright.core.served import Network
from rackwright.rack.dhcp.kea_configuration import LEASE_COMMANDS, Database, given, hook, hosts_in, pools, subnet_id

_MAC_SOURCES = ("client-link-addr-option", "ipv6-link-local", "duid", "any")


def configuration(
    answers: Answers, folder: str, rows: Database | None = None, taken: Iterable[str] = ()
) -> dict[str, Any]:
    """Kea's configuration for these answers. With ``rows`` the hosts are there, and ``taken`` are those of their
    addresses that lie in dynamic ranges: they are left out of these."""
    networks = given(answers, 6)
    subnets = [_subnet(network, interface, answers, None if rows is None else taken) for network, interface in networks]
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
            "mac-sources": list(_MAC_SOURCES),
            "ip-reservations-unique": False,
            "hooks-libraries": [{"library": hook(LEASE_COMMANDS)}],
            **(hosts_in(rows) if rows is not None else {}),
            "subnet6": subnets,
            "loggers": [{"name": "kea-dhcp6", "output_options": [{"output": "stdout"}], "severity": "WARN"}],
        }
    }


def _subnet(network: Network, interface: str, answers: Answers, taken: Iterable[str] | None) -> dict[str, Any]:
    """``taken``: what is left out of the dynamic range; None: hosts are told here."""
    servers = [address for address in network.dns if ":" in address]
    options = [("dns-servers", ", ".join(servers)), ("domain-search", network.domain)]
    return {
        "id": subnet_id(network),
        "subnet": network.cidr,
        **({} if network.relayed else {"interface": interface}),
        "valid-lifetime": network.lease,
        "preferred-lifetime": max(network.lease // 2, 1),
        "pools": pools(network, taken or ()),
        "option-data": [{"name": name, "data": data} for name, data in options if data],
        "reservations": list(_reservations(network, answers)) if taken is None else [],
    }


def _reservations(network: Network, answers: Answers) -> Iterator[dict[str, Any]]:
    within = Within(network.cidr)
    for host in answers.known():
        for mac, address in host.within(within):
            yield {"hw-address": mac, "ip-addresses": [address], "hostname": host.name}
