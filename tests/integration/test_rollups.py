"""Roll-ups equal a recount, whatever happened. On both stores."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from typing import Any

import pytest

from rackwright.core.errors import RackwrightError
from rackwright.core.node_task import NodeTask, State
from rackwright.core.seats import Holder
from rackwright.engine import deployments, machines, timers
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed
from tests.integration.store_world import world
from tests.integration.test_engine import ROLES, TASKS, WEB, render

NODES = 6


async def recount(hands: Hands) -> dict[Any, int]:
    """How far the roll-ups are off."""
    async with hands.store.transaction() as tx:
        return await tx.recount()


async def counted(hands: Hands) -> dict[str, int]:
    """Node tasks by state, one by one."""
    return dict(Counter((await hands.states()).values()))


async def work(hands: Hands, chance: random.Random) -> None:
    rack = chance.choice(["r0", "r1"])
    held = await hands.claim(rack, capacity=chance.randint(1, 5))
    ends = [render(claim) if chance.random() < 0.7 else failed(claim) for claim in held]
    await hands.give(*ends[: chance.randint(0, len(ends))], rack=rack)


async def plan(hands: Hands, chance: random.Random) -> None:
    bound = chance.sample([f"n{i}" for i in range(NODES)], chance.randint(1, NODES))
    changes = {"bind": {"web": bound}, "set": {"web": {"port": chance.randint(1, 9)}}}
    assert (await hands.plan(changes, apply=True)).state in ("applied", "failed")


async def change_a_node(hands: Hands, chance: random.Random) -> None:
    alive, available = chance.random() < 0.6, chance.random() < 0.8
    await machines.set_node(hands.store, f"n{chance.randrange(NODES)}", alive=alive, available=available)


async def steer(hands: Hands, chance: random.Random) -> None:
    await deployments.retry(hands.store, "d")
    await deployments.commit(hands.store, "d")
    if chance.random() < 0.5:
        await deployments.stop(hands.store, "d")
    await deployments.resume(hands.store, "d")


async def let_time_pass(hands: Hands, chance: random.Random) -> None:
    await timers.wake(hands.store)
    await timers.fold(hands.store)
    if chance.random() < 0.3:
        await timers.reap(hands.store, time.time() + 3600)


async def restart_a_rack(hands: Hands, chance: random.Random) -> None:
    await hands.claim(chance.choice(["r0", "r1"]), incarnation=str(chance.random()), capacity=1)


STEPS = (work, work, work, work, plan, change_a_node, steer, let_time_pass, restart_a_rack)
"""What an operator, a rack or time may do."""


@pytest.mark.parametrize("seed", range(4))
async def test_after_anything_the_roll_ups_equal_a_recount(store: AnyStore, seed: int) -> None:
    hands, chance = Hands(store, store.views), random.Random(seed)
    await hands.site(nodes=NODES, racks=2)
    await hands.deployment(TASKS, ROLES, bind=WEB)
    for _ in range(40):
        with contextlib.suppress(RackwrightError):
            await chance.choice(STEPS)(hands, chance)
        assert await recount(hands) == {}
    states = await counted(hands)
    (deployment,) = await store.views.deployments(names=["d"])
    assert deployment.tasks == states == await store.views.fleet()
    racks = Counter[str]()
    for rack in await store.views.racks():
        racks.update(rack.tasks)
    assert racks == states


async def test_what_is_deleted_is_counted_no_more(store: AnyStore) -> None:
    hands = Hands(store, store.views)
    await hands.site()
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(render)
    await deployments.delete(store, "d")
    assert await store.views.fleet() == {}
    await timers.fold(store)
    assert await store.views.fleet() == {}
    assert await recount(hands) == {}


async def test_a_recount_puts_right_what_is_wrong_and_says_so(store: AnyStore) -> None:
    hands = Hands(store, store.views)
    await hands.site()
    await hands.deployment(TASKS, ROLES, bind=WEB)
    async with store.transaction() as tx:
        deployment = (await tx.named("deployment", ["d"]))["d"].id
        near = await tx.lock(await tx.find(deployment, {"paint"}, None))
        for row in near.rows.values():
            row.state = State.ERROR
        near.touched |= near.rows.keys()
        await tx.save(near)
    assert await timers.sweep(store, hands.library, 1 << 60) == (0, 2)
    assert await recount(hands) == {}
    assert (await store.views.fleet())["error"] == 2


async def test_folding_changes_no_count_and_is_done_in_slices(store: AnyStore) -> None:
    hands = Hands(store, store.views)
    await hands.site()
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(render)
    before = await store.views.fleet()
    async with store.transaction() as tx:
        assert await tx.fold_rollups(2) <= 2
    assert await store.views.fleet() == before
    while await timers.fold(store):
        pass
    assert await store.views.fleet() == before == {"active": 7}


@pytest.mark.parametrize("word", ["error", "transition", "todo", "blocked", "proposed", "active", "idle"])
async def test_nodes_are_found_by_their_word(store: AnyStore, word: str) -> None:
    made = await world(store, nodes=8)
    words = ["error", "transition", "todo", "blocked", "proposed", "active"]
    rows: list[NodeTask] = []
    for number, state in enumerate(words, 1):
        fields: dict[str, Any] = {"state": State[state.upper()], "rack": made.racks["r2" if number % 2 == 0 else "r1"]}
        rows.append(made.row(10 * number, f"n{number}", **fields))
        rows.append(made.row(10 * number + 1, f"n{number}", "other", **fields | {"state": State.ACTIVE}))
    rows.append(made.row(99, "n1", "third", state=State.TRANSITION))
    await made.graph(rows)
    found = await store.views.nodes(state=word)
    expected = ["n7", "n8"] if word == "idle" else [f"n{words.index(word) + 1}"]
    assert [node.name for node in found] == expected
    assert {node.state for node in found} == {word}
    assert await store.views.nodes(state=word, after="n8") == []
    wrong = "r1" if expected == ["n7", "n8"] or words.index(word) % 2 else "r2"
    assert [node.name for node in await store.views.nodes(state=word, rack=wrong)] == expected[:-1]


async def test_a_rack_that_is_silent_is_named_with_what_waits_for_it(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1"), made.row(2, "n3"), made.row(3, "n2", rack=made.racks["r2"])])
    async with store.transaction() as tx:
        await tx.seat({made.racks["r1"]: (None, Holder("i", "s", 0.0))}, time.time() - 3600)
        await tx.seat({made.racks["r2"]: (None, Holder("i", "s", 0.0))}, time.time())
    (web,) = await store.views.deployments(names=["web"])
    assert web.reasons == ["rack r1 has not been heard of: 2 node tasks wait for it"]
    async with store.transaction() as tx:
        await tx.keep_seats([(made.racks["r1"], "i", 0.0)], time.time())
    (web,) = await store.views.deployments(names=["web"])
    assert web.reasons == []


async def test_many_errors_at_once_cost_no_more_than_twenty_reasons(store: AnyStore) -> None:
    made = await world(store, nodes=50)
    await made.graph([made.row(id, f"n{id}", state=State.ERROR, reason="it broke") for id in range(1, 51)])
    (web,) = await store.views.deployments(names=["web"])
    assert (web.state, web.tasks, len(web.reasons)) == ("error", {"error": 50}, 20)
