"""Which servers a rack runs so that machines find it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from rackwright.core.dhcp import DhcpServer
from rackwright.core.errors import InvalidInput
from rackwright.rack.dhcp.advertising import Advertising
from rackwright.rack.dhcp.dnsmasq import Dnsmasq
from rackwright.rack.dhcp.dnsmasq_leases import DnsmasqLeases
from rackwright.rack.dhcp.kea import ROWS_FROM, Kea
from rackwright.rack.dhcp.kea_rows import HostRows
from rackwright.rack.dhcp.lease_file import LeaseFile
from rackwright.rack.dns.powerdns import PowerDns

KINDS = ("kea", "dnsmasq", "none")
"""Who gives the addresses; ``none``: nobody of ours, only the boot information is added where a network says so."""


Database = Callable[[str], AbstractAsyncContextManager[str]]
"""Has a PostgreSQL run in a folder while it is entered, and gives its DSN."""


def servers(
    kind: str,
    folder: str,
    *,
    tftp: bool,
    dns: bool = False,
    tied: bool = False,
    database: Database | None = None,
    rows_from: int = ROWS_FROM,
) -> list[DhcpServer]:
    """The servers of a rack, each with its files below ``folder``. With a ``database`` Kea keeps hosts there from
    ``rows_from`` on. ``tied``: they end with this process. Raises ``InvalidInput`` for an unknown kind."""
    if kind not in KINDS:
        raise InvalidInput(f"there is no DHCP server {kind!r}", mend=f"use one of {', '.join(KINDS)}")
    chosen: list[DhcpServer] = [Dnsmasq(os.path.join(folder, "boot"), addresses=False, tftp=tftp, tied=tied)]
    if kind == "kea":
        for version, name in ((4, "kea"), (6, "kea6")):
            rows = None if database is None else HostRows(functools.partial(database, os.path.join(folder, "hosts")))
            chosen.append(Kea(os.path.join(folder, name), rows, rows_from, version=version, tied=tied))
    if kind == "dnsmasq":
        chosen.append(Dnsmasq(os.path.join(folder, "addresses"), addresses=True, tied=tied))
    if dns:
        chosen.append(PowerDns(os.path.join(folder, "dns"), tied=tied))
    return [*chosen, Advertising()] if kind != "none" or tftp else chosen


def lease_books(kind: str, folder: str) -> list[LeaseFile | DnsmasqLeases]:
    """Where the servers of this ``kind`` note what they give, by the same ``folder`` as of ``servers``."""
    if kind == "kea":
        four, six = os.path.join(folder, "kea", "leases.csv"), os.path.join(folder, "kea6", "leases6.csv")
        return [LeaseFile(four), LeaseFile(six, version=6)]
    return [DnsmasqLeases(os.path.join(folder, "addresses", "leases"))] if kind == "dnsmasq" else []
