"""A pool of connections that heals by itself after the server went away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import asyncpg

from rackwright.core.errors import StoreUnavailable
from rackwright.store.postgres.session import CONNECT_TIMEOUT, SETTINGS, Connection, prepare, translated

ACQUIRE_TIMEOUT = 30.0
"""Seconds to wait for a free connection."""
STATEMENTS = 500
"""Prepared statements kept per connection: more than there are named queries."""


Waited: TypeAlias = Callable[[float], None]
"""Told how many seconds somebody waited for a connection."""


async def _tidy(connection: Connection) -> None:
    """Before a connection goes back: nothing of this product changes a session, so only an open transaction counts."""
    if connection.is_in_transaction():
        await connection.reset()


class Pool:
    """At most ``size`` connections, made when they are needed. A connection that broke is replaced at the next use."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], waited: Waited | None = None) -> None:
        self._pool = pool
        self._waited = waited

    @classmethod
    async def open(cls, dsn: str, size: int, waited: Waited | None = None) -> Pool:
        """Connect once, so that a wrong DSN is told at once. Raises StoreUnavailable."""
        with translated():
            pool = await asyncpg.create_pool(
                dsn,
                min_size=0,
                max_size=size,
                timeout=CONNECT_TIMEOUT,
                statement_cache_size=STATEMENTS,
                max_cacheable_statement_size=0,
                max_cached_statement_lifetime=0,
                server_settings=SETTINGS,
                init=prepare,
                reset=_tidy,
            )
        made = cls(pool, waited)
        async with made.connection():
            return made

    async def close(self) -> None:
        """Wait for what is being done, then close all connections."""
        with contextlib.suppress(StoreUnavailable), translated():
            await self._pool.close()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of one's own as long as the block lasts. Raises StoreUnavailable."""
        began = time.monotonic()
        with translated():
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT)
        if self._waited is not None:
            self._waited(time.monotonic() - began)
        try:
            yield connection
        finally:
            with contextlib.suppress(StoreUnavailable), translated():
                await self._pool.release(connection)
