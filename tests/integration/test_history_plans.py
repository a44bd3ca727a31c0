"""Guards of history: nothing on the way of a move reads it, and the newest of it is found in the newest parts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from rackwright.core.retention import WEEK, following
from rackwright.store.postgres.queries import QUERIES
from rackwright.store.postgres.session import SETTINGS

WEEKS, ROWS = 12, 2000
HISTORY = r"(?:run|event|audit|log_piece)"
LOOKING_BACK = re.compile(r"view_|last_run$|newest_log$|log_pieces$|add_log$|history_|typical_seconds$")
"""Queries that are asked when somebody looks back, or wants to know how long a plan will take, and those that keep the
parts."""
PART = re.compile(r"^(run|event|audit|log_piece)_(\d{8}|oldest|newest)$")


@pytest_asyncio.fixture
async def connection(store_dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to a database in which a node and a deployment have a past of twelve weeks, part by part."""
    connection = await asyncpg.connect(store_dsn, server_settings=SETTINGS)
    monday = following(time.time(), WEEK)
    starts = [monday - (WEEKS - week) * WEEK for week in range(WEEKS)]
    await connection.execute("SELECT history_drop('run', '-Infinity', $1::double precision)".replace("$1", str(monday)))
    await connection.execute(f"SELECT history_make('run', '-Infinity', {starts[0]})")
    for start in starts:
        await connection.execute(f"SELECT history_make('run', {start}, {start + WEEK})")
    await connection.execute(f"""
        INSERT INTO run (xact, node_task, deployment_id, task, scope_id, attempt, outcome, reason, revision, started_at,
                         ended_at, at)
        SELECT pg_current_xact_id(), n % 50, 1, 't', n % 50, 1, 'active', '', 0, at, at, at
        FROM (SELECT n, {starts[0]} + n * ({time.time()} - {starts[0]}) / {WEEKS * ROWS} AS at
              FROM generate_series(1, {WEEKS * ROWS}) AS n) AS past
    """)
    await connection.execute("ANALYZE run")
    yield connection
    await connection.close()


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes_of(below)


async def read_parts(connection: asyncpg.Connection[asyncpg.Record], query: str, values: str) -> list[dict[str, Any]]:
    """The parts of history that a query really reads, as nodes of its plan."""
    await connection.execute(f"PREPARE guarded AS {QUERIES[query].replace(':limit', '1')}")
    (plan,) = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE guarded({values})")
    await connection.execute("DEALLOCATE guarded")
    found = [node for node in nodes_of(json.loads(plan[0])[0]["Plan"]) if PART.match(node.get("Relation Name", ""))]
    return [node for node in found if node["Actual Loops"]]


@pytest.mark.parametrize(
    ("query", "values"),
    [("view_attempts", "7, 1e300, 4611686018427387903, NULL, NULL"), ("last_run", "7")],
)
async def test_the_newest_attempt_is_found_in_one_part_or_two(
    connection: asyncpg.Connection[asyncpg.Record], query: str, values: str
) -> None:
    if query == "last_run":
        await connection.execute("""
            INSERT INTO node_task (id, deployment_id, graph, task, scope_id, state, waits, priority, critical, attempt,
                                   tries, runs, revision, forced, claimed_at, lease_until, not_before, reason,
                                   children, feeds, gates)
            VALUES (7, 1, 'deploy', 't', 7, 0, 0, 0, false, 1, 0, 1, 0, false, 0, 0, 0, '', '{}', '{}', '{}')
        """)
    read = await read_parts(connection, query, values)
    assert 1 <= len(read) <= 2
    assert all("Index" in node["Node Type"] for node in read)


async def test_a_window_of_time_reads_only_its_own_parts(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    now = time.time()
    read = await read_parts(connection, "view_lanes", f"1, {now - 3600}, {now}")
    assert {node["Relation Name"] for node in read if node["Actual Rows"]} <= {
        f"run_{time.strftime('%Y%m%d', time.gmtime(following(now - 3600, WEEK) - WEEK))}",
        f"run_{time.strftime('%Y%m%d', time.gmtime(following(now, WEEK) - WEEK))}",
    }
    assert len(read) <= WEEKS // 2 + 1


@pytest.mark.parametrize("query", [name for name in QUERIES if not LOOKING_BACK.match(name)])
def test_nothing_on_the_way_of_a_move_reads_history(query: str) -> None:
    assert re.search(rf"\b(?:FROM|JOIN|UPDATE|USING)\s+{HISTORY}\b", QUERIES[query]) is None


@pytest.mark.parametrize("query", ["add_runs", "add_events", "add_changes"])
async def test_what_is_appended_looks_at_nothing(connection: asyncpg.Connection[asyncpg.Record], query: str) -> None:
    count = len((await connection.prepare(QUERIES[query])).get_parameters())
    await connection.execute(f"PREPARE guarded AS {QUERIES[query]}")
    rows = await connection.fetch(f"EXPLAIN EXECUTE guarded({', '.join(['NULL'] * count)})")
    plan = "\n".join(row[0] for row in rows)
    assert "Insert on" in plan
    assert re.search(rf"Scan.* on {HISTORY}_", plan) is None
