"""The processes of the product, in PostgreSQL. Times are the server's: the clocks of hosts may differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from rackwright.core.services import ENDED_FOR, FORGET_AFTER, Beat, Family, Queue, ServiceView, service_state
from rackwright.store.postgres.pool import Pool
from rackwright.store.postgres.session import Session, columns


class PostgresRoster:
    """The port's Roster."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def beat(self, beats: Sequence[Beat]) -> None:
        """See the port."""
        newest = {beat.process.id: beat for beat in sorted(beats, key=lambda beat: beat.number)}
        async with self._pool.connection() as connection:
            session = Session(connection)
            if newest:
                await session.run("beat", *columns([_row(beat) for beat in newest.values()], 11))
            await session.run("forget_services", ENDED_FOR, FORGET_AFTER)

    async def services(self) -> list[ServiceView]:
        """See the port."""
        return [_view(row) for row in await self._rows("view_services", False)]

    async def samples(self) -> list[tuple[ServiceView, list[Family]]]:
        """See the port."""
        found = [(_view(row), row["sample"]) for row in await self._rows("view_services", True)]
        return [
            (service, msgspec.json.decode(sample, type=list[Family]))
            for service, sample in found
            if service.state != "lost"
        ]

    async def queues(self) -> list[Queue]:
        """See the port."""
        return [
            Queue(name=row["name"], depth=row["depth"], oldest=row["oldest"]) for row in await self._rows("view_queues")
        ]

    async def _rows(self, name: str, *values: Any) -> list[asyncpg.Record]:
        async with self._pool.connection() as connection:
            return await Session(connection).rows(name, *values)


def _row(beat: Beat) -> tuple[Any, ...]:
    process = beat.process
    return (
        *(process.id, process.kind, process.name, process.host, process.pid, process.version, process.started_at),
        *(beat.number, beat.state, beat.loop_lag, beat.sample),
    )


def _view(row: asyncpg.Record) -> ServiceView:
    return ServiceView(
        kind=row["kind"],
        name=row["name"],
        host=row["host"],
        pid=row["pid"],
        version=row["version"],
        state=service_state(row["kind"], row["state"], row["age"]),
        started_at=row["started_at"],
        seen_at=row["seen_at"],
        loop_lag=row["loop_lag"],
    )
