"""Beats of processes: the same on both stores."""

from __future__ import annotations

import time

import msgspec
import pytest

from rackwright.core.jobs import Job
from rackwright.core.ports import Deployment, PlanRecord
from rackwright.core.services import LOST_AFTER, RACK_LOST_AFTER, Beat, Family, Point, Process, service_state
from rackwright.store.memory import MemoryStore
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore


def beat(id: str, number: int = 1, *, kind: str = "api", state: str = "running", sample: bytes = b"[]") -> Beat:
    process = Process(id=id, kind=kind, name=f"{kind} {id}", host="h", pid=7, version="1.2", started_at=5.0)
    return msgspec.convert(
        {"process": process, "number": number, "state": state, "loop_lag": 0.25, "sample": sample}, Beat
    )


async def test_a_process_is_shown_as_it_last_told_of_itself(store: AnyStore) -> None:
    await store.roster.beat([beat("b", kind="conductor"), beat("a")])
    await store.roster.beat([beat("a", 2, state="draining")])
    api, conductor = await store.roster.services()
    assert (api.kind, api.name, api.host, api.pid, api.version, api.started_at) == ("api", "api a", "h", 7, "1.2", 5.0)
    assert (api.state, conductor.state, api.loop_lag) == ("draining", "running", 0.25)
    assert api.seen_at >= conductor.seen_at


async def test_a_process_that_has_ended_is_not_shown_and_a_late_beat_does_not_bring_it_back(store: AnyStore) -> None:
    await store.roster.beat([beat("a", 1), beat("a", 2, state="ended")])
    await store.roster.beat([beat("a", 1)])
    assert await store.roster.services() == []


async def test_samples_come_back_as_they_were_given(store: AnyStore) -> None:
    family = Family("x", "an x", "gauge", [Point("x", {"method": "GET"}, 2.5)])
    await store.roster.beat([beat("a", sample=msgspec.json.encode([family]))])
    [(service, families)] = await store.roster.samples()
    assert (service.name, families) == ("api a", [family])


async def test_empty_queues_say_so(store: AnyStore) -> None:
    queues = {queue.name: queue for queue in await store.roster.queues()}
    assert set(queues) == {"plan", "lease", "barrier", "node_task", "hook", "job"}
    assert {(queue.depth, queue.oldest) for queue in queues.values()} == {(0, None)}


async def test_a_queue_tells_for_how_long_the_oldest_has_waited(store: AnyStore) -> None:
    async with store.transaction() as tx:
        deployment = await tx.add_deployment(Deployment(id=0, name="d"))
        await tx.add_plan(PlanRecord(id=0, deployment=deployment, changes={}, apply=True, created_at=time.time() - 60))
        await tx.defer(Job(kind="later", not_before=time.time() + 60))
        await tx.defer(Job(kind="now", not_before=time.time() - 30))
    queues = {queue.name: queue for queue in await store.roster.queues()}
    plan, job = queues["plan"], queues["job"]
    assert (plan.depth, job.depth) == (1, 1)
    assert plan.oldest is not None
    assert job.oldest is not None
    assert 60 <= plan.oldest < 120
    assert 30 <= job.oldest < 90


async def test_beats_write_over_one_row_and_old_rows_go(postgres_store: PostgresStore) -> None:
    roster = postgres_store.roster
    for number in range(1, 4):
        await roster.beat([beat("a", number), beat("b", number)])
    async with postgres_store._pool.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM service") == 2
        await connection.execute("UPDATE service SET seen_at = seen_at - $1 WHERE id = 'a'", LOST_AFTER + 5)
        await connection.execute("UPDATE service SET seen_at = 0 WHERE id = 'b'")
        assert [service.state for service in await roster.services()] == ["lost", "lost"]
        assert await roster.samples() == []
        await roster.beat([beat("c")])
        assert [row[0] for row in await connection.fetch("SELECT id FROM service ORDER BY id")] == ["a", "c"]


async def test_memory_forgets_too() -> None:
    now = [1000.0]
    store = MemoryStore()
    store.roster._clock = lambda: now[0]
    await store.roster.beat([beat("a")])
    now[0] += LOST_AFTER + 1
    assert [service.state for service in await store.roster.services()] == ["lost"]
    now[0] += 10_000
    await store.roster.beat([])
    assert await store.roster.services() == []


@pytest.mark.parametrize(
    ("kind", "age", "state"),
    [("api", LOST_AFTER, "running"), ("api", LOST_AFTER + 1, "lost"), ("rack", RACK_LOST_AFTER, "running"),
     ("rack", RACK_LOST_AFTER + 1, "lost")],
)  # fmt: skip
def test_a_rack_has_more_time_before_it_counts_as_lost(kind: str, age: float, state: str) -> None:
    assert service_state(kind, "running", age) == state
