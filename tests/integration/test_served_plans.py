"""What a change costs does not grow with what a rack serves: at 20,000 nodes its queries read an index."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from rackwright.core.serving import DAY
from rackwright.store.postgres.queries import QUERIES
from rackwright.store.postgres.session import SETTINGS, prepare
from rackwright.store.postgres.views import page_of
from tests.integration.store_world import world

NODES = 20_000
STEP = 1000
"""A generation that was given out, with few newer documents."""

FILL = f"""
INSERT INTO served_rack (rack_id, generation, since, complete) SELECT id, {STEP + 5}, '3', true
FROM scope WHERE kind = 'rack' AND name = 'r1';
INSERT INTO served_step SELECT rack_id, {STEP} FROM served_rack;
INSERT INTO scope (kind, name, rack)
SELECT 'node', 'm' || i, rack_id FROM served_rack, generate_series(1, {NODES}) AS i;
INSERT INTO served SELECT rack_id, scope.id, CASE WHEN name < 'm1001' THEN {STEP + 1} ELSE 1 END, 'x'
FROM served_rack JOIN scope ON scope.rack = rack_id WHERE name LIKE 'm%';
UPDATE served SET generation = 1 WHERE generation > 1 AND scope_id % 100 <> 0;
INSERT INTO machine (scope_id, allocation, installed, rescue, verb, activity, phase, health, reason, since, beats,
                     last_verb, last_outcome, word)
SELECT id, 'free', false, false, '', '', 'idle', 'ok', '', 0, false, '', '', 'ready' FROM scope WHERE name LIKE 'm%';
ANALYZE;
"""


@pytest_asyncio.fixture
async def full(store_dsn: str, postgres_store: Any) -> AsyncIterator[asyncpg.Connection]:
    await world(postgres_store)
    connection = await asyncpg.connect(store_dsn, server_settings=SETTINGS)
    await prepare(connection)
    await connection.execute(FILL)
    yield connection
    await connection.close()


async def test_a_change_and_its_delta_read_few_rows(full: asyncpg.Connection) -> None:
    rack = await full.fetchval("SELECT rack_id FROM served_rack")
    node = await full.fetchval("SELECT id FROM scope WHERE name = 'm77'")
    asked: dict[str, tuple[Any, ...]] = {
        "lock_serving": ([node],),
        "serving_places": ([node], [rack]),
        "serve": ([rack], [node], [b"y"]),
        "serving_steps": ([rack], [STEP]),
        "note_applied": ([rack], [STEP], [{}], DAY),
        "allocations": ([node],),
    }
    for name, values in asked.items():
        async with full.transaction():
            said = await full.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {QUERIES[name]}", *values)
        plan = said if isinstance(said, list) else json.loads(said)
        most = max(_read(plan[0]["Plan"]))
        assert most < NODES / 10, f"{name} reads {most} rows"


@pytest.mark.parametrize(
    ("after", "names", "machines"),
    [("", None, False), ("", None, True), ("m5", None, True), ("", ["m7", "m12345"], True)],
    ids=["nodes", "machines", "a later page", "by name"],
)
async def test_a_page_of_nodes_costs_the_same_in_a_fleet_of_any_size(
    full: asyncpg.Connection, after: str, names: list[str] | None, machines: bool
) -> None:
    asked = (after, names, None, machines, None, None, None, None)
    said = await full.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {page_of(names, None, 20)}", *asked)
    plan = said if isinstance(said, list) else json.loads(said)
    assert max(_read(plan[0]["Plan"])) < 200, plan


def _read(node: dict[str, Any]) -> Iterator[float]:
    """Rows that each step of a plan looks at."""
    yield node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    for child in node.get("Plans", ()):
        yield from _read(child)
