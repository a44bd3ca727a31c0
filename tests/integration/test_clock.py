"""The store's clock is set by hours: no lease ends at once, none lasts for ever, and what waits goes on waiting."""

from __future__ import annotations

import time

import pytest

from rackwright.core.clocks import FAR, SharedClock
from rackwright.core.messages import Result
from rackwright.core.node_task import State
from rackwright.core.ports import Transaction
from rackwright.engine import annealer, clock, timers
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands
from tests.integration.store_world import world

HOURS = 3 * 3600.0


class Set:
    """A store whose clock somebody can set."""

    by = 0.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, transaction: type[Transaction]) -> None:
        told = transaction.clock

        async def clock(tx: Transaction) -> float:
            return await told(tx) + self.by

        monkeypatch.setattr(transaction, "clock", clock)


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(2)
    await made.deployment("- {id: t, type: noop, roles: [web]}", "- {name: web}", bind={"web": ["n0", "n1"]})
    return made


@pytest.fixture
async def clock_of(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> Set:
    async with hands.store.transaction() as tx:
        return Set(monkeypatch, type(tx))


@pytest.mark.parametrize("by", [HOURS, -HOURS])
async def test_a_clock_that_is_set_ends_no_lease_at_once(hands: Hands, clock_of: Set, by: float) -> None:
    shared = clock.shared_clock()
    assert await annealer.reap(hands.store, shared) == 0
    assert len(await hands.claim()) == 2
    clock_of.by = by
    assert await annealer.reap(hands.store, shared) == 0
    assert {row.state for row in (await hands.rows()).values()} == {State.TRANSITION}
    assert shared() == pytest.approx(time.time() + by, abs=30)


async def test_when_the_clock_has_settled_what_nobody_prolonged_comes_back(hands: Hands, clock_of: Set) -> None:
    steady = 0.0
    shared = SharedClock(lambda: time.monotonic() + steady, time.time)
    await annealer.reap(hands.store, shared)
    await hands.claim()
    clock_of.by = HOURS
    await annealer.reap(hands.store, shared)
    steady = 100.0
    clock_of.by += 100.0
    assert await annealer.reap(hands.store, shared) == 2


async def test_a_lease_of_a_clock_that_was_set_back_does_not_last_for_ever(hands: Hands) -> None:
    await hands.claim(lease=HOURS)
    assert await timers.reap(hands.store, time.time() + HOURS - FAR + 60) == 0
    assert await timers.reap(hands.store, time.time()) == 2


async def test_what_is_parked_waits_as_long_as_it_would_have(hands: Hands) -> None:
    (held, _) = await hands.claim()
    parked = Result(id=held.id, attempt=held.attempt, revision=held.revision, outcome="parked", until=600.0)
    await hands.give(parked)
    async with hands.store.transaction() as tx:
        before = (await tx.parked([held.id]))[0].deadline
        now = await tx.clock()
        assert await tx.clock_jumped(now + HOURS, HOURS)
    async with hands.store.transaction() as tx:
        assert not await tx.clock_jumped(now + HOURS + 3, HOURS + 1)
        assert (await tx.parked([held.id]))[0].deadline == pytest.approx(before + HOURS)
        assert await tx.clock_jumped(now + 10, -HOURS)
        assert (await tx.parked([held.id]))[0].deadline == pytest.approx(before)


async def test_a_pause_before_the_next_try_moves_with_the_clock(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1", not_before=50.0), made.row(2, "n2")])
    async with store.transaction() as tx:
        await tx.clock_jumped(1000.0, HOURS)
    assert [row.not_before for row in (await made.rows()).values()] == [50.0 + HOURS, 0.0]
