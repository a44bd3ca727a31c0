"""Guards of the queries of hooks: with 50,000 messages that wait they read a few of them."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest

from rackwright.core.hooks import Subscription
from rackwright.store.postgres import PostgresStore
from rackwright.store.postgres.queries import QUERIES
from rackwright.store.postgres.session import SETTINGS

WAITING, OBJECTS, FEW = 50_000, 5_000, 2_000

FILL = """
INSERT INTO message (subscription_id, event, object, at, data, state)
SELECT $1, 'node_task.active', 'node_task/' || (n % $3), n, '{}', CASE WHEN n <= $2 THEN 'delivered' ELSE 'waiting' END
FROM generate_series(1, $2 * 2) AS n
"""


def read(plan: dict[str, Any]) -> int:
    """Rows that the nodes of a plan have read from tables, by index or not."""
    rows = int(plan["Actual Rows"] * plan["Actual Loops"]) if "Scan" in plan["Node Type"] else 0
    rows += int(plan.get("Rows Removed by Filter", 0) * plan["Actual Loops"])
    return rows + sum(read(part) for part in plan.get("Plans", []))


async def explained(connection: asyncpg.Connection[asyncpg.Record], query: str, *values: Any) -> dict[str, Any]:
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING off, FORMAT json) {query}", *values)
    plan: dict[str, Any] = json.loads(text)[0]["Plan"]
    return plan


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "new"])
async def test_what_can_be_delivered_is_found_without_reading_all_that_waits(
    store_dsn: str, postgres_store: PostgresStore, analyzed: bool
) -> None:
    async with postgres_store.transaction() as tx:
        hook = await tx.subscribe(
            Subscription(name="h", kind="webhook", events=("node_task.active",), target="http://127.0.0.1:1")
        )
    connection = await asyncpg.connect(store_dsn, server_settings=SETTINGS)
    try:
        await connection.execute(FILL, hook, WAITING, OBJECTS)
        if analyzed:
            await connection.execute("ANALYZE message")
        take = QUERIES["take_messages"].replace(":limit", "16")
        for plan in (
            await explained(connection, QUERIES["due"], 1.0),
            await explained(connection, take, hook, 1.0, 2.0),
        ):
            assert read(plan) < FEW, json.dumps(plan, indent=1)
    finally:
        await connection.close()
