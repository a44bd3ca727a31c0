"""Looking back, on both stores: what was changed by whom, what ran, and the parts of time in which it is kept."""

from __future__ import annotations

import asyncio
import math
import time
from itertools import pairwise

import asyncpg
import pytest

from rackwright.core.audit import Asked, Change
from rackwright.core.errors import NotFound, TryAgain
from rackwright.core.ports import Event
from rackwright.core.retention import AHEAD, DAY, WEEK, Part, Series, arrange
from rackwright.engine import deployments, machines, retention
from rackwright.engine.behalf import OnBehalf
from rackwright.engine.retention import Keep
from rackwright.store.postgres import PostgresStore
from rackwright.store.postgres.migration import migrations
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, ok
from tests.postgres import FreshDatabase

TASKS = """
- {id: install, type: noop, roles: [web], writes: [web.conf]}
- {id: start, type: noop, roles: [web], requires: [install], reads: {conf: web.conf}}
"""
ROLES = "- {name: web}\n"
SERIES: tuple[Series, ...] = ("run", "event", "audit", "log_piece")


async def deployed(store: AnyStore) -> Hands:
    """Two nodes on which everything ran once."""
    hands = Hands(store, store.views)
    await hands.site()
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0", "n1"]})
    await hands.run(lambda claim: ok(claim, **({"web.conf": "x"} if claim.task == "install" else {})))
    return hands


async def arranged(store: AnyStore, series: Series, now: float, keep: float) -> list[Part]:
    async with store.transaction() as tx:
        parts = await tx.parts(series)
        assert parts is not None
        await tx.arrange(series, arrange(parts, now, keep))
        again = await tx.parts(series)
        assert again is not None
        return again


async def test_an_attempt_keeps_who_carried_it_out_and_what_it_wrote(store: AnyStore) -> None:
    await deployed(store)
    start, install = await store.views.attempts("n0")
    assert (start.task, install.task, install.deployment, install.rack) == ("start", "install", "d", "r0")
    assert (install.incarnation, install.attempt, install.outcome) == ("i", 1, "active")
    assert install.outputs == {"web.conf": {"value": "x"}}
    assert start.outputs == {}
    assert install.fingerprint is not None
    assert (await store.views.attempts("n0", task="start", deployment="d"))[0] == start
    assert await store.views.attempts("n0", before=(start.at, start.id)) == [install]
    assert await store.views.attempts("n0", deployment="e") == []


async def test_changes_are_kept_with_who_asked_from_where_and_come_newest_first(store: AnyStore) -> None:
    async with store.transaction(Asked("boss", "10.0.0.1", "r-1")) as tx:
        await tx.note(
            [Change(kind="a", text="one", deployment="d"), Change(kind="b", text="two", scope="n1", before=1)]
        )
    async with store.transaction() as tx:
        await tx.note([Change(kind="c", text="three\0", deployment="d", after={"x": [1, 2]})])
    changes = await store.views.changes()
    assert [(change.kind, change.by, change.address, change.request) for change in changes] == [
        ("c", "", "", ""), ("b", "boss", "10.0.0.1", "r-1"), ("a", "boss", "10.0.0.1", "r-1"),
    ]  # fmt: skip
    assert (changes[0].after, changes[1].before, changes[1].after) == ({"x": [1, 2]}, 1, None)
    assert [change.kind for change in await store.views.changes(deployment="d")] == ["c", "a"]
    assert [change.kind for change in await store.views.changes(scope="n1")] == ["b"]
    assert [change.kind for change in await store.views.changes(before=changes[0].id, limit=1)] == ["b"]


async def test_lanes_tell_what_each_task_did_in_a_window_and_what_runs_now(store: AnyStore) -> None:
    hands = await deployed(store)
    install, start = await store.views.lanes("d", 0.0, time.time())
    assert (install.task, start.task) == ("install", "start")
    assert (install.outcomes, install.running) == ({"active": 2}, 0)
    assert install.ended_at is not None
    assert install.started_at <= install.ended_at <= time.time()
    assert await store.views.lanes("d", time.time() + 60, time.time() + 90) == []
    await deployments.retry(store, "d", tasks=["install"], nodes=["n0"])
    await hands.claim()
    again = (await store.views.lanes("d", 0.0, time.time()))[0]
    assert (again.outcomes, again.running, again.ended_at) == ({"active": 2}, 1, None)


async def test_a_course_holds_what_ran_and_its_chain_follows_the_edges(store: AnyStore) -> None:
    await deployed(store)
    steps = (await store.views.course("d", 0.0)).decisive()
    names = await store.views.names_of([step.node_task for step in steps])
    assert [names[step.node_task][0] for step in steps] == ["install", "start"]
    assert names[steps[0].node_task][1] == names[steps[1].node_task][1]
    assert len(await store.views.course("d", time.time() + 60)) == 0


@pytest.mark.parametrize("series", SERIES)
async def test_parts_are_made_ahead_cover_all_of_time_and_a_second_pass_does_nothing(
    store: AnyStore, series: Series
) -> None:
    now = time.time()
    for keep in (90 * DAY, 3 * DAY):
        parts = await arranged(store, series, now, keep)
        assert (parts[0].span.start, parts[-1].span.end) == (-math.inf, math.inf)
        assert all(one.span.end == other.span.start for one, other in pairwise(parts))
        assert parts[-1].span.start > now + AHEAD * DAY
        assert await arranged(store, series, now, keep) == parts


async def test_what_is_older_than_is_kept_is_dropped_and_what_is_younger_stays(store: AnyStore) -> None:
    await deployed(store)
    async with store.transaction() as tx:
        await tx.note([Change(kind="x", text="x")])
    for series in SERIES:
        await arranged(store, series, time.time(), 90 * DAY)
    assert len(await store.views.changes()) >= 1
    assert len(await store.views.runs("d")) == 4
    later = time.time() + 92 * DAY + WEEK
    for series in SERIES:
        await arranged(store, series, later, 90 * DAY)
    assert await store.views.changes() == []
    assert await store.views.events() == []
    assert await store.views.attempts("n0") == []
    async with store.transaction() as tx:
        await tx.record([Event(kind="x", text="goes on")])
        await tx.note([Change(kind="x", text="goes on")])
    assert len(await store.views.changes()) == 1


async def test_nothing_is_refused_when_nobody_made_parts_for_long(
    postgres_store: PostgresStore, store_dsn: str
) -> None:
    later = time.time() + 400 * DAY
    connection = await asyncpg.connect(store_dsn)
    try:
        await connection.execute("INSERT INTO audit (asked_by, address, request, kind, text, at) "
                                 f"VALUES ('', '', '', 'x', 'x', {later})")  # fmt: skip
    finally:
        await connection.close()
    parts = await arranged(postgres_store, "audit", later + DAY, 90 * DAY)
    assert any(part.span.start <= later < part.span.end < math.inf for part in parts)
    assert [change.at for change in await postgres_store.views.changes()] == [later]


async def test_one_conductor_at_a_time_arranges_history(postgres_store: PostgresStore) -> None:
    async with postgres_store.transaction() as one:
        assert await one.parts("run") is not None
        async with postgres_store.transaction() as other:
            assert await other.parts("run") is None


async def test_what_was_kept_before_history_had_parts_is_still_there(fresh_database: FreshDatabase) -> None:
    dsn = await fresh_database()
    connection = await asyncpg.connect(dsn)
    try:
        for migration in migrations():
            if migration.version == 6:
                await connection.execute("INSERT INTO scope (kind, name) VALUES ('node', 'n1'), ('deployment', 'd')")
                await connection.execute("""
                    INSERT INTO run (xact, node_task, deployment_id, task, scope_id, attempt, outcome, reason, revision,
                                     started_at, ended_at)
                    SELECT pg_current_xact_id(), 7, d.id, 't', n.id, 1, 'active', '', 0, 1.0, 2.0
                    FROM scope AS d, scope AS n WHERE d.name = 'd' AND n.name = 'n1';
                    INSERT INTO event (xact, at, kind, text, data)
                    VALUES (pg_current_xact_id(), extract(epoch FROM now()), 'x', 'old', '{}');
                    INSERT INTO log_piece VALUES (7, 1, 0, true, 'said')
                """)
            await connection.execute(migration.statements)
    finally:
        await connection.close()
    store = await PostgresStore.open(dsn)
    try:
        assert [run.task for run in await store.views.attempts("n1")] == ["t"]
        assert [event["kind"] for event in await store.views.events()] == ["run", "x"]
        assert (await store.views.log(7, attempt=None, offset=0)).data == b"said"
        await store.views.add_log([(7, 1, 0, b"said", True)])
        assert (await store.views.log(7, attempt=None, offset=0)).data == b"said"
    finally:
        await store.close()


async def test_every_change_of_what_is_desired_says_who_asked_and_what_it_was(store: AnyStore) -> None:
    boss = OnBehalf(store, Asked("boss", "10.0.0.1", "r-1"))
    hands = Hands(boss, store.views)
    await hands.site(nodes=1)
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0"]})
    await hands.run()
    await deployments.stop(boss, "d")
    await deployments.resume(boss, "d")
    await deployments.retry(boss, "d", tasks=["install"])
    await machines.set_node(boss, "n0", available=False)
    await machines.set_node(boss, "n0", available=False)
    await machines.set_address(boss, hands.library, "n0", "127.1.9.9")
    changes = await store.views.changes()
    kinds = [change.kind for change in reversed(changes)]
    assert kinds == [
        "rack.added", "node.added", "catalog.added", "deployment.created", "plan.requested", "plan.applied",
        "deployment.stopped", "deployment.resumed", "deployment.retried", "node.set", "facts",
    ]  # fmt: skip
    assert {change.by for change in changes if change.kind != "plan.applied"} == {"boss"}
    facts, node = changes[0], changes[1]
    assert (facts.before, facts.after) == ({"desired.address": "127.1.0.1"}, {"desired.address": "127.1.9.9"})
    assert (node.scope, node.before, node.after) == ("n0", {"available": True}, {"available": False})
    (applied,) = [change for change in changes if change.kind == "plan.applied"]
    assert (applied.by, applied.after["members"]) == ("test", {"added": ["n0"], "removed": []})
    assert await store.views.last_run_began("d") == applied.at


async def test_what_is_refused_is_no_change(store: AnyStore) -> None:
    with pytest.raises(NotFound):
        await deployments.stop(OnBehalf(store, Asked("boss")), "d")
    assert await store.views.changes() == []


async def test_the_pass_of_the_conductor_cuts_every_table_once(store: AnyStore) -> None:
    assert await retention.tend(store, Keep(), time.time()) > 0
    assert await retention.tend(store, Keep(), time.time()) == 0


async def test_the_pass_ends_when_the_conductor_does(store: AnyStore) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(retention.run(store, Keep, stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(working, 60)


async def test_a_table_in_use_is_left_for_the_next_pass(postgres_store: PostgresStore, store_dsn: str) -> None:
    connection = await asyncpg.connect(store_dsn)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE run IN ROW EXCLUSIVE MODE")
            with pytest.raises(TryAgain):
                await retention.tend(postgres_store, Keep(), time.time())
    finally:
        await connection.close()
    assert await retention.tend(postgres_store, Keep(), time.time()) > 0
