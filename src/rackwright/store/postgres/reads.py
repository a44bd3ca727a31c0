"""What node tasks have read, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rackwright.core.ports import KeptReads, NotedReads
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work


class ReadWork(Work):
    """The part of a transaction that is about recorded reads."""

    async def note_reads(self, noted: Sequence[NotedReads]) -> None:
        """See the port."""
        values = {print_: value for one in noted for print_, value in one.values.items()}
        if values:
            await self.run("put_values", *columns([(print_, Json(values[print_])) for print_ in sorted(values)], 2))
        if noted:
            ordered = sorted(noted, key=lambda one: one.node_task)
            await self.run(
                "note_reads", *columns([(one.node_task, one.attempt, Json(one.reads)) for one in ordered], 3)
            )

    async def keep_reads(self, attempts: Collection[tuple[int, int]]) -> None:
        """See the port."""
        if attempts:
            await self.run("keep_reads", *columns(sorted(attempts), 2))

    async def kept_reads(self, ids: Collection[int]) -> dict[int, KeptReads]:
        """See the port."""
        if not ids:
            return {}
        return {id: KeptReads(kept, newest) for id, kept, newest in await self.rows("kept_reads", list(ids))}

    async def read_values(self, fingerprints: Collection[str]) -> dict[str, Any]:
        """See the port."""
        if not fingerprints:
            return {}
        return {found: value for found, value in await self.rows("read_values", sorted(fingerprints))}

    async def forget_reads(self, ids: Collection[int]) -> None:
        """See the port."""
        if ids:
            await self.run("forget_reads", list(ids))

    async def drop_values(self) -> int:
        """See the port."""
        if await self.value("unused_value") is None:
            return 0
        await self.run("hold_notes")
        return int(await self.value("drop_values"))
