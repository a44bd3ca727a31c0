"""The schema's versions on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import asyncpg
import pytest

from rackwright.core.errors import StoreUnavailable
from rackwright.core.lifecycle import Machine
from rackwright.core.wishes import Wish, criteria
from rackwright.store.postgres import PostgresStore, migrate, migration
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


async def test_what_was_known_before_has_its_networks_and_traits_and_is_not_refused(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn, every = await fresh_database(), migrations()
    monkeypatch.setattr(migration, "migrations", lambda: [one for one in every if one.version < 14])
    await migrate(dsn)
    facts = {
        ("r1", "desired.rack.networks"): [
            {"cidr": "10.1.0.0/16", "address": "10.1.0.1"}, {"cidr": "odd"}, {"cidr": "fd00::/64", "address": "fd00::1"}
        ],
        ("r2", "desired.rack.networks"): [{"cidr": "10.1.2.0/24", "address": "10.1.2.1"}],
        ("n1", "desired.address"): "10.1.0.7",
        ("n1", "observed.inventory.cpu"): {"threads": 16},
        ("n1", "observed.inventory.disks"): [{"bytes": 5}, {"bytes": "odd"}, {"bytes": 7}],
        ("n1", "observed.inventory.nics"): [{"speed": None}, {"speed": 1000}],
        ("n1", "desired.pool"): "lab",
    }  # fmt: skip
    for kind, name in (("rack", "r1"), ("rack", "r2"), ("node", "n1")):
        await execute(dsn, f"INSERT INTO scope (kind, name) VALUES ('{kind}', '{name}')")
    for (name, path), value in facts.items():
        said = json.dumps(value)
        await execute(
            dsn,
            f"INSERT INTO fact (scope_id, path, value, writer) "
            f"SELECT id, '{path}', '{said}', 'people' FROM scope WHERE name = '{name}'",
        )
    monkeypatch.undo()
    await migrate(dsn)
    store = await PostgresStore.open(dsn)
    try:
        found = {network.name: (sorted(network.racks), network.held) for network in await store.views.networks()}
        assert found == {"10.1.0.0/16": (["r1"], 1), "10.1.2.0/24": (["r2"], 0), "fd00::/64": (["r1"], 0)}
        async with store.transaction() as tx:
            wish = Wish(count=1, cpu="16", disk="=7", nics="=2", speed="1G", pools=["lab"])
            node = (await tx.named("node", ["n1"]))["n1"].id
            await tx.save_machines([Machine(id=node, allocation="free")])
            assert await tx.pick(criteria(wish, None, ()), 1) == [node]
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
