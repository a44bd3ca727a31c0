"""PostgreSQL goes away and comes back: calls say so, and the store heals by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from rackwright.core.errors import StoreUnavailable
from rackwright.core.ports import Event, Scope
from rackwright.store import embedded
from rackwright.store.postgres import PostgresStore, migrate
from tests.integration.embedded_servers import PATIENCE, kill, postmaster

END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Path, str]]:
    """A server of the test's own, which may be killed: its data folder and its DSN."""
    async with embedded.running(tmp_path / "data", linger=0.0) as dsn:
        await migrate(dsn)
        yield tmp_path / "data", dsn
    assert await embedded.wait_stopped(tmp_path / "data")


async def end_connections(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(END_ALL, connection.get_server_pid())
    finally:
        await connection.close()


async def racks_once_it_is_back(store: PostgresStore) -> list[str]:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return [rack.name for rack in await store.views.racks()]
            except StoreUnavailable:
                await asyncio.sleep(0.05)


async def add_a_rack_while_the_server_dies(store: PostgresStore, data: Path) -> None:
    async with store.transaction() as tx:
        await tx.add_scope(Scope(id=0, kind="rack", name="not kept"))
        kill(postmaster(data))
        await asyncio.sleep(0.2)


async def test_a_lost_connection_is_told_and_the_next_transaction_works(
    postgres_store: PostgresStore, store_dsn: str
) -> None:
    async def lose() -> None:
        async with postgres_store.transaction() as tx:
            await tx.add_scope(Scope(id=0, kind="rack", name="lost"))
            await end_connections(store_dsn)
            await tx.named("rack", None)

    with pytest.raises(StoreUnavailable, match="check that the PostgreSQL server runs"):
        await lose()
    async with postgres_store.transaction() as tx:
        assert await tx.named("rack", None) == {}


async def test_connections_that_died_unnoticed_are_replaced(postgres_store: PostgresStore, store_dsn: str) -> None:
    await asyncio.gather(*(postgres_store.views.racks() for _ in range(5)))
    await end_connections(store_dsn)
    assert await racks_once_it_is_back(postgres_store) == []
    assert await asyncio.gather(*(racks_once_it_is_back(postgres_store) for _ in range(10))) == [[]] * 10


async def test_an_error_of_the_block_itself_comes_out_as_it_is(postgres_store: PostgresStore) -> None:
    with pytest.raises(ConnectionResetError, match="of the caller"):
        async with postgres_store.transaction():
            raise ConnectionResetError("of the caller")


async def test_a_block_that_is_cancelled_keeps_nothing_and_gives_its_connection_back(store_dsn: str) -> None:
    store = await PostgresStore.open(store_dsn, pool_size=1)
    added = asyncio.Event()

    async def work() -> None:
        async with store.transaction() as tx:
            await tx.add_scope(Scope(id=0, kind="rack", name="r1"))
            added.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.views.racks() == []
    await store.close()


async def test_news_comes_again_after_the_connection_was_lost(postgres_store: PostgresStore, store_dsn: str) -> None:
    async with postgres_store.listen("event") as news:
        heard = asyncio.ensure_future(anext(news))
        await end_connections(store_dsn)
        async with asyncio.timeout(PATIENCE):
            while not heard.done():
                try:
                    async with postgres_store.transaction() as tx:
                        await tx.record([Event(kind="x", text="still there")])
                except StoreUnavailable:
                    pass
                await asyncio.sleep(0.05)
        assert await heard == ("event", "")


async def test_a_thousand_listeners_cost_one_connection(postgres_store: PostgresStore, store_dsn: str) -> None:
    counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rackwright-listen' AND datname = $1"
    async with postgres_store.listen("work"), postgres_store.listen("work"), postgres_store.listen("event"):
        connection = await asyncpg.connect(store_dsn)
        assert await connection.fetchval(counted, await connection.fetchval("SELECT current_database()")) == 1
        await connection.close()


async def test_the_store_survives_kill_9_of_the_server(server: tuple[Path, str]) -> None:
    data, dsn = server
    store = await PostgresStore.open(dsn)
    async with store.listen("event") as news:
        async with store.transaction() as tx:
            await tx.add_scope(Scope(id=0, kind="rack", name="kept"))
        with pytest.raises(StoreUnavailable):
            await add_a_rack_while_the_server_dies(store, data)
        assert await racks_once_it_is_back(store) == ["kept"]
        async with asyncio.timeout(PATIENCE):
            told = asyncio.ensure_future(anext(news))
            while not told.done():
                async with store.transaction() as tx:
                    await tx.record([Event(kind="x", text="back")])
                await asyncio.sleep(0.05)
        assert await told == ("event", "")
    await store.close()


@pytest.mark.parametrize(
    "dsn", ["postgresql://nobody@127.0.0.1:1/x", "postgresql://nobody@/x?host=/nonexistent"], ids=["tcp", "socket"]
)
async def test_a_server_that_is_not_there_is_told_at_once(dsn: str) -> None:
    with pytest.raises(StoreUnavailable, match="DSN is right"):
        await PostgresStore.open(dsn)
    with pytest.raises(StoreUnavailable):
        await migrate(dsn)
