"""The schema's versions: plain .sql files, applied in order, each once, by one process at a time."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

import asyncpg

from rackwright.core.errors import StoreUnavailable
from rackwright.store.postgres.job_schema import fit_jobs
from rackwright.store.postgres.session import CONNECT_TIMEOUT, Connection, translated

LOCK = 7_225_928_841
"""Key of the advisory lock that makes migrating processes wait for each other."""

OLDEST = 15
"""The oldest major version of PostgreSQL that the store works on."""

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_version (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp())
)
"""


class Migration(NamedTuple):
    """One file ``NNNN_name.sql``."""

    version: int
    name: str
    statements: str

    @property
    def checksum(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.statements.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this program, oldest first."""
    found = []
    for file in files("rackwright.store").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            version, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(version), name, file.read_text(encoding="utf-8")))
    return sorted(found)


async def migrate(dsn: str) -> list[str]:
    """Bring the database to this program's schema; gives the names of what was applied.

    Several processes may do so at once. Raises StoreUnavailable when the schema is newer than this program, or when
    an applied migration is not the one that this program knows, and on a server that is too old.
    """
    with translated():
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT, server_settings={"application_name": "rackwright"}
        )
        try:
            refuse_old(connection.get_server_version().major)
            await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
            await connection.execute(_LEDGER)
            done = await _apply(connection, migrations())
            await fit_jobs(connection)
            return done
        finally:
            await connection.close()


def refuse_old(major: int) -> None:
    """Raise StoreUnavailable for a server of a major version before OLDEST."""
    if major < OLDEST:
        raise StoreUnavailable(
            f"the server is PostgreSQL {major}; {OLDEST} or newer is needed",
            mend="use a newer server, or none: without a DSN an embedded one is used",
        )


async def _apply(connection: asyncpg.Connection[asyncpg.Record], known: list[Migration]) -> list[str]:
    applied = await _applied(connection)
    fault = _fault(applied, known)
    if fault is not None:
        raise fault
    done = []
    for migration in known:
        if migration.version not in applied:
            async with connection.transaction():
                await connection.execute(migration.statements)
                await connection.execute(
                    "INSERT INTO schema_version (version, name, checksum) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    migration.checksum,
                )
            done.append(f"{migration.version:04}_{migration.name}")
    return done


async def behind(connection: Connection) -> str | None:
    """Why the schema is not this program's, None when it is."""
    if await connection.fetchval("SELECT to_regclass('schema_version')") is None:
        return "the database has no schema yet"
    applied, known = await _applied(connection), migrations()
    fault = _fault(applied, known)
    if fault is not None:
        return str(fault)
    missing = [migration.name for migration in known if migration.version not in applied]
    return f"migrations are missing: {', '.join(missing)}" if missing else None


async def _applied(connection: Connection) -> dict[int, str]:
    rows = await connection.fetch("SELECT version, checksum FROM schema_version")
    return {row["version"]: row["checksum"] for row in rows}


def _fault(applied: dict[int, str], known: list[Migration]) -> StoreUnavailable | None:
    checksums = {migration.version: migration.checksum for migration in known}
    for version, checksum in sorted(applied.items()):
        if version not in checksums:
            return StoreUnavailable(
                f"the database's schema is of version {version}; this program knows versions up to {max(checksums)}",
                mend="use a newer rackwright",
            )
        if checksum != checksums[version]:
            return StoreUnavailable(
                f"migration {version} of the database is not the one that this program knows",
                mend="use the rackwright that made this database, or restore it from a backup",
            )
    return None
