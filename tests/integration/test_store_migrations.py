"""The schema's versions on PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import asyncpg
import pytest

from rackwright.core.errors import StoreUnavailable
from rackwright.store.postgres import PostgresStore, migrate
from rackwright.store.postgres.migration import OLDEST, migrations, refuse_old
from tests.postgres import FreshDatabase

PROGRAM = """
import asyncio, sys
from rackwright.store.postgres import migrate
print(*asyncio.run(migrate(sys.argv[1])))
"""


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_four_processes_at_once_apply_each_migration_once(fresh_database: FreshDatabase) -> None:
    dsn = await fresh_database()
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, dsn, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [(await process.communicate())[0].decode().split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    names = [f"{migration.version:04}_{migration.name}" for migration in migrations()]
    assert sorted(said) == [[], [], [], names]


async def test_a_store_without_its_schema_is_not_ready_and_says_so(fresh_database: FreshDatabase) -> None:
    dsn = await fresh_database()
    store = await PostgresStore.open(dsn)
    try:
        assert await store.views.ready() == ["the database has no schema yet"]
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            await store.views.racks()
        await migrate(dsn)
        assert await store.views.ready() == []
        await execute(dsn, "DELETE FROM schema_version WHERE version = 2")
        assert await store.views.ready() == ["migrations are missing: recorded_reads"]
    finally:
        await store.close()


async def test_a_newer_schema_is_refused(store_dsn: str) -> None:
    await execute(store_dsn, "INSERT INTO schema_version (version, name, checksum) VALUES (9999, 'future', 'x')")
    with pytest.raises(StoreUnavailable, match=r"version 9999.*newer rackwright"):
        await migrate(store_dsn)


async def test_a_migration_that_is_not_the_known_one_is_refused(store_dsn: str) -> None:
    await execute(store_dsn, "UPDATE schema_version SET checksum = 'other'")
    with pytest.raises(StoreUnavailable, match="migration 1 of the database is not the one"):
        await migrate(store_dsn)
    store = await PostgresStore.open(store_dsn)
    assert "is not the one" in (await store.views.ready())[0]
    await store.close()


def test_a_server_that_is_too_old_is_refused_with_the_version_that_is_needed() -> None:
    refuse_old(OLDEST)
    with pytest.raises(StoreUnavailable, match="PostgreSQL 14; 15 or newer"):
        refuse_old(14)
