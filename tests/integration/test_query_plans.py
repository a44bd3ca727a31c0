"""Guards of the hot queries: at 20,000 node tasks PostgreSQL answers each of them from an index."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from rackwright.core.facts import FactWrite
from rackwright.core.node_task import Barrier, State
from rackwright.core.ports import Event, Membership, NotedReads
from rackwright.store.postgres import PostgresStore, migrate
from rackwright.store.postgres.queries import QUERIES
from rackwright.store.postgres.session import SETTINGS
from tests.integration.store_world import world
from tests.postgres import TemplateDatabase

NODES, TASKS = 1000, 20

HOT = {
    "find_named": "one_of_each",
    "find_on": "node_task_on",
    "find_named_on": "one_of_each node_task_on",
    "slice": "node_task_pkey",
    "unfinished": "node_task_on",
    "reach_children": "node_task_pkey",
    "reach_descendants": "node_task_pkey",
    "lock_rows": "node_task_pkey",
    "lock_rows_and_children": "node_task_pkey",
    "lock_barriers": "barrier_pkey",
    "read_barriers": "barrier_pkey",
    "save_rows": "node_task_pkey",
    "save_barriers": "barrier_pkey",
    "wakeable": "barrier_wakeable",
    "released": "barrier_pkey",
    "claimable": "node_task_ready",
    "ready": "node_task_ready",
    "held": "node_task_running one_running",
    "expired": "node_task_lease",
    "hold": "node_task_pkey",
    "drop_rows": "node_task_pkey",
    "reshape_rows": "node_task_pkey",
    "facts": "fact_pkey",
    "put_facts": "",
    "put_traits": "",
    "highest_address": "one_address",
    "free_addresses": "one_address",
    "held_in": "one_address",
    "rack_networks": "fact_pkey",
    "deployments": "scope_pkey",
    "deployments_of": "member_of",
    "memberships_on": "member_pkey member_of",
    "scopes": "scope_pkey",
    "note_reads": "",
    "keep_reads": "recorded_reads_pkey",
    "kept_reads": "recorded_reads_pkey",
    "forget_reads": "recorded_reads_pkey",
    "put_values": "",
    "read_values": "read_value_pkey",
    "standing_on": "node_task_on",
    "address_owners": "one_address",
    "running": "node_task_running node_task_lease one_running",
    "failed_scopes": "node_task_failed",
    "wave_failed": "node_task_failed",
    "wave_gone": "scope_gone",
    "limits": "node_task_ready",
    "view_events": "event_oldest_order",
    "seats": "seat_pkey",
    "view_going": "node_task_ready",
    "view_queues": "node_task_lease",
    "view_reasons": "node_task_on",
    "view_nodes_failed": "node_task_failed node_task_stopper",
    "view_nodes_running": "one_running node_task_running node_task_lease",
    "answered": "node_task_pkey",
    "overdue": "node_task_pkey",
    "log_pieces": "log_piece_oldest_pkey",
}
"""Each hot query, and an index that it must use (any of these; none for what only inserts)."""
PLANNER = 18
"""Major version of the embedded server, whose plans are guarded."""
BIG = (
    "node_task",
    "node_task_place",
    "fact",
    "barrier",
    "event",
    "log_piece",
    "scope",
    "member",
    "recorded_reads",
    "read_value",
)
ROW = re.compile(r"Index (?:Only )?Scan(?: Backward)? using (\w+)|Bitmap Index Scan on (\w+)")


async def fleet(store: PostgresStore) -> None:
    """1,000 nodes with 20 tasks in chains, every third one at work, a barrier for each node, and facts, events and logs
    of the same order."""
    made = await world(store, NODES)
    rows, barriers = [], []
    for number, name in enumerate(made.nodes):
        first = number * TASKS + 1
        rack = made.racks["r1" if number % 2 == 0 else "r2"]
        rows += [
            made.row(
                first + step, name, f"t{step}", rack=rack, priority=TASKS - step, waits=min(step, 1),
                state=State.BLOCKED if step else State.TRANSITION if number % 3 == 0 else State.TODO,
                children=(first + step + 1,) if step < TASKS - 1 else (), feeds=(number + 1,),
            )
            for step in range(TASKS)
        ]  # fmt: skip
        barriers.append(Barrier(id=number + 1, deployment=made.deployment, name=name, waits=TASKS, children=(first,)))
    await made.graph(rows, barriers)
    async with store.transaction() as tx:
        nodes = list(made.nodes.values())
        await tx.put_facts([FactWrite(id, f"a.f{n}", n, "t0") for id in nodes for n in range(TASKS)])
        await tx.put_facts(
            [FactWrite(id, "desired.address", f"10.0.{id >> 8 & 255}.{id & 255}", "people") for id in nodes]
        )
        await tx.record([Event(kind="x", text=str(number)) for number in range(NODES * TASKS)])
        await tx.set_members(
            made.deployment,
            [
                Membership(deployment=made.deployment, scope=id, name=name, rack=None, roles=("web",), tags=("web",))
                for name, id in made.nodes.items()
            ],
        )
        ids = [row.id for row in rows]
        await tx.note_reads(
            [NotedReads(node_task=id, attempt=1, reads={"a": f"{id:032x}"}, values={f"{id:032x}": id}) for id in ids]
        )
        await tx.keep_reads([(id, 1) for id in ids])
    await store.views.add_log([(id, 1, 0, b"x", True) for id in range(NODES * TASKS)])


async def leave_statistics_alone(dsn: str) -> None:
    """Plans are judged by what the product itself tells PostgreSQL of its tables. The server would look at some of them
    too, now or in a minute: then each run would have its own plans."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """
            DO $$ DECLARE name text; BEGIN
                FOR name IN SELECT oid::regclass FROM pg_class
                            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', name); END LOOP;
            END $$
            """
        )
    finally:
        await connection.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(
    postgres_dsn: str, template_database: TemplateDatabase
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection with the store's settings to a database with a fleet in it."""

    async def build(dsn: str) -> None:
        await migrate(dsn)
        await leave_statistics_alone(dsn)
        store = await PostgresStore.open(dsn)
        await fleet(store)
        await store.close()

    name = await template_database("fleet", build)
    connection = await asyncpg.connect(
        urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}")), server_settings=SETTINGS
    )
    if connection.get_server_version().major < PLANNER:
        await connection.close()
        pytest.skip(f"these plans are those of PostgreSQL {PLANNER} and newer; older planners choose others")
    yield connection
    await connection.close()


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes_of(below)


async def plan_of(connection: asyncpg.Connection[asyncpg.Record], name: str) -> str:
    """The plan that every call of the query gets: the store's settings ask for the generic one."""
    statement = QUERIES[name].replace(":limit", "128")
    count = len((await connection.prepare(statement)).get_parameters())
    await connection.execute(f"PREPARE guarded AS {statement}")
    try:
        values = f"({', '.join(['NULL'] * count)})" if count else ""
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE guarded{values}"))
    finally:
        await connection.execute("DEALLOCATE guarded")


@pytest.mark.parametrize(("name", "index"), HOT.items(), ids=HOT.keys())
@pytest.mark.asyncio(loop_scope="module")
async def test_a_hot_query_uses_its_index(
    connection: asyncpg.Connection[asyncpg.Record], name: str, index: str
) -> None:
    plan = await plan_of(connection, name)
    for table in BIG:
        assert f"Seq Scan on {table}" not in plan, plan
    assert not index or {found for pair in ROW.findall(plan) for found in pair} & set(index.split()), plan


@pytest.mark.asyncio(loop_scope="module")
async def test_a_claim_reads_no_further_than_it_needs(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    rack = await connection.fetchval("SELECT id FROM scope WHERE kind = 'rack' AND name = 'r1'")
    ready = await connection.fetchval("SELECT count(*) FROM node_task WHERE rack_id = $1 AND state = 1", rack)
    await connection.execute("PREPARE claimed AS " + QUERIES["claimable"].replace(":limit", "16"))
    plan = await connection.fetch(
        f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE claimed("
        f"'{{{rack}}}', '{{16}}', 1e9, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')"
    )
    (scan,) = [
        node for node in nodes_of(json.loads(plan[0][0])[0]["Plan"]) if node.get("Index Name") == "node_task_ready"
    ]
    assert (scan["Actual Rows"], ready > 300) == (16, True), plan[0][0]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_guard_sees_a_plan_without_an_index(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    undone = connection.transaction()
    await undone.start()
    try:
        await connection.execute("DROP INDEX node_task_ready")
        assert "node_task_ready" not in await plan_of(connection, "claimable")
    finally:
        await undone.rollback()


@pytest.mark.asyncio(loop_scope="module")
async def test_whether_a_scope_is_busy_is_asked_of_the_index_by_scope(
    connection: asyncpg.Connection[asyncpg.Record],
) -> None:
    plan = await plan_of(connection, "claimable")
    assert re.search(r"using one_running on node_task running\b.*\n\s*Index Cond: \(scope_id = ", plan), plan


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_change_on_one_node_asks_is_answered_without_reading_the_fleet(
    connection: asyncpg.Connection[asyncpg.Record], analyzed: bool
) -> None:
    """All nodes stand in one rack here, which tempts the planner to read them all."""
    deployment = await connection.fetchval("SELECT id FROM deployment")
    rack = await connection.fetchval("SELECT id FROM scope WHERE kind = 'rack' LIMIT 1")
    node = await connection.fetchval("SELECT id FROM scope WHERE kind = 'node' LIMIT 1")
    asked = {
        "deployments_of": f"ARRAY[{node}]",
        "deployments": f"ARRAY[{deployment}]",
        "memberships_on": f"{deployment}, ARRAY[{node}]",
        "scopes": f"ARRAY[{node}, {rack}, {deployment}]",
    }
    undone = connection.transaction()
    await undone.start()
    try:
        await connection.execute("UPDATE scope SET rack = $1 WHERE kind = 'node'", rack)
        if analyzed:
            await connection.execute("ANALYZE scope, member, deployment")
        for name, values in asked.items():
            await connection.execute(f"PREPARE one_node AS {QUERIES[name]}")
            (plan,) = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE one_node({values})")
            await connection.execute("DEALLOCATE one_node")
            read = max(found["Actual Rows"] for found in nodes_of(json.loads(plan[0])[0]["Plan"]))
            assert read <= 10, (name, plan[0])
    finally:
        await undone.rollback()
