"""Guards of what a conductor asks each second of a campaign of 20,000 machines: it costs what is under way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest_asyncio

from rackwright.store.postgres import migrate
from rackwright.store.postgres.queries import QUERIES
from rackwright.store.postgres.session import SETTINGS
from tests.postgres import FreshDatabase, TemplateDatabase

MACHINES, BEGUN = 20_000, 200
FILL = f"""
INSERT INTO scope (kind, name) SELECT 'node', 'n' || n FROM generate_series(1, {MACHINES}) AS n;
INSERT INTO machine (scope_id, allocation, installed, rescue, verb, activity, phase, health, reason, since, beats,
                     last_verb, last_outcome, word)
SELECT id, 'free', false, false, '', CASE WHEN row_number() OVER (ORDER BY id) <= {BEGUN} THEN 'a' ELSE '' END,
       'running', 'ok', '', 0, false, '', '', 'ready'
FROM scope WHERE kind = 'node';
INSERT INTO campaign (document) VALUES ('{{}}');
INSERT INTO campaign_turn (scope_id, campaign_id, number, wave, places, activity)
SELECT id, 1, n, 1 + n / 1000, ARRAY['rack=r' || n / 40, 'feed=' || n % 10], CASE WHEN n <= {BEGUN} THEN 'a' END
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM scope WHERE kind = 'node') AS nodes;
ANALYZE;
"""
ASKED = {
    "next_turns": "1, 3::smallint, '{feed=1}'",
    "campaign_seen": "1, 3::smallint",
    "busy_places": "",
    "settle_turns": "1",
    "in_campaigns": "'{5}'",
}
"""Each query that is asked every second, with values."""
MOST = 12 * BEGUN
"""Rows that it may look at."""


@pytest_asyncio.fixture
async def connection(
    fresh_database: FreshDatabase, template_database: TemplateDatabase
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection with the store's settings to a database with a large campaign in it."""

    async def build(dsn: str) -> None:
        await migrate(dsn)
        filling = await asyncpg.connect(dsn)
        await filling.execute(FILL)
        await filling.close()

    dsn = await fresh_database(await template_database("campaign", build))
    connection = await asyncpg.connect(dsn, server_settings=SETTINGS)
    yield connection
    await connection.close()


def looked_at(plan: dict[str, Any]) -> int:
    """Rows that a plan has read from tables, those that it threw away too."""
    own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    here = own if "Relation Name" in plan else 0
    return int(here) + sum(looked_at(below) for below in plan.get("Plans", []))


async def test_a_look_at_a_campaign_costs_what_is_under_way(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    costs = {}
    for name, values in ASKED.items():
        await connection.execute(f"PREPARE {name} AS {QUERIES[name].replace(':limit', '512')}")
        async with connection.transaction():
            given = f"({values})" if values else ""
            (row,) = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE {name}{given}")
        costs[name] = looked_at(json.loads(row[0])[0]["Plan"])
    assert {name: cost for name, cost in costs.items() if cost > MOST} == {}
