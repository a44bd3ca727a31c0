"""The PostgreSQL store: transactions, views and news over one pool of connections."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from rackwright.core.audit import NOBODY, Asked
from rackwright.store.news import Board
from rackwright.store.postgres.listening import Listening
from rackwright.store.postgres.pool import Pool, Waited
from rackwright.store.postgres.roster import PostgresRoster
from rackwright.store.postgres.transaction import PostgresTransaction, transaction
from rackwright.store.postgres.views import PostgresViews
from rackwright.store.postgres.wanted import Wanted


class PostgresStore:
    """The port's Store on PostgreSQL 15 or newer. It survives the server's death: what was under way raises
    StoreUnavailable, and later calls work again as soon as the server does."""

    def __init__(self, pool: Pool, dsn: str) -> None:
        self._pool = pool
        self.dsn = dsn
        """Where the database is."""
        self._board = Board()
        self._wanted = Wanted()
        self._listening = Listening(dsn, self._board)
        self.views = PostgresViews(pool)
        """Reading for people."""
        self.roster = PostgresRoster(pool)
        """The processes of the product."""

    @classmethod
    async def open(cls, dsn: str, *, pool_size: int = 10, waited: Waited | None = None) -> PostgresStore:
        """Connect with at most ``pool_size`` connections, and one more once somebody listens. ``waited`` is told the
        seconds that each piece of work waited for its connection.

        Raises StoreUnavailable. The schema must be there already: see ``migrate``.
        """
        return cls(await Pool.open(dsn, pool_size, waited), dsn)

    async def close(self) -> None:
        """Close every connection."""
        await self._listening.stop()
        await self._pool.close()

    @contextlib.asynccontextmanager
    async def transaction(self, asked: Asked = NOBODY) -> AsyncIterator[PostgresTransaction]:
        """See the port. Beside StoreUnavailable any call, and the end of the block, may raise TryAgain."""
        async with self._pool.connection() as connection, transaction(connection, self._wanted) as work:
            work.asked = asked
            yield work

    @contextlib.asynccontextmanager
    async def listen(self, *channels: str) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        """See the port. All listeners share one connection, which comes back by itself."""
        with self._board.subscribed(channels) as subscription:
            await self._listening.ready()
            yield subscription
