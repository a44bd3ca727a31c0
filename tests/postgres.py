"""A PostgreSQL server for a run of tests, and a database of its own for each test.

The server is an embedded one, or the one that the environment variable RACKWRIGHT_TEST_DSN names (its user must be
allowed to create databases). Import the fixtures into a conftest.py:

    from tests.postgres import fresh_database, postgres_dsn, template_database
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from rackwright.store import embedded

FreshDatabase = Callable[..., Awaitable[str]]
TemplateDatabase = Callable[[str, Callable[[str], Awaitable[None]]], Awaitable[str]]

HASTY = ("fsync", "synchronous_commit", "full_page_writes")
"""What keeps data over the death of a host. Nobody wants the data of tests after that."""

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The DSN of the server's first database; use it to administer, and take ``fresh_database`` for tests."""
    outside = os.environ.get("RACKWRIGHT_TEST_DSN")
    if outside:
        yield outside
        return
    data = tmp_path_factory.mktemp("data")
    async with embedded.running(data, linger=0.2) as dsn:
        for setting in HASTY:
            await _execute(dsn, f"ALTER SYSTEM SET {setting} = off")
        await _execute(dsn, "SELECT pg_reload_conf()")
        yield dsn
    assert await embedded.wait_stopped(data), f"the server of the tests does not stop: {data}"


@pytest_asyncio.fixture
async def fresh_database(postgres_dsn: str) -> AsyncIterator[FreshDatabase]:
    """``await fresh_database(template=None)`` creates a database and gives its DSN; all are dropped after the test."""
    made: list[str] = []

    async def create(template: str | None = None) -> str:
        name = _name("test")
        await _execute(postgres_dsn, f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        made.append(name)
        return _with_database(postgres_dsn, name)

    yield create
    for name in made:
        await _execute(postgres_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template_database(postgres_dsn: str) -> AsyncIterator[TemplateDatabase]:
    """``await template_database(key, build)`` gives the name of a database that ``build(dsn)`` has filled, once a run.

    ``build`` must close its connections. Hand the name to ``fresh_database``.
    """
    made: dict[str, str] = {}

    async def create(key: str, build: Callable[[str], Awaitable[None]]) -> str:
        if key not in made:
            name = _name(key)
            await _execute(postgres_dsn, f'CREATE DATABASE "{name}"')
            made[key] = name
            await build(_with_database(postgres_dsn, name))
        return made[key]

    yield create
    for name in made.values():
        await _execute(postgres_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


def _name(kind: str) -> str:
    return f"rackwright_{kind}_{os.getpid()}_{next(_numbers)}"


def _with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
