"""Heartbeats: a rack that lives keeps what it has named, however long the region takes over its results."""

from __future__ import annotations

import asyncio
import time

import pytest

from rackwright.core.errors import Conflict, TryAgain
from rackwright.core.messages import Claim, ClaimRequest, Heartbeat, HeartbeatAnswer, Results, Verdicts
from rackwright.core.node_task import HELD
from rackwright.core.seats import Holder
from rackwright.engine import claims, rack_requests, seating, timers
from rackwright.engine.transact import transact
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, ok

TASKS = "[{id: a, type: noop, roles: [web], required_for: [b]}, {id: b, type: noop, roles: [web]}]"
ROLES = "[{name: web}]"
LEASE = 30.0


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(nodes=6, racks=3)
    await made.deployment(TASKS, ROLES, bind={"web": [f"n{number}" for number in range(6)]})
    return made


async def beat(
    hands: Hands, held: list[Claim], now: float, rack: str = "r0", incarnation: str = "i"
) -> HeartbeatAnswer:
    named = Heartbeat(incarnation, [(claim.id, claim.attempt) for claim in held])
    return await seating.heartbeat(hands.store, hands.racks[rack], named, now, LEASE)


async def test_what_was_named_once_is_held_for_as_long_as_the_rack_is_heard_of(hands: Hands) -> None:
    held, now = await hands.claim(), time.time()
    assert len(held) == 2
    assert (await beat(hands, held, now + 10)).cancel == []
    assert {(await hands.rows())[claim.scope, claim.task].lease_until for claim in held} == {HELD}
    for minute in range(1, 10):
        assert (await beat(hands, [], now + 20 * minute)).cancel == []
        assert await timers.reap(hands.store, now + 20 * minute + 19) == 0
    assert await timers.reap(hands.store, now + 180 + LEASE + 1) == 2
    assert (await beat(hands, held, now + 220)).cancel == [(claim.id, claim.attempt) for claim in held]


async def test_a_node_task_whose_claim_never_arrived_comes_back_while_its_rack_lives(hands: Hands) -> None:
    lost, now = await hands.claim(capacity=1), time.time()
    kept = await hands.claim(capacity=1)
    for later in (10, 20, 29):
        assert (await beat(hands, kept, now + later)).cancel == []
    assert await timers.reap(hands.store, now + LEASE + 2) == 1
    states = await hands.states()
    assert [states[claim.scope, claim.task] for claim in (*lost, *kept)] == ["todo", "transition"]


async def test_of_many_racks_that_fall_silent_at_once_nothing_is_taken_before_long(store: AnyStore) -> None:
    many = Hands(store, store.views)
    await many.site(nodes=timers.MANY, racks=timers.MANY)
    await many.deployment(TASKS, ROLES, bind={"web": [f"n{number}" for number in range(timers.MANY)]})
    held, now = {rack: await many.claim(rack) for rack in many.racks}, time.time()
    for rack, own in held.items():
        assert (await beat(many, own, now + 10, rack)).cancel == []
    assert await timers.reap(store, now + 10 + LEASE + 1) == 0
    assert (await beat(many, held["r0"], now + 60, "r0")).cancel == []
    # One less is not many any more.
    assert await timers.reap(store, now + 61) == timers.MANY - 1


async def test_what_many_racks_held_that_stay_silent_comes_back_in_the_end(store: AnyStore) -> None:
    many = Hands(store, store.views)
    await many.site(nodes=timers.MANY, racks=timers.MANY)
    await many.deployment(TASKS, ROLES, bind={"web": [f"n{number}" for number in range(timers.MANY)]})
    for rack in many.racks:
        await many.claim(rack)
    later = time.time() + LEASE + timers.BENEFIT
    assert await timers.reap(store, later - 2) == 0
    assert await timers.reap(store, later + 2) == timers.MANY


async def test_one_that_was_handed_out_only_now_is_written_once_less(hands: Hands) -> None:
    held, now = await hands.claim(), time.time()
    assert (await beat(hands, held, now + 1)).cancel == []
    assert HELD not in {row.lease_until for row in (await hands.rows()).values()}


async def test_what_a_process_left_when_it_ended_comes_back_at_once(hands: Hands) -> None:
    held, now = await hands.claim(), time.time()
    await beat(hands, held, now + 10)
    async with hands.store.transaction() as tx:
        await tx.keep_seats([(hands.racks["r0"], "i", now + 11)], now + 11)
    assert await timers.reap(hands.store, now + 12) == 2


async def test_a_heartbeat_waits_neither_for_requests_for_work_nor_for_results(postgres_store: PostgresStore) -> None:
    hands = Hands(postgres_store, postgres_store.views)
    await hands.site(nodes=2)
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0", "n1"]})
    held, now = await hands.claim(), time.time()
    async with postgres_store.transaction() as tx:
        await tx.seats([hands.racks["r0"]])
        await tx.lock([claim.id for claim in held])
        async with asyncio.timeout(60):
            answer = await beat(hands, held, now + 25)
    assert (answer.cancel, answer.lost) == ([], False)
    assert await timers.reap(hands.store, now + 26) == 0


async def test_a_heartbeat_does_not_wait_for_its_own_seat_either(postgres_store: PostgresStore) -> None:
    hands = Hands(postgres_store, postgres_store.views)
    await hands.site(nodes=2)
    await hands.claim()
    rack, now = hands.racks["r0"], time.time()
    async with postgres_store.transaction() as tx:
        await tx.keep_seats([(rack, "i", now + LEASE)], now)
        async with asyncio.timeout(60):
            assert not (await beat(hands, [], now + 1)).lost
            assert (await beat(hands, [], now + 1, incarnation="another")).lost


async def test_of_many_racks_those_that_another_transaction_has_are_put_off(postgres_store: PostgresStore) -> None:
    hands = Hands(postgres_store, postgres_store.views)
    await hands.site(nodes=6, racks=3)
    await hands.deployment(TASKS, ROLES, bind={"web": [f"n{number}" for number in range(6)]})
    racks, wanted = list(hands.racks.values()), ClaimRequest(incarnation="i", capacity=9)
    requests = rack_requests.RackRequests(hands.store, hands.library, time.time, LEASE)
    async with postgres_store.transaction() as tx:
        await tx.seats([racks[0]])
        busy = asyncio.create_task(requests.claim(racks[0], wanted))
        given = await asyncio.gather(*[requests.claim(rack, wanted) for rack in (*racks[1:], 987654)])
        assert [len(each) for each in given] == [2, 2, 0]
        assert not busy.done()
    assert len(await busy) == 2


async def test_nobody_takes_a_seat_that_is_renewed_at_the_last_moment(postgres_store: PostgresStore) -> None:
    hands = Hands(postgres_store, postgres_store.views)
    await hands.site(nodes=2)
    await hands.claim()
    rack, later = hands.racks["r0"], time.time() + 100
    async with postgres_store.transaction() as tx:
        _, holders, _ = await tx.seats([rack])
        assert not (await beat(hands, [], later)).lost
        with pytest.raises(TryAgain):
            await tx.seat({rack: (holders[rack], Holder("other", "there", later + LEASE))}, later)
    other = ClaimRequest(incarnation="other", seat="there", capacity=1)
    with pytest.raises(Conflict, match="another process works for this rack"):
        await claims.claim(hands.store, hands.library, rack, other, later, LEASE)


async def test_a_process_that_has_lost_its_rack_is_told_so_and_renews_nothing(hands: Hands) -> None:
    held, now = await hands.claim(), time.time()
    again = await hands.claim(incarnation="newer")
    assert {claim.id for claim in again} == {claim.id for claim in held}
    answer = await beat(hands, held, now + 5)
    assert (answer.lost, answer.cancel) == (True, [(claim.id, claim.attempt) for claim in held])
    assert (await beat(hands, again, now + 5, incarnation="newer")).cancel == []


async def test_racks_that_there_is_too_much_for_in_one_transaction_get_theirs_in_the_next(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HANDED", 3)
    requests = rack_requests.RackRequests(hands.store, hands.library, time.time, LEASE)
    wanted, racks = ClaimRequest(incarnation="i", capacity=9), list(hands.racks.values())
    given = await asyncio.gather(*[requests.claim(rack, wanted) for rack in racks])
    assert [len(each) for each in given] == [2, 2, 2]
    batches = [Results("i", list(map(ok, each)), wanted) for each in given]
    found = await asyncio.gather(*map(requests.exchange, racks, batches))
    assert [verdict.taken for verdicts in found for verdict in verdicts.items] == [True] * 6
    assert [len(verdicts.next.items) if verdicts.next else 0 for verdicts in found] == [2, 0, 0]
    assert [len(await requests.claim(rack, wanted)) for rack in racks[1:]] == [2, 2]


async def test_racks_without_work_take_no_turn(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    await hands.run()
    monkeypatch.setattr(claims, "HANDED", 1)
    asked = [(rack, Results("i", [], ClaimRequest(incarnation="i", capacity=9))) for rack in hands.racks.values()]
    found = await transact(hands.store, lambda tx: claims.exchange_all(tx, hands.library, asked, time.time(), LEASE))
    assert [isinstance(answer, Verdicts) for answer in found] == [True] * 3
