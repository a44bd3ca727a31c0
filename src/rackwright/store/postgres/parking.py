"""Parked attempts in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import asyncpg
import msgspec

from rackwright.core.messages import Result
from rackwright.core.parking import Parked
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work


class ParkingWork(Work):
    """The part of a transaction that is about parked attempts."""

    async def park(self, parked: Sequence[Parked]) -> None:
        """See the port."""
        rows = [
            (one.node_task, one.attempt, one.scope, one.deadline, Json(one.awaits), Json(one.result)) for one in parked
        ]
        if rows:
            await self.run("park", *columns(rows, 6))

    async def parked(self, ids: Collection[int]) -> list[Parked]:
        """See the port."""
        return [_parked(row) for row in await self.rows("parked", list(ids))]

    async def overdue(self, now: float, limit: int) -> list[Parked]:
        """See the port."""
        statement, _ = limited("overdue", limit)
        return [_parked(row) for row in await self.text_rows(statement, now)][:limit]

    async def answered(self, limit: int) -> list[Parked]:
        """See the port."""
        statement, _ = limited("answered", limit)
        return [_parked(row) for row in await self.text_rows(statement)][:limit]

    async def clear_parked(self) -> int:
        """See the port."""
        return int(await self.value("clear_parked"))


def _parked(row: asyncpg.Record) -> Parked:
    node_task, attempt, scope, deadline, awaits, result = row
    return Parked(
        node_task=node_task, attempt=attempt, scope=scope, deadline=deadline, awaits=awaits,
        result=msgspec.convert(result, Result),
    )  # fmt: skip
