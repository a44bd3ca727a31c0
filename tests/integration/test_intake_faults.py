"""Results that cannot be taken as they are: they fail their own node task, and nothing else suffers."""

from __future__ import annotations

import asyncio
import time

import pytest

from rackwright.core.errors import RackwrightError
from rackwright.core.messages import Claim, Heartbeat, Result
from rackwright.core.node_task import State
from rackwright.engine import rollout, seating, timers
from rackwright.engine.changes import Changes
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok
from tests.integration.recount import faults

ROLES = "- {name: web}\n"
CHAIN = """
- {id: a, type: noop, roles: [web], writes: [site.a]}
- {id: b, type: noop, roles: [web], requires: [a]}
- {id: c, type: noop, roles: [web], requires: [b]}
- {id: d, type: noop, roles: [web], requires: [c]}
"""
ANOTHER = "- {id: z, type: noop, roles: [web], writes: [site.a]}\n"


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(nodes=3)
    return made


def says(claim: Claim) -> Result:
    """A good end of every task; a and z write the same fact."""
    return ok(claim, **({"site.a": claim.deployment} if claim.task in ("a", "z") else {}))


async def test_a_result_that_writes_what_it_may_not_blocks_everything_below(hands: Hands) -> None:
    """It says ok, and only here turns out to be a failure."""
    await hands.deployment(CHAIN, ROLES, bind={"web": ["n0"]})
    await hands.run(says)
    await hands.again("a")
    (claim,) = await hands.claim()
    (verdict,) = (await hands.give(ok(claim, **{"foreign.fact": 1}))).items
    assert (verdict.taken, verdict.reason) == (True, "failed")
    assert await hands.states() == {
        ("n0", "a"): "error",
        **{("n0", task): "blocked" for task in "bcd"},
    }
    assert await faults(hands.store, hands.views) == []
    await hands.again("a")
    assert await hands.run(says) == [("n0", task) for task in "abcd"]
    assert await faults(hands.store, hands.views) == []


async def test_a_fact_of_another_writer_fails_only_the_one_that_writes_it(hands: Hands) -> None:
    await hands.deployment(CHAIN, ROLES, bind={"web": ["n0"]})
    await hands.run(says)
    await hands.deployment(ANOTHER, ROLES, name="e", bind={"web": ["n0", "n1", "n2"]})
    held = await hands.claim()
    assert {claim.scope for claim in held} == {"n0", "n1", "n2"}
    verdicts = (await hands.give(*[says(claim) for claim in held])).items
    assert [verdict.id for verdict in verdicts] == [claim.id for claim in held]
    said = {claim.scope: verdict.reason for claim, verdict in zip(held, verdicts, strict=True)}
    assert said == {"n0": "failed", "n1": "active", "n2": "active"}
    states = await hands.states("e")
    assert states == {("n0", "z"): "error", ("n1", "z"): "active", ("n2", "z"): "active"}
    (task,) = await hands.views.tasks("e", state=State.ERROR.word)
    assert "task a" in task.reason
    assert await faults(hands.store, hands.views) == []


async def test_a_result_delivered_twice_counts_once(hands: Hands) -> None:
    await hands.deployment(CHAIN, ROLES, bind={"web": ["n0"]})
    (claim,) = await hands.claim()
    both = (await hands.give(says(claim), says(claim))).items
    assert [verdict.taken for verdict in both] == [True, False]
    again = (await hands.give(says(claim))).items
    assert [verdict.taken for verdict in again] == [False]
    assert [run.attempt for run in await hands.views.runs("d")] == [1]
    assert await faults(hands.store, hands.views) == []


async def test_a_result_that_waits_for_a_plan_sees_the_edges_that_it_adds(postgres_store: PostgresStore) -> None:
    """What is below is looked up before the lock is there; the plan adds to it in between."""
    hands = Hands(postgres_store, postgres_store.views)
    await hands.site(nodes=1)
    roles = ROLES + "- {name: extra}\n"
    await hands.deployment(
        CHAIN + "- {id: x, type: noop, roles: [extra], requires: [a]}\n", roles, bind={"web": ["n0"]}
    )
    (claim,) = await hands.claim()
    async with postgres_store.transaction() as tx:
        deployment = (await tx.named("deployment", ["d"]))["d"].id
        await tx.lock_deployment(deployment)
        await rollout.roll_out(tx, hands.library, deployment, Changes(bind={"extra": ["n0"]}))
        giving = asyncio.create_task(hands.give(says(claim)))
        await asyncio.sleep(0.3)
        assert not giving.done()
    assert [verdict.taken for verdict in (await giving).items] == [True]
    assert await faults(hands.store, hands.views) == []
    assert sorted(await hands.run(says)) == [("n0", task) for task in "bcdx"]


async def test_an_attempt_that_is_named_at_the_last_moment_is_held(postgres_store: PostgresStore) -> None:
    """The reaper has found its lease to be over, and waits for the lock that the heartbeat has."""
    hands = Hands(postgres_store, postgres_store.views)
    await hands.site(nodes=1)
    await hands.deployment(CHAIN, ROLES, bind={"web": ["n0"]})
    (claim,) = await hands.claim()
    late = time.time() + 60
    async with postgres_store.transaction() as tx:
        held = (hands.racks["r0"], "i", claim.id, claim.attempt)
        assert await tx.hold([held], late + 30) == {held}
        reaping = asyncio.create_task(timers.reap(hands.store, late))
        await asyncio.sleep(0.3)
        assert not reaping.done()
    assert await reaping == 0
    assert (await hands.states())["n0", "a"] == "transition"


async def test_a_clock_that_jumps_costs_an_attempt_and_nothing_else(hands: Hands) -> None:
    """An hour forward takes everything back; an hour backward lets racks that live go on."""
    await hands.deployment(CHAIN, ROLES, bind={"web": ["n0"]})
    (old,) = await hands.claim()
    assert await timers.reap(hands.store, time.time() + 3600) == 1
    assert [verdict.taken for verdict in (await hands.give(says(old))).items] == [False]
    (new,) = await hands.claim()
    assert new.attempt == old.attempt + 1
    beat = Heartbeat("i", [(new.id, new.attempt)])
    before = time.time() - 3600
    assert (await seating.heartbeat(hands.store, hands.racks["r0"], beat, before, 30.0)).cancel == []
    assert await timers.reap(hands.store, before) == 0
    assert [verdict.taken for verdict in (await hands.give(says(new))).items] == [True]
    assert await hands.run(says) == [("n0", task) for task in "bcd"]
    assert [run.outcome for run in await hands.views.runs("d", task="a")] == ["lost", "active"]
    assert await faults(hands.store, hands.views) == []


async def test_a_rack_of_an_old_incarnation_cannot_end_what_the_new_one_holds(hands: Hands) -> None:
    await hands.deployment(CHAIN, ROLES, bind={"web": ["n0"]})
    (old,) = await hands.claim(incarnation="old")
    (new,) = await hands.claim(incarnation="new")
    assert [verdict.taken for verdict in (await hands.give(says(old), incarnation="old")).items] == [False]
    beat = Heartbeat("old", [(new.id, new.attempt)])
    answer = await seating.heartbeat(hands.store, hands.racks["r0"], beat, time.time(), 30.0)
    assert answer.cancel == [(new.id, new.attempt)]
    assert [verdict.taken for verdict in (await hands.give(says(new), incarnation="new")).items] == [True]
    assert await hands.run(says) == [("n0", task) for task in "bcd"]
    assert await faults(hands.store, hands.views) == []


async def test_a_cycle_is_refused_with_its_path(hands: Hands) -> None:
    ring = "".join(f"- {{id: {a}, type: noop, roles: [web], requires: [{b}]}}\n" for a, b in ("ab", "bc", "ca"))
    with pytest.raises(RackwrightError) as refused:
        await hands.deployment(ring, ROLES, bind={"web": ["n0"]})
    told = " ".join([str(refused.value), *getattr(refused.value, "faults", ())])
    assert "a -> b" in told or "b -> a" in told, told


async def test_the_slow_check_retries_nothing(hands: Hands) -> None:
    """What has failed stays in error, and what waits for its next try keeps waiting."""
    tasks = CHAIN + "- {id: s, type: noop, roles: [web], retry: {attempts: 3, delay: 600}}\n"
    await hands.deployment(tasks, ROLES, bind={"web": ["n0"]})
    await hands.run(failed)
    before = await hands.rows()
    assert before["n0", "a"].state is State.ERROR
    assert (before["n0", "s"].tries, before["n0", "s"].not_before > time.time() + 100) == (1, True)
    assert await timers.sweep(hands.store, hands.library, 0) == (max(row.id for row in before.values()), 0)
    assert await hands.rows() == before
