"""Claims and leases in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rackwright.core.clocks import FAR
from rackwright.core.errors import TryAgain
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import Lease
from rackwright.core.seats import Holder
from rackwright.store.postgres import records
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.released import ReleasedWork
from rackwright.store.postgres.session import Connection, columns

SMALLEST_WINDOW = 16


class ClaimWork(ReleasedWork):
    """The part of a transaction that hands node tasks to racks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._locked_racks: set[int] = set()

    async def claimable(
        self,
        room: Mapping[int, int],
        now: float,
        full: Collection[tuple[int, str]] = (),
        crowded: Collection[str] = (),
    ) -> list[NodeTask]:
        """See the port.

        A scope may have many node tasks that are ready, and gets one. So a window of ready ones is looked at, and
        where it was full yet gave too few, the next one, without the scopes that have theirs.
        """
        found: list[NodeTask] = []
        left = await self._locked({rack: capacity for rack, capacity in room.items() if capacity > 0})
        while left:
            statement, window = limited("claimable", max(*left.values(), SMALLEST_WINDOW))
            asked = (*columns(sorted(left.items()), 2), now, [row.scope for row in found])
            besides = (*columns(sorted(full), 2), sorted(crowded), sorted(self.held_back))
            rows = await self.text_rows(statement, *asked, *besides)
            found += [self.held_back.get(row["id"]) or records.node_task(row) for row in rows]
            looked = {row["rack_id"]: row[-1] for row in rows}
            more = {rack: left[rack] for rack, seen in looked.items() if seen >= window}
            for row in rows:
                if row["rack_id"] in more:
                    more[row["rack_id"]] -= 1
            left = {rack: capacity for rack, capacity in more.items() if capacity > 0}
        return found

    async def _locked(self, room: dict[int, int]) -> dict[int, int]:
        """Those of the racks that there are; their rows are locked."""
        fresh = room.keys() - self._locked_racks
        if fresh:
            self._locked_racks.update([row[0] for row in await self.rows("lock_racks", sorted(fresh))])
        return {rack: capacity for rack, capacity in room.items() if rack in self._locked_racks}

    async def ready(self, racks: Mapping[int, int], now: float) -> dict[int, int]:
        """See the port."""
        found = await self.rows("ready", *columns(sorted(racks.items()), 2), now) if racks else []
        return {row[0]: row[1] for row in found}

    async def held(self, rack: int, besides: str) -> list[int]:
        """See the port."""
        return [row[0] for row in await self.rows("held", rack, besides)]

    async def expired(self, now: float, limit: int) -> dict[int, float]:
        """See the port."""
        statement, _ = limited("expired", limit)
        rows = await self.text_rows(statement, now, now + FAR)
        return {row[0]: row[1] for row in rows[:limit]}

    async def seats_ending(self, after: float, before: float) -> int:
        """See the port."""
        return int(await self.value("seats_ending", after, before))

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

    async def hold(self, named: Collection[Lease], before: float) -> set[Lease]:
        """See the port."""
        if not named:
            return set()
        leases = columns(sorted(set(named)), 4)
        return {tuple(row) for row in await self.rows("hold", *leases, before, before + FAR / 2)}

    async def seats(self, racks: Collection[int]) -> tuple[bool, dict[int, Holder | None], set[int]]:
        """See the port.

        Two statements: the second sees what those have written that the first has waited for.
        """
        some = sorted(racks)
        if len(some) > 1:
            self._locked_racks.update([row[0] for row in await self.rows("lock_idle_racks", some)])
        if self._locked_racks.isdisjoint(some):
            await self._locked(dict.fromkeys(some, 1))
        rows = await self.rows("seats", some) if some else []
        holders = {row[0]: None if row[2] is None else Holder(row[2], row[3], row[4]) for row in rows}
        busy = holders.keys() - self._locked_racks
        return any(row[1] for row in rows), {rack: holders[rack] for rack in holders if rack not in busy}, busy

    async def holders(self, racks: Collection[int]) -> dict[int, Holder]:
        """See the port."""
        rows = await self.rows("seats", list(racks)) if racks else []
        return {row[0]: Holder(row[2], row[3], row[4]) for row in rows if row[2] is not None}

    async def seat(self, holders: Mapping[int, tuple[Holder | None, Holder]], now: float) -> None:
        """See the port."""
        rows = [
            (rack, after.incarnation, after.seat, after.until, None if before is None else before.until)
            for rack, (before, after) in sorted(holders.items())
        ]
        written = await self.rows("seat", *columns(rows, 5), now) if rows else []
        if len(written) < len(rows):
            raise TryAgain("a seat was renewed while another process was about to take it")

    async def keep_seats(self, kept: Collection[tuple[int, str, float]], now: float) -> set[tuple[int, str]]:
        """See the port."""
        if not kept:
            return set()
        return {(row[0], row[1]) for row in await self.rows("keep_seats", *columns(sorted(kept), 3), now)}

    async def heard(self, rack: int) -> float | None:
        """See the port."""
        found: float | None = await self.value("heard", rack)
        return found
