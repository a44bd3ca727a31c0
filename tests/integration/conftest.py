"""What integration tests may use: both stores, PostgreSQL with the schema in it, and its DSN."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeAlias

import pytest
import pytest_asyncio

from rackwright.store.memory import MemoryStore
from rackwright.store.postgres import PostgresStore, migrate
from tests.postgres import FreshDatabase, TemplateDatabase, fresh_database, postgres_dsn, template_database

__all__ = ["fresh_database", "postgres_dsn", "template_database"]

AnyStore: TypeAlias = MemoryStore | PostgresStore


async def _build(dsn: str) -> None:
    await migrate(dsn)


@pytest_asyncio.fixture
async def store_dsn(fresh_database: FreshDatabase, template_database: TemplateDatabase) -> str:
    """The DSN of a database of the test's own with the schema in it."""
    return await fresh_database(await template_database("schema", _build))


@pytest_asyncio.fixture
async def postgres_store(store_dsn: str) -> AsyncIterator[PostgresStore]:
    """A store on PostgreSQL."""
    store = await PostgresStore.open(store_dsn)
    yield store
    await store.close()


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> AnyStore:
    """Each store in turn: one suite of behaviour holds for both."""
    return MemoryStore() if request.param == "memory" else request.getfixturevalue("postgres_store")
