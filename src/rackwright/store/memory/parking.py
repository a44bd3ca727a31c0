"""Parked attempts in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rackwright.core.facts import place_in
from rackwright.core.parking import Parked
from rackwright.store.memory.work import Work


class ParkingWork(Work):
    """The part of a transaction that is about parked attempts."""

    async def park(self, parked: Sequence[Parked]) -> None:
        """See the port."""
        self.tables.parked |= {one.node_task: one for one in parked}

    async def parked(self, ids: Collection[int]) -> list[Parked]:
        """See the port."""
        return [one for one in self._counting() if one.node_task in ids]

    async def overdue(self, now: float, limit: int) -> list[Parked]:
        """See the port."""
        return [one for one in self._counting() if one.deadline <= now][:limit]

    async def answered(self, limit: int) -> list[Parked]:
        """See the port."""
        return [one for one in self._counting() if one.awaits and self._there(one)][:limit]

    async def clear_parked(self) -> int:
        """See the port."""
        counting = {one.node_task: one for one in self._counting()}
        cleared = len(self.tables.parked) - len(counting)
        self.tables.parked = counting
        return cleared

    def _counting(self) -> list[Parked]:
        tables = self.tables
        kept = [(tables.rows.get(id), one) for id, one in sorted(tables.parked.items())]
        return [one for row, one in kept if row is not None and row.parked and row.attempt == one.attempt]

    def _there(self, one: Parked) -> bool:
        leaves = {path: fact.value for path, fact in self.tables.facts.get(one.scope, {}).items()}
        for path, value in one.awaits.items():
            found, there = place_in(leaves, path)
            if not found or (value is not None and there != value):
                return False
        return True
