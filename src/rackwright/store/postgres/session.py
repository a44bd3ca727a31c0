"""One connection to PostgreSQL as this product uses it: its settings, its JSON, its errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from rackwright.core.errors import Conflict, InvalidInput, NotFound, RackwrightError, StoreUnavailable, TryAgain
from rackwright.store.postgres.queries import QUERIES

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
"""A connection, of the pool or one's own."""

SETTINGS = {
    "application_name": "rackwright",
    "jit": "off",
    # One plan per statement, as the guards of the tests see it: it must not depend on what the first call asked for.
    "plan_cache_mode": "force_generic_plan",
}
CONNECT_TIMEOUT = 10.0
"""Seconds."""
MEND = "check that the PostgreSQL server runs and that the DSN is right"

_SAFETY_NETS = ("one_running", "one_address", "one_network")
"""Constraints that only a race can violate: every way to them is checked before."""

_GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.UndefinedTableError,
    # The driver's own words for a connection on which the server said farewell between two queries.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_LOST = ("closed", "closing", "released back to the pool")
_IN_THE_WAY = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
)
_UNFIT = (asyncpg.UntranslatableCharacterError, asyncpg.CharacterNotInRepertoireError)


class Json(msgspec.Struct, frozen=True):
    """A JSON value within an array of values: the driver takes a bare list there for a further dimension."""

    value: Any


def _encoded(value: Any) -> bytes:
    return b"\x01" + msgspec.json.encode(value.value if isinstance(value, Json) else value)


async def prepare(connection: Connection) -> None:
    """Make a new connection speak JSON: jsonb values are what msgspec decodes."""
    await connection.set_type_codec(
        "jsonb",
        encoder=_encoded,
        decoder=lambda data: msgspec.json.decode(data[1:]),
        schema="pg_catalog",
        format="binary",
    )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into the product's."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        known = _translate(error)
        if known is None:
            raise
        raise known from error


def _translate(error: Exception) -> RackwrightError | None:
    if isinstance(error, _GONE):
        return StoreUnavailable(f"the database cannot be used: {_said(error)}", mend=MEND)
    if isinstance(error, asyncpg.InterfaceError):
        # The driver has one class for a lost connection and for wrong use; only the words differ. The pool takes a
        # connection back by itself when it is lost.
        lost = not isinstance(error, asyncpg.DataError | ValueError) and any(word in str(error) for word in _LOST)
        return StoreUnavailable(f"the database cannot be reached: {_said(error)}", mend=MEND) if lost else None
    if isinstance(error, _IN_THE_WAY) or getattr(error, "constraint_name", None) in _SAFETY_NETS:
        return TryAgain(_said(error))
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return NotFound(f"what this refers to is not there: {getattr(error, 'detail', None) or error}")
    if isinstance(error, asyncpg.UniqueViolationError):
        return Conflict(f"it is there already: {getattr(error, 'detail', None) or error}")
    if isinstance(error, _UNFIT):
        return InvalidInput(f"a text cannot be stored: {_said(error)}", mend="leave out the character NUL")
    return None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


class Session:
    """Runs named queries on one connection, until it is ended."""

    def __init__(self, connection: Connection) -> None:
        self._held = connection
        self.over = False
        """True once the transaction has ended: no query may follow, for it would be outside of it."""

    @property
    def _connection(self) -> Connection:
        if self.over:
            raise RuntimeError("the transaction is over")
        return self._held

    async def before(self, statement: str) -> None:
        """Called before every statement; what it is to see is written here."""

    async def rows(self, name: str, *values: Any) -> list[asyncpg.Record]:
        """All rows of a query."""
        return await self.text_rows(QUERIES[name], *values)

    async def text_rows(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """All rows of a statement with its limit written out (see ``limited``)."""
        await self.before(statement)
        with translated():
            return await self._connection.fetch(statement, *values)

    async def slices(self, name: str, size: int, *values: Any) -> AsyncIterator[list[asyncpg.Record]]:
        """All rows of a query in slices of so many: between two of them the loop goes on. Within a transaction only."""
        await self.before(QUERIES[name])
        with translated():
            cursor = await self._connection.cursor(QUERIES[name], *values)
            while found := await cursor.fetch(size):
                yield found

    async def row(self, name: str, *values: Any) -> asyncpg.Record | None:
        """The first row, None when there is none."""
        await self.before(QUERIES[name])
        with translated():
            return await self._connection.fetchrow(QUERIES[name], *values)

    async def value(self, name: str, *values: Any) -> Any:
        """The first value of the first row, None when there is none."""
        await self.before(QUERIES[name])
        with translated():
            return await self._connection.fetchval(QUERIES[name], *values)

    async def run(self, name: str, *values: Any) -> None:
        """A statement whose rows, if any, do not matter."""
        await self.run_text(QUERIES[name], *values)

    async def run_text(self, statement: str, *values: Any) -> None:
        """The same for a statement that was made from a named query."""
        await self.before(statement)
        with translated():
            await self._connection.execute(statement, *values)

    async def copy(self, table: str, columns: Sequence[str], records: Iterable[tuple[Any, ...]]) -> None:
        """Add rows by binary COPY; they are taken one by one, as they are sent."""
        with translated():
            await self._connection.copy_records_to_table(table, columns=columns, records=records)


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Turn rows into columns, the form that ``unnest`` takes; ``width`` columns even without rows."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
