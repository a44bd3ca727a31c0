"""Ending leases that are in the way (Kea's hook ``lease_cmds``).

Kea does not give a node the address that is reserved for it while another one still has a lease of it. So when
addresses move, the leases of those that they belonged to end at once.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from rackwright.rack.dhcp.kea_control import KeaControl

FEW = 100
"""So many addresses are asked for one by one; of more, all leases are read."""

PAGE = 2000
"""Leases that are read at once."""

Lease = Mapping[str, Any]


async def end_others(control: KeaControl, owners: Mapping[str, Collection[str]], version: int = 4) -> int:
    """End every lease of these addresses whose holder is none of the Ethernet addresses to which it belongs now; gives
    how many. Raises ``Retryable`` when Kea is away."""
    ended = 0
    async for lease in _each(control, version, owners) if len(owners) <= FEW else _all(control, version):
        address = lease["ip-address"]
        if address in owners and lease.get("hw-address") not in owners[address]:
            await control.command(f"lease{version}-del", json.dumps({"ip-address": address}))
            ended += 1
    return ended


async def _each(control: KeaControl, version: int, addresses: Collection[str]) -> AsyncIterator[Lease]:
    for address in addresses:
        lease = await control.command(f"lease{version}-get", json.dumps({"ip-address": address}))
        if lease is not None:
            yield lease


async def _all(control: KeaControl, version: int) -> AsyncIterator[Lease]:
    after = "start"
    while True:
        page = await control.command(f"lease{version}-get-page", json.dumps({"from": after, "limit": PAGE}))
        leases = page["leases"] if page is not None else []
        for lease in leases:
            yield lease
        if len(leases) < PAGE:
            return
        after = leases[-1]["ip-address"]
