"""Errors that spread in slices, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection

from rackwright.core.node_task import Neighbourhood
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import columns
from rackwright.store.postgres.work import Work


class SpreadingWork(Work):
    """The part of a transaction that is about errors that spread."""

    async def crowded(self, ids: Collection[int], most: int) -> bool:
        """See the port."""
        return bool(ids) and bool(await self.value("crowded", list(ids), most))

    async def spread_out(self) -> int:
        """See the port."""
        return int(await self.value("spread_out")) if await self.value("lock_spreading") else 0

    async def spreading(self, limit: int) -> list[tuple[int, str]]:
        """See the port."""
        if not await self.value("lock_spreading"):
            return []
        statement, _ = limited("spreading", limit)
        return [(row[0], row[1]) for row in await self.text_rows(statement)][:limit]

    async def spread_done(self, ids: Collection[int]) -> None:
        """See the port."""
        await self.run("spread_done", list(ids))

    async def _save_sources(self, near: Neighbourhood) -> None:
        """Write down which of the rows spread their errors."""
        rows = [(id, near.rows[id].deployment, near.rows[id].priority, near.spread[id]) for id in sorted(near.spread)]
        if rows:
            await self.run("add_sources", *columns(rows, 4))
            self.tell("barrier", "")
