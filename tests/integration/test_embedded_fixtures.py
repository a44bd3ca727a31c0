"""The fixtures of tests/postgres.py give tests databases of their own, made from a template, and drop them."""

from __future__ import annotations

import asyncpg
import pytest

from tests.integration.embedded_servers import ask
from tests.postgres import FreshDatabase, TemplateDatabase, fresh_database, postgres_dsn, template_database

__all__ = ["fresh_database", "postgres_dsn", "template_database"]

COUNT = "SELECT count(*) FROM pg_database WHERE datname LIKE 'rackwright_test_%'"
built: list[str] = []


async def fill(dsn: str) -> None:
    built.append(dsn)
    await ask(dsn, "CREATE TABLE kept AS SELECT 1 AS n")


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_its_own_copy_of_a_template_that_is_made_once(
    postgres_dsn: str, fresh_database: FreshDatabase, template_database: TemplateDatabase, turn: int
) -> None:
    assert await ask(postgres_dsn, COUNT) == 0, "the databases of the test before are dropped"
    template = await template_database("kept", fill)
    first, second = await fresh_database(template), await fresh_database(template)
    await ask(first, "INSERT INTO kept VALUES (2)")
    assert await ask(second, "SELECT count(*) FROM kept") == 1
    assert await ask(postgres_dsn, COUNT) == 2
    assert len(built) == 1


async def test_a_fresh_database_without_a_template_is_empty(fresh_database: FreshDatabase) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await ask(await fresh_database(), "SELECT n FROM kept")
