"""Leases of dynamic addresses, in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rackwright.core.leases import Lease
from rackwright.store.memory.work import Work


class LeaseWork(Work):
    """The part of a transaction that is about leases."""

    async def note_leases(self, rack: int, seat: str, leases: Sequence[Lease]) -> None:
        """See the port."""
        now = time.time()
        kept = self.tables.leases | {
            (rack, lease.address): (seat, lease.client, now + lease.seconds) for lease in leases
        }
        self.tables.leases = {key: lease for key, lease in kept.items() if key[0] != rack or lease[2] > now}

    async def leases(self, rack: int, besides: str) -> list[Lease]:
        """See the port."""
        now = time.time()
        return [
            Lease(address, client, until - now)
            for (of, address), (seat, client, until) in sorted(self.tables.leases.items())
            if of == rack and seat != besides and until > now
        ]
