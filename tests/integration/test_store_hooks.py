"""Hooks and jobs in both stores: who is told what, in which order, and how often."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from rackwright.core import annealing
from rackwright.core.errors import Conflict, NotFound
from rackwright.core.hooks import MOST_TRIES, Delivery, Happening, Message, Subscription, settle
from rackwright.core.jobs import Job
from rackwright.core.node_task import State
from rackwright.core.ports import Membership
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, undone, world

CHANGED = ("node_task.proposed", "node_task.todo", "node_task.blocked")


async def subscribed(store: AnyStore, name: str = "hook", **fields: Any) -> int:
    wanted: dict[str, Any] = {"kind": "webhook", "events": CHANGED, "target": "http://127.0.0.1:1"} | fields
    async with store.transaction() as tx:
        return await tx.subscribe(Subscription(name=name, **wanted))


async def waiting(store: AnyStore, subscription: int) -> list[Message]:
    async with undone(store) as tx:
        return await tx.messages(subscription, state="waiting")


async def taken(store: AnyStore, subscription: int, now: float = NOW, limit: int = 8) -> list[Message]:
    async with store.transaction() as tx:
        return await tx.take_messages(subscription, limit, now, now + 10)


async def ended(store: AnyStore, *messages: Message, error: str = "", now: float = NOW) -> None:
    settled = [
        settle(message, Delivery(message=message.id, number=message.tries, at=now, took=0.0, error=error), chance=0.5)
        for message in messages
    ]
    async with store.transaction() as tx:
        await tx.settle_messages(settled)


async def happened(store: AnyStore, *ids: int, event: str = "node_task.todo") -> None:
    async with store.transaction() as tx:
        await tx.announce([Happening(event=event, id=id) for id in ids])


async def proposed(made: World, *ids: int) -> None:
    async with made.store.transaction() as tx:
        near = await tx.lock(ids)
        for row in near.rows.values():
            annealing.propose(near, row)
        await tx.save(near)


async def test_a_move_is_told_to_who_wants_it_with_the_names_of_all_it_concerns(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1"), made.row(2, "n2", task="start")])
    hook = await subscribed(store, deployment=made.deployment, tasks=("install",))
    deaf = await subscribed(store, "deaf", events=("node_task.active",))
    await proposed(made, 1, 2)
    (message,) = await waiting(store, hook)
    assert (message.event, message.object, message.tries) == ("node_task.proposed", "node_task/1", 0)
    assert message.data == {
        "graph": "deploy", "was": "todo", "task": "install", "deployment": "web", "scope": "n1", "rack": "r1",
    }  # fmt: skip
    assert await waiting(store, deaf) == []


async def test_what_is_undone_is_told_to_nobody(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1")])
    hook = await subscribed(store)
    async with undone(store) as tx:
        near = await tx.lock([1])
        annealing.propose(near, near.rows[1])
        await tx.save(near)
        assert len(await tx.messages(hook)) == 1
    assert await waiting(store, hook) == []


async def test_a_hook_of_a_role_hears_of_the_nodes_that_have_it(store: AnyStore) -> None:
    made = await world(store)
    member = Membership(
        deployment=made.deployment, scope=made.nodes["n1"], name="n1", rack=None, roles=("front",), tags=("front",)
    )
    async with store.transaction() as tx:
        await tx.set_members(made.deployment, [member])
    hook = await subscribed(store, deployment=made.deployment, role="front", events=(*CHANGED, "node.changed"))
    await made.graph([made.row(1, "n1"), made.row(2, "n2")])
    await proposed(made, 1, 2)
    async with store.transaction() as tx:
        changed = [Happening(event="node.changed", id=id, scope=id) for id in made.nodes.values()]
        await tx.announce(changed)
    assert [message.object for message in await waiting(store, hook)] == ["node_task/1", f"node/{made.nodes['n1']}"]


async def test_of_one_object_the_next_is_given_only_when_the_one_before_is_through(store: AnyStore) -> None:
    hook = await subscribed(store)
    await happened(store, 1, 2, 1, 2)
    first = await taken(store, hook)
    assert [message.object for message in first] == ["node_task/1", "node_task/2"]
    assert await taken(store, hook) == []
    await ended(store, first[0])
    (second,) = await taken(store, hook)
    assert second.object == "node_task/1"
    assert second.id > first[1].id


async def test_what_failed_comes_again_later_under_the_same_key_and_before_what_follows(store: AnyStore) -> None:
    hook = await subscribed(store)
    await happened(store, 1, 1)
    (first,) = await taken(store, hook)
    await ended(store, first, error="it answered 500")
    assert await taken(store, hook, NOW + 0.5) == []
    (again,) = await taken(store, hook, NOW + 2)
    assert (again.id, again.key, again.tries, again.error) == (first.id, first.key, 2, "it answered 500")


async def test_what_nobody_settles_comes_again_and_the_late_end_of_the_first_is_only_logged(store: AnyStore) -> None:
    hook = await subscribed(store)
    await happened(store, 1)
    (first,) = await taken(store, hook)
    async with undone(store) as tx:
        assert await tx.due(NOW + 9) == []
        assert await tx.due(NOW + 11) == [hook]
    (second,) = await taken(store, hook, NOW + 11)
    await ended(store, first, error="too late")
    async with undone(store) as tx:
        assert [message.error for message in await tx.messages(hook)] == [""]
        assert [delivery.error for delivery in await tx.deliveries(hook)] == ["too late"]
    await ended(store, second)
    assert await waiting(store, hook) == []


async def test_what_keeps_failing_is_parked_until_a_person_has_it_retried(store: AnyStore) -> None:
    hook = await subscribed(store)
    await happened(store, 1, 1)
    now = NOW
    for _ in range(MOST_TRIES):
        (message,) = await taken(store, hook, now)
        await ended(store, message, error="no", now=now)
        now += 4000
    async with undone(store) as tx:
        (parked,) = await tx.messages(hook, state="parked")
    assert (parked.id, parked.error) == (message.id, "no")
    (following,) = await taken(store, hook, now)
    assert following.id > parked.id
    async with store.transaction() as tx:
        assert await tx.redeliver(hook, None) == 1
    (again,) = await taken(store, hook, now)
    assert (again.id, again.tries) == (parked.id, 1)


async def test_a_delivered_message_can_be_asked_for_again_by_its_key(store: AnyStore) -> None:
    hook = await subscribed(store)
    await happened(store, 1, 2)
    both = await taken(store, hook)
    await ended(store, *both)
    async with store.transaction() as tx:
        assert await tx.redeliver(hook, [both[1].key, "no key"]) == 1
    assert [message.key for message in await taken(store, hook)] == [both[1].key]


async def test_old_delivered_messages_are_forgotten_with_their_deliveries(store: AnyStore) -> None:
    hook = await subscribed(store)
    await happened(store, 1, 2)
    first, _ = await taken(store, hook)
    await ended(store, first)
    async with store.transaction() as tx:
        assert await tx.forget_messages(0.0, 8) == 0
        assert await tx.forget_messages(first.at + 1, 8) == 1
        assert await tx.deliveries(hook) == []
        assert len(await tx.messages(hook)) == 1


async def test_a_hook_of_a_deployment_that_is_gone_stays_until_it_is_told(store: AnyStore) -> None:
    made = await world(store)
    hook = await subscribed(store, deployment=made.deployment, events=("deployment.deleted",))
    async with store.transaction() as tx:
        await tx.announce([Happening(event="deployment.deleted", id=made.deployment, deployment=made.deployment)])
        await tx.remove(made.deployment)
    async with store.transaction() as tx:
        await tx.forget_messages(0.0, 8)
    (message,) = await taken(store, hook)
    assert message.data["deployment"] == "web"
    await ended(store, message)
    async with store.transaction() as tx:
        await tx.forget_messages(0.0, 8)
        assert await tx.subscriptions() == []


async def test_a_name_is_of_one_kind_of_hook(store: AnyStore) -> None:
    first = await subscribed(store)
    assert await subscribed(store, target="http://127.0.0.1:2") == first
    with pytest.raises(Conflict, match="already a hook called hook"):
        await subscribed(store, kind="python")


async def test_a_row_that_runs_tells_its_transition_once(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1")])
    hook = await subscribed(store, events=("node_task.transition",))
    async with store.transaction() as tx:
        near = await tx.lock([1])
        annealing.claim(near, near.rows[1], fingerprint=b"f", incarnation="i", now=NOW, until=NOW + 30)
        await tx.save(near)
    assert [message.event for message in await waiting(store, hook)] == ["node_task.transition"]
    assert (await made.rows())[1].state is State.TRANSITION


async def test_of_the_jobs_with_one_queueing_lock_one_waits(store: AnyStore) -> None:
    async with store.transaction() as tx:
        first = await tx.defer(Job(kind="k", arguments={"a": [1]}, lock="l", queueing_lock="q", not_before=NOW))
        assert await tx.defer(Job(kind="k", queueing_lock="q")) is None
        other = await tx.defer(Job(kind="k"))
    assert first is not None
    async with undone(store) as tx:
        jobs = await tx.jobs()
        assert [(job.id, job.kind, job.state, job.not_before) for job in jobs] == [
            (first, "k", "todo", NOW), (other, "k", "todo", None),
        ]  # fmt: skip
        assert jobs[0].arguments == {"a": [1]}


async def test_a_job_of_a_transaction_that_is_undone_was_never_asked_for(store: AnyStore) -> None:
    async with undone(store) as tx:
        await tx.defer(Job(kind="k"))
    async with undone(store) as tx:
        assert await tx.jobs() == []


async def test_a_job_that_waits_can_be_cancelled_once(store: AnyStore) -> None:
    async with store.transaction() as tx:
        id = await tx.defer(Job(kind="k"))
        assert id is not None
        await tx.cancel_job(id)
    async with undone(store) as tx:
        assert [job.state for job in await tx.jobs()] == ["cancelled"]
        with pytest.raises(Conflict, match="is cancelled"):
            await tx.cancel_job(id)
        with pytest.raises(Conflict, match="only one that failed"):
            await tx.retry_job(id)
        with pytest.raises(NotFound):
            await tx.retry_job(id + 1000)


async def test_a_job_whose_worker_is_gone_comes_back_and_after_its_limit_fails(
    store_dsn: str, postgres_store: AnyStore
) -> None:
    async with postgres_store.transaction() as tx:
        id = await tx.defer(Job(kind="k"))
    connection = await asyncpg.connect(store_dsn)
    started = "UPDATE procrastinate.procrastinate_jobs SET status = 'doing' WHERE id = $1"
    try:
        for attempt in range(2):
            await connection.execute(f"SET search_path = procrastinate; {started.replace('$1', str(id))}")
            async with postgres_store.transaction() as tx:
                assert await tx.recover_jobs(15.0, 2) == ((1, 0) if attempt == 0 else (0, 1))
        async with postgres_store.transaction() as tx:
            assert [job.state for job in await tx.jobs()] == ["failed"]
            assert id is not None
            await tx.retry_job(id)
            assert [job.state for job in await tx.jobs()] == ["todo"]
            assert await tx.recover_jobs(15.0, 2) == (0, 0)
    finally:
        await connection.close()


async def test_a_job_that_is_lost_is_dropped_when_another_one_waits_in_its_place(
    store_dsn: str, postgres_store: AnyStore
) -> None:
    async with postgres_store.transaction() as tx:
        await tx.defer(Job(kind="k", queueing_lock="q"))
    connection = await asyncpg.connect(store_dsn)
    try:
        await connection.execute("SET search_path = procrastinate; UPDATE procrastinate_jobs SET status = 'doing'")
    finally:
        await connection.close()
    async with postgres_store.transaction() as tx:
        second = await tx.defer(Job(kind="k", queueing_lock="q"))
        assert await tx.recover_jobs(15.0, 5) == (0, 0)
        assert [(job.id, job.state) for job in await tx.jobs()] == [(second, "todo")]
