"""Which servers a rack runs so that machines find it."""

from __future__ import annotations

import os

from rackwright.core.dhcp import DhcpServer
from rackwright.core.errors import InvalidInput
from rackwright.rack.dhcp.advertising import Advertising
from rackwright.rack.dhcp.dnsmasq import Dnsmasq
from rackwright.rack.dhcp.kea import Kea

KINDS = ("kea", "dnsmasq", "none")
"""Who gives the addresses; ``none``: nobody of ours, only the boot information is added where a network says so."""


def servers(kind: str, folder: str, *, tftp: bool) -> list[DhcpServer]:
    """The servers of a rack, each with its files below ``folder``. Raises ``InvalidInput`` for an unknown kind."""
    if kind not in KINDS:
        raise InvalidInput(f"there is no DHCP server {kind!r}", mend=f"use one of {', '.join(KINDS)}")
    chosen: list[DhcpServer] = [Dnsmasq(os.path.join(folder, "boot"), addresses=False, tftp=tftp)]
    if kind == "kea":
        chosen.append(Kea(os.path.join(folder, "kea")))
    if kind == "dnsmasq":
        chosen.append(Dnsmasq(os.path.join(folder, "addresses"), addresses=True))
    return [*chosen, Advertising()] if kind != "none" or tftp else chosen
