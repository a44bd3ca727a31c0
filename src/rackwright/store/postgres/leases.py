"""Leases of dynamic addresses, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.leases import Lease
from rackwright.store.postgres.session import columns
from rackwright.store.postgres.work import Work


class LeaseWork(Work):
    """The part of a transaction that is about leases."""

    async def note_leases(self, rack: int, seat: str, leases: Sequence[Lease]) -> None:
        """See the port."""
        newest = {lease.address: lease for lease in leases}.values()
        rows = [(lease.address, lease.client, lease.seconds) for lease in newest]
        if rows:
            await self.run("note_leases", rack, seat, *columns(rows, 3))
        await self.run("drop_leases", rack)

    async def leases(self, rack: int, besides: str) -> list[Lease]:
        """See the port."""
        return [Lease(*row) for row in await self.rows("leases", rack, besides)]
