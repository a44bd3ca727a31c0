"""Results that ask for the next node tasks, and who may ask for a rack. On both stores."""

from __future__ import annotations

import time

import pytest

from rackwright.core.errors import Conflict
from rackwright.core.messages import Claim, ClaimRequest, Heartbeat, Result, Results, Verdicts
from rackwright.core.services import Beat, Process
from rackwright.engine import claims, orders, seating
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

TASKS = """
- {id: t0, type: noop, roles: [web]}
- {id: t1, type: noop, roles: [web], requires: [t0], writes: [web.said]}
- {id: t2, type: noop, roles: [web], requires: [t1], reads: {said: web.said}}
"""
ROLES = "[{name: web}]"
NODES = ["n0", "n1", "n2"]


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(3)
    await made.deployment(TASKS, ROLES, bind={"web": NODES})
    return made


async def exchange(hands: Hands, *results: Result, capacity: int = 100) -> Verdicts:
    batch = Results("i", list(results), ClaimRequest(incarnation="i", capacity=capacity))
    return await claims.exchange(hands.store, hands.library, hands.racks["r0"], batch, time.time(), 30.0)


def named(found: Verdicts) -> list[str]:
    assert found.next is not None
    return sorted(f"{claim.task} {claim.scope}" for claim in found.next.items)


async def test_results_bring_the_next_node_tasks_until_all_are_active(hands: Hands) -> None:
    held, rounds = await hands.claim(), 0
    while held:
        found = await exchange(hands, *[ok(claim, **dict.fromkeys(claim.writes, "yes")) for claim in held])
        assert all(verdict.taken for verdict in found.items)
        assert found.next is not None
        held, rounds = found.next.items, rounds + 1
    assert rounds == 3
    assert set((await hands.states()).values()) == {"active"}


async def test_where_no_task_has_an_expression_their_language_is_not_made(hands: Hands) -> None:
    await exchange(hands, *[ok(claim) for claim in await hands.claim()])
    assert "evaluator" not in vars(hands.library), "it takes a third of a second, for which nobody is answered"


async def test_as_many_are_given_as_were_asked_for(hands: Hands) -> None:
    held = await hands.claim()
    assert named(await exchange(hands, *[ok(claim) for claim in held], capacity=2)) == ["t1 n0", "t1 n1"]


async def test_what_a_result_writes_is_seen_by_the_next_node_task(hands: Hands) -> None:
    await exchange(hands, *[ok(claim) for claim in await hands.claim(capacity=1)], capacity=0)
    (claim,) = [claim for claim in await hands.claim(capacity=3) if claim.task == "t1"]
    assert named(await exchange(hands, ok(claim, **{"web.said": "yes"}))) == ["t2 n0"]


async def test_nothing_is_handed_out_with_a_failure_for_waves_are_judged_first(hands: Hands) -> None:
    held = await hands.claim()
    found = await exchange(hands, failed(held[0]), *[ok(claim) for claim in held[1:]])
    assert [verdict.reason for verdict in found.items] == ["failed", "active", "active"]
    assert found.next is None


async def test_a_result_that_turns_out_bad_brings_nothing_either(hands: Hands) -> None:
    held = await hands.claim()
    found = await exchange(hands, *[ok(claim, **{"web.strange": 1}) for claim in held])
    assert [verdict.reason for verdict in found.items] == ["failed"] * 3
    assert found.next is None


async def test_nothing_is_handed_out_where_limits_are_set(hands: Hands) -> None:
    held = await hands.claim()
    await orders.set_limit(hands.store, 2, rack="r0")
    found = await exchange(hands, *[ok(claim) for claim in held])
    assert found.next is None
    assert len(await hands.claim()) == 2


async def test_results_that_are_repeated_change_nothing_and_may_bring_work(hands: Hands) -> None:
    held = [ok(claim) for claim in await hands.claim()]
    await exchange(hands, *held, capacity=1)
    found = await exchange(hands, *held)
    assert not any(verdict.taken for verdict in found.items)
    assert named(found) == ["t1 n1", "t1 n2"]


async def test_results_that_cannot_be_stored_are_the_failure_of_their_own_node_tasks(hands: Hands) -> None:
    await exchange(hands, *[ok(claim) for claim in await hands.claim()], capacity=0)
    held = await hands.claim()
    bad = ok(held[0], **{"web.said": "a\0b"})
    found = await exchange(hands, bad, *[ok(claim) for claim in held[1:]])
    assert [verdict.reason for verdict in found.items] == ["failed", "active", "active"]


def seated(incarnation: str, seat: str) -> ClaimRequest:
    return ClaimRequest(incarnation=incarnation, seat=seat, capacity=1, wait=0)


async def ask(hands: Hands, incarnation: str, seat: str, now: float) -> list[Claim]:
    request = seated(incarnation, seat)
    return await claims.claim(hands.store, hands.library, hands.racks["r0"], request, now, 30.0)


async def test_a_second_live_process_is_refused_and_the_first_keeps_what_it_holds(hands: Hands) -> None:
    now = time.time()
    (held,) = await ask(hands, "first", "here", now)
    for later in (1, 20):
        with pytest.raises(Conflict, match="another process works for this rack"):
            await ask(hands, "second", "there", now + later)
    beat = Heartbeat("first", [(held.id, held.attempt)])
    answer = await seating.heartbeat(hands.store, hands.racks["r0"], beat, now + 25, 30.0)
    assert answer.cancel == []
    with pytest.raises(Conflict):
        await ask(hands, "second", "there", now + 40)


async def test_a_second_process_takes_over_when_the_lease_of_the_first_has_ended(hands: Hands) -> None:
    now = time.time()
    (held,) = await ask(hands, "first", "here", now)
    (again,) = await ask(hands, "second", "there", now + 31)
    assert (again.id, again.attempt) == (held.id, held.attempt + 1)


async def test_a_new_start_on_the_same_seat_gets_at_once_what_the_one_before_held(hands: Hands) -> None:
    now = time.time()
    (held,) = await ask(hands, "first", "here", now)
    (again,) = await ask(hands, "second", "here", now + 1)
    assert (again.id, again.attempt) == (held.id, held.attempt + 1)


async def test_a_process_that_says_farewell_leaves_its_rack_free(hands: Hands) -> None:
    now = time.time()
    await ask(hands, "first", "here", now)
    process = Process(id="x", kind="rack", name="r0", host="h", pid=1, version="1", started_at=now)
    last = Heartbeat("first", process=Beat(process=process, number=1, state="ended"))
    await seating.heartbeat(hands.store, hands.racks["r0"], last, now + 1, 30.0)
    assert await ask(hands, "second", "there", now + 2)


async def test_the_results_of_a_process_that_lost_its_rack_bring_it_nothing(hands: Hands) -> None:
    now = time.time()
    (held,) = await ask(hands, "first", "here", now)
    await ask(hands, "second", "there", now + 31)
    batch = Results("first", [ok(held)], seated("first", "here"))
    found = await claims.exchange(hands.store, hands.library, hands.racks["r0"], batch, now + 32, 30.0)
    assert (found.items[0].taken, found.next) == (False, None)
