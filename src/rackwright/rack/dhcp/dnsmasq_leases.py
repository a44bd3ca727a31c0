"""dnsmasq's file of leases: a line for each one that lives: when it ends, the Ethernet address, the address, the name
and the client's identifier (``lease_update_file`` in its ``src/lease.c``).

dnsmasq writes it anew at each change, so it is read as a whole: it is for small labs. A line that is gone tells
nothing, for the file may be half written; what a client has released stays its own until it would have ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable

from rackwright.core.dhcp import Within
from rackwright.core.leases import Lease
from rackwright.core.served import Network
from rackwright.rack.dhcp.files import write_whole
from rackwright.rack.dhcp.lease_file import Given, in_ranges

NOBODY = "00:00:00:00:00:00"
"""Stands for somebody unknown, who uses an address."""


class DnsmasqLeases:
    """The file at ``path``. What it does blocks: call it in a thread. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, Given] = {}

    def news(self, networks: Collection[Network]) -> dict[str, Given]:
        """What has come since the last call of dynamic addresses of these networks; at first, all of it."""
        is_dynamic = in_ranges(networks, 4)
        found: dict[str, Given] = {}
        for line in self._lines():
            expires, mac, address = line.split()[:3]
            if is_dynamic(address):
                found[address] = ("" if mac == NOBODY else mac, float(expires))
        news = {address: given for address, given in found.items() if given != self._known.get(address)}
        self._known |= news
        return news

    def inherit(self, leases: Iterable[Lease], networks: Collection[Network]) -> None:
        """Write what another process has given, as far as it is of these networks. dnsmasq must not run."""
        places = [Within(network.cidr) for network in networks]
        now = time.time()
        lines = {
            lease.address: f"{int(now + lease.seconds) + 1} {lease.client or NOBODY} {lease.address} * *"
            for lease in leases
            if ":" not in lease.address and any(lease.address in within for within in places)
        }
        if lines:
            own = [line for line in self._lines() if line.split()[2] not in lines]
            write_whole(self._path, "".join(f"{line}\n" for line in [*own, *lines.values()]))

    def close(self) -> None:
        """Forget what was told."""
        self._known = {}

    def _lines(self) -> list[str]:
        """The whole lines."""
        if not os.path.exists(self._path):
            return []
        with open(self._path, encoding="ascii", errors="replace") as file:
            lines = file.read().split("\n")[:-1]
        return [line for line in lines if len(line.split()) >= 5]
