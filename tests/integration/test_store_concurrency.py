"""Many at once on PostgreSQL: nothing is lost, nothing happens twice, nobody reads past what is still to come."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from rackwright.core.errors import Conflict, TryAgain
from rackwright.core.facts import FactWrite
from rackwright.core.node_task import Barrier, NodeTask, Run, State
from rackwright.core.ports import Event, Transaction
from rackwright.store.postgres import PostgresStore
from rackwright.store.postgres.transaction import PostgresTransaction
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, world


async def again(store: AnyStore, work: Callable[[Transaction], Awaitable[list[int]]]) -> list[int]:
    """Run a transaction until it does not get in the way of another."""
    while True:
        try:
            async with store.transaction() as tx:
                return await work(tx)
        except TryAgain:
            await asyncio.sleep(0.001)


async def claim(made: World, rack: str, capacity: int) -> list[int]:
    async def work(tx: Transaction) -> list[int]:
        rows = await tx.claimable({made.racks[rack]: capacity}, NOW)
        near = await tx.lock([row.id for row in rows])
        for row in near.rows.values():
            row.state, row.attempt = State.TRANSITION, row.attempt + 1
        near.touched |= near.rows.keys()
        await tx.save(near)
        return sorted(near.rows)

    return await again(made.store, work)


async def complete(made: World, ids: list[int]) -> None:
    """The ends of attempts as the engine does them: the row active, its children and barriers one less to wait for."""

    async def work(tx: Transaction) -> list[int]:
        near = await tx.lock(await tx.reach(ids, "children"))
        for id in ids:
            row = near.rows[id]
            assert row.state is State.TRANSITION
            row.state = State.ACTIVE
            for child in row.children:
                near.rows[child].waits -= 1
                if near.rows[child].waits == 0:
                    near.rows[child].state = State.TODO
            for feed in row.feeds:
                near.barriers[feed].waits -= 1
                near.touched_barriers.add(feed)
            near.touched |= {id, *row.children}
            near.runs.append(
                Run(
                    node_task=id,
                    deployment=row.deployment,
                    task=row.task,
                    scope=row.scope,
                    rack=row.rack,
                    attempt=row.attempt,
                    outcome="active",
                    started_at=NOW,
                    ended_at=NOW,
                )
            )
        await tx.save(near)
        return []

    await again(made.store, work)


async def wake(made: World) -> None:
    async def work(tx: Transaction) -> list[int]:
        found = await tx.wakeable(3)
        if found is None:
            return []
        barrier, ids = found
        near = await tx.lock(ids)
        for row in near.rows.values():
            row.state = State.TODO
        near.touched |= near.rows.keys()
        await tx.save(near)
        if not await tx.released(barrier.id, barrier.released, barrier.released + len(ids)):
            await tx.rollback()
        return []

    await again(made.store, work)


def layered(made: World, nodes: int) -> tuple[list[NodeTask], Barrier]:
    """Per node a chain of three; the second of each feeds a barrier that all third ones wait for."""
    first, second, third = range(1, nodes + 1), range(101, 101 + nodes), range(201, 201 + nodes)
    rows = []
    for number, (a, b, c) in enumerate(zip(first, second, third, strict=True), 1):
        rack = made.racks["r1" if number % 2 else "r2"]
        rows += [
            made.row(a, f"n{number}", "a", rack=rack, children=(b,)),
            made.row(b, f"n{number}", "b", rack=rack, state=State.BLOCKED, waits=1, feeds=(50,)),
            made.row(c, f"n{number}", "c", rack=rack, state=State.BLOCKED, gates=(50,)),
        ]
    return rows, Barrier(id=50, deployment=made.deployment, name="all", waits=nodes, children=tuple(third))


async def test_eight_workers_lose_nothing_and_do_nothing_twice(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store, nodes=12)
    rows, barrier = layered(made, 12)
    await made.graph(rows, [barrier])
    before_the_barrier: list[int] = []
    done: Counter[int] = Counter()

    async def work(number: int) -> None:
        chance = random.Random(number)
        while done.total() < len(rows):
            await wake(made)
            ids = await claim(made, "r1" if number % 2 else "r2", chance.randint(1, 3))
            if any(id > 200 for id in ids):
                before_the_barrier.extend(id for id in range(101, 113) if not done[id])
            await asyncio.sleep(chance.random() / 100)
            if ids:
                await complete(made, ids)
                done.update(ids)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(number) for number in range(8)))
    assert dict(done) == {row.id: 1 for row in rows}
    assert before_the_barrier == []
    assert {row.state for row in (await made.rows()).values()} == {State.ACTIVE}
    assert Counter(run.node_task for run in await made.store.views.runs("web")) == done


async def test_two_claims_at_once_never_take_two_tasks_of_one_scope(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store, nodes=2)
    await made.graph([made.row(id, "n1", f"t{id}") for id in range(1, 9)])
    taken = await asyncio.gather(*(claim(made, "r1", 4) for _ in range(6)))
    assert sorted(map(len, taken)) == [0, 0, 0, 0, 0, 1]


async def test_two_racks_that_share_a_scope_take_turns(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store, nodes=2)
    await made.graph([made.row(1, "n1", "a"), made.row(2, "n1", "b", rack=made.racks["r2"])])
    async with postgres_store.transaction() as slow:
        near = await slow.lock([row.id for row in await slow.claimable({made.racks["r1"]: 4}, NOW)])
        near.rows[1].state = State.TRANSITION
        near.touched.add(1)
        await slow.save(near)
        other = asyncio.create_task(claim(made, "r2", 4))
        await asyncio.sleep(0.1)
        assert not other.done(), "the index one_running makes the second wait for the first"
    assert await other == []


async def test_a_locked_row_is_left_out_of_a_claim(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store, nodes=4)
    await made.graph([made.row(1, "n1"), made.row(2, "n3")])
    async with postgres_store.transaction() as tx:
        await tx.lock([1])
        assert await claim(made, "r1", 4) == [2]


async def test_a_plan_is_computed_by_one_conductor_only(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)
    async with postgres_store.transaction() as one, postgres_store.transaction() as two:
        await one.lock_deployment(made.deployment)
        waiting = asyncio.create_task(two.lock_deployment(made.deployment))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await one.rollback()
        await waiting


async def test_a_race_for_an_address_ends_in_a_refusal(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)
    together = asyncio.Barrier(2)

    async def take(node: str) -> str:
        writes = [FactWrite(made.nodes[node], "desired.address", "10.0.0.1", "people")]
        try:
            async with postgres_store.transaction() as tx:
                await tx.put_facts(writes)
                await together.wait()
        except TryAgain:
            with pytest.raises(Conflict, match="n1 and n2"):
                async with postgres_store.transaction() as tx:
                    await tx.put_facts(writes)
            return "refused"
        return "taken"

    assert sorted(await asyncio.gather(take("n1"), take("n2"))) == ["refused", "taken"]


async def test_a_ring_of_waiting_transactions_is_told_to_try_again(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)
    await made.graph([made.row(1, "n1"), made.row(2, "n2")])
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> str:
        try:
            async with postgres_store.transaction() as tx:
                await tx.lock([first])
                await both.wait()
                await tx.lock([second])
        except TryAgain:
            return "again"
        return "done"

    assert sorted(await asyncio.gather(cross(1, 2), cross(2, 1))) == ["again", "done"]


async def test_a_reader_of_events_misses_nothing_while_others_write(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)
    await made.graph([made.row(1, "n1")])
    writing = True

    async def write(number: int) -> None:
        chance = random.Random(number)
        for turn in range(15):
            async with postgres_store.transaction() as tx:
                await tx.record([Event(kind="x", text=f"{number}.{turn}.0")])
                await asyncio.sleep(chance.random() / 50)
                near = await tx.lock([])
                near.runs = [
                    Run(
                        node_task=1,
                        deployment=made.deployment,
                        task=f"{number}.{turn}.1",
                        scope=made.nodes["n1"],
                        rack=None,
                        attempt=1,
                        outcome="active",
                        started_at=NOW,
                        ended_at=NOW,
                    )
                ]
                await tx.save(near)

    async def read() -> list[str]:
        found: list[str] = []
        cursor, resting = 0, 0
        while resting < 2:
            page = await postgres_store.views.events(after=cursor, limit=7)
            found += [entry["text"] if entry["kind"] == "x" else entry["task"] for entry in page]
            cursor = page[-1]["id"] if page else cursor
            resting = 0 if page or writing else resting + 1
            await asyncio.sleep(0.002)
        return found

    readers = [asyncio.create_task(read()) for _ in range(2)]
    await asyncio.gather(*(write(number) for number in range(6)))
    writing = False
    everything = sorted(f"{number}.{turn}.{part}" for number in range(6) for turn in range(15) for part in range(2))
    for reader in readers:
        assert sorted(await reader) == everything


async def test_an_open_transaction_holds_later_events_back(postgres_store: PostgresStore) -> None:
    async with postgres_store.transaction() as slow:
        await slow.record([Event(kind="x", text="first")])
        async with postgres_store.transaction() as fast:
            await fast.record([Event(kind="x", text="second")])
        assert await postgres_store.views.events() == []
    assert [event["text"] for event in await postgres_store.views.events()] == ["first", "second"]


async def test_ids_are_reserved_side_by_side(postgres_store: PostgresStore) -> None:
    async def reserve() -> list[int]:
        async with postgres_store.transaction() as tx:
            fresh, _ = await tx.reserve(500, 0)
            return list(fresh)

    ranges = await asyncio.gather(*(reserve() for _ in range(5)))
    assert len({id for found in ranges for id in found}) == 2500
    assert all(found == list(range(found[0], found[0] + 500)) for found in ranges)


async def test_a_waiting_lock_sees_the_new_shape_of_the_graph(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)
    await made.graph([made.row(1, "n1", feeds=(50,)), made.row(2, "n2")], [])
    async with postgres_store.transaction() as plan, postgres_store.transaction() as result:
        rows = await plan.graph_rows(made.deployment, "deploy")
        waiting = asyncio.create_task(result.lock([1, 2]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        rows[0].feeds = (51,)
        await plan.replace_graph(
            made.deployment, "deploy", insert=[], update=rows[:1], delete=[2],
            barriers=[Barrier(id=51, deployment=made.deployment, name="new", waits=1)],
        )  # fmt: skip
        await _commit_early(plan)
        near = await waiting
    assert sorted(near.rows) == [1]
    assert sorted(near.barriers) == [51]


async def _commit_early(plan: Transaction) -> None:
    """End a transaction before its block does, so that the other one inside the block can go on."""
    assert isinstance(plan, PostgresTransaction)
    await plan.run("commit")
    plan.over = True


async def test_the_index_lets_no_second_task_run_on_a_scope(postgres_store: PostgresStore, store_dsn: str) -> None:
    made = await world(postgres_store)
    await made.graph([made.row(1, "n1", "a", state=State.TRANSITION), made.row(2, "n1", "b")])
    connection = await asyncpg.connect(store_dsn)
    try:
        with pytest.raises(asyncpg.UniqueViolationError, match="one_running"):
            await connection.execute("UPDATE node_task SET state = 2 WHERE id = 2")
    finally:
        await connection.close()

    async def start_the_second() -> None:
        async with postgres_store.transaction() as tx:
            near = await tx.lock([2])
            near.rows[2].state = State.TRANSITION
            near.touched.add(2)
            await tx.save(near)

    with pytest.raises(TryAgain):
        await start_the_second()
