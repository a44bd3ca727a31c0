"""The database of a process: by its DSN, or the embedded one of the data folder."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from rackwright.store import embedded
from rackwright.store.postgres import PostgresStore, migrate
from rackwright.store.postgres.pool import Waited

log = structlog.get_logger()

LINGER = 1.0
"""Seconds that the embedded server stays after its last user."""


@contextlib.asynccontextmanager
async def database(dsn: str, data: Path) -> AsyncIterator[str]:
    """Have a database while this lasts: gives ``dsn`` itself, or where that is empty the embedded one's."""
    if dsn:
        yield dsn
        return
    async with embedded.running(data, linger=LINGER, tell=lambda text: log.info("database", says=text)) as own:
        yield own


@contextlib.asynccontextmanager
async def opened_store(dsn: str, data: Path, waited: Waited | None = None) -> AsyncIterator[PostgresStore]:
    """Have the store open while this lasts, its schema brought up to this program's. ``waited`` is told how long work
    waits for a connection."""
    async with database(dsn, data) as place:
        for name in await migrate(place):
            log.info("migration applied", migration=name)
        store = await PostgresStore.open(place, waited=waited)
        try:
            yield store
        finally:
            await store.close()
