"""Claims and leases in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rackwright.core.clocks import FAR
from rackwright.core.node_task import NodeTask
from rackwright.core.seats import Holder
from rackwright.store.postgres import records
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Connection, columns
from rackwright.store.postgres.work import Work

SMALLEST_WINDOW = 16


class ClaimWork(Work):
    """The part of a transaction that hands node tasks to racks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._locked_racks: set[int] = set()

    async def claimable(
        self,
        rack: int,
        capacity: int,
        now: float,
        full: Collection[tuple[int, str]] = (),
        crowded: Collection[str] = (),
    ) -> list[NodeTask]:
        """See the port.

        A scope may have many node tasks that are ready, and gets one. So a window of ready ones is looked at, and
        when it was full yet gave too few, the next one, without the scopes that have theirs.
        """
        found: list[NodeTask] = []
        if capacity <= 0 or (rack not in self._locked_racks and await self.value("lock_rack", rack) is None):
            return found
        while len(found) < capacity:
            statement, window = limited("claimable", max(capacity - len(found), SMALLEST_WINDOW))
            besides = [row.scope for row in found]
            rows = await self.text_rows(statement, rack, now, besides, *columns(sorted(full), 2), sorted(crowded))
            found += [records.node_task(row) for row in rows]
            if not rows or rows[0][-1] < window:
                break
        return found[:capacity]

    async def racks_to_wake(self, racks: Collection[int], now: float) -> set[int]:
        """See the port."""
        return {row[0] for row in await self.rows("racks_to_wake", list(racks), now)}

    async def held(self, rack: int, besides: str) -> list[int]:
        """See the port."""
        return [row[0] for row in await self.rows("held", rack, besides)]

    async def expired(self, now: float, limit: int) -> list[int]:
        """See the port."""
        statement, _ = limited("expired", limit)
        return [row[0] for row in await self.text_rows(statement, now, now + FAR)][:limit]

    async def clock(self) -> float:
        """See the port."""
        return float(await self.value("clock"))

    async def clock_jumped(self, at: float, by: float) -> bool:
        """See the port."""
        await self.run("lock_clock")
        if await self.value("note_jump", at, by) is None:
            return False
        await self.run("move_times", by)
        return True

    async def look_at_heads(self) -> None:
        """See the port."""
        await self.run("look_at_heads")

    async def extend(
        self, rack: int, incarnation: str, pairs: Sequence[tuple[int, int]], until: float
    ) -> list[tuple[int, int]]:
        """See the port."""
        if not pairs:
            return []
        rows = await self.rows("extend", rack, incarnation, *columns(sorted(set(pairs)), 2), until)
        kept = {(id, attempt) for id, attempt in rows}
        return [pair for pair in pairs if tuple(pair) not in kept]

    async def seen(self, rack: int, now: float) -> tuple[bool, Holder | None]:
        """See the port."""
        row = await self.row("seen", rack, now)
        if row is None:
            return False, None
        self._locked_racks.add(rack)
        return row[0], None if row[1] is None else Holder(row[1], row[2], row[3])

    async def seat(self, rack: int, holder: Holder | None) -> None:
        """See the port."""
        values = (None, None, None) if holder is None else (holder.incarnation, holder.seat, holder.until)
        await self.run("seat", rack, *values)
