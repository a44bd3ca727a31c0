"""What waits, and for how long; what hangs in one queue keeps nothing of another one back."""

from __future__ import annotations

import asyncio

import pytest

from rackwright.core.jobs import Job
from rackwright.core.node_task import Barrier, State
from rackwright.store.job_worker import AT_ONCE, carry_out
from rackwright.store.postgres import PostgresStore, graphs
from tests.integration.conftest import AnyStore
from tests.integration.store_world import World, world

PATIENCE = 60.0


async def ages(store: AnyStore) -> dict[str, float | None]:
    async with store.transaction() as tx:
        await tx.look_at_heads()
    return {queue.name: queue.oldest for queue in await store.roster.queues() if queue.name in ("node_task", "barrier")}


async def moved(made: World, **fields: object) -> None:
    """Change the first node task."""
    async with made.store.transaction() as tx:
        near = await tx.lock([1])
        for name, value in fields.items():
            setattr(near.rows[1], name, value)
        near.touched.add(1)
        await tx.save(near)


async def test_the_age_of_a_queue_grows_until_its_first_in_line_goes(store: AnyStore) -> None:
    made = await world(store)
    assert await ages(store) == {"node_task": None, "barrier": None}
    await made.graph([made.row(1, "n1", priority=5), made.row(2, "n3"), made.row(3, "n2", rack=made.racks["r2"])])
    before = (await ages(store))["node_task"]
    await asyncio.sleep(0.05)
    after = (await ages(store))["node_task"]
    assert before is not None
    assert after is not None
    assert after >= before + 0.05
    await moved(made, state=State.ACTIVE)
    async with store.transaction() as tx:
        near = await tx.lock([3])
        near.rows[3].state = State.ACTIVE
        near.touched.add(3)
        await tx.save(near)
    newest = (await ages(store))["node_task"]
    assert newest is not None
    assert newest < after


async def test_a_barrier_whose_children_are_not_woken_grows_old(store: AnyStore) -> None:
    made = await world(store)
    rows = [made.row(id, "n1", task=f"t{id}", state=State.BLOCKED, gates=(9,)) for id in (1, 2)]
    await made.graph(rows, [Barrier(id=9, deployment=made.deployment, name="b", children=(1, 2))])
    first = (await ages(store))["barrier"]
    assert first is not None
    async with store.transaction() as tx:
        assert await tx.released(9, 0, 2)
    assert (await ages(store))["barrier"] is None


async def test_hooks_that_hang_keep_no_job_waiting(postgres_store: PostgresStore, store_dsn: str) -> None:
    stop, hung, done = asyncio.Event(), asyncio.Semaphore(0), asyncio.Event()

    async def hang(subscription: int) -> None:
        hung.release()
        await asyncio.Event().wait()

    async def now() -> None:
        done.set()

    async with postgres_store.transaction() as tx:
        for number in range(AT_ONCE + 4):
            await tx.defer(Job(kind="hooks.deliver", arguments={"subscription": number}, lock=f"hook {number}"))
    working = asyncio.create_task(carry_out(store_dsn, {"hooks.deliver": hang, "now": now}, {}, stop))
    try:
        async with asyncio.timeout(PATIENCE):
            for _ in range(AT_ONCE):
                await hung.acquire()
            async with postgres_store.transaction() as tx:
                await tx.defer(Job(kind="now"))
            await done.wait()
    finally:
        working.cancel()
        await asyncio.wait({working})


async def test_a_large_graph_is_read_in_slices_between_which_the_loop_goes_on(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "SLICE", 10)
    made = await world(postgres_store)
    await made.graph([made.row(id, "n1", task=f"t{id}", state=State.BLOCKED) for id in range(1, 1001)])
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    found = await made.rows()
    turning.cancel()
    assert list(found) == list(range(1, 1001))
    assert turns >= 100
