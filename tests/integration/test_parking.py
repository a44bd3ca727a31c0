"""Parked attempts hold nothing, outlive everybody, and end by an event or at their deadline. On both stores."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from rackwright.core.errors import Conflict, NotFound
from rackwright.core.facts import WORLD, FactWrite
from rackwright.core.messages import Claim, Heartbeat, Result
from rackwright.engine import intake, machines, parking, seating, timers
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

TASKS = """
- {id: reboot, type: noop, roles: [web], writes: [web.boots]}
- {id: after, type: noop, roles: [web], requires: [reboot]}
- {id: other, type: noop, roles: [web]}
"""


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(nodes=1)
    await made.deployment(TASKS, "- name: web\n", bind={"web": ["n0"]})
    return made


def parked(claim: Claim, until: float = 600.0, until_fact: dict[str, Any] | None = None) -> Result:
    return Result(
        id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome="parked", reason="waits for the reboot",
        until=until, until_fact=until_fact or {}, facts={"web.boots": 1},
    )  # fmt: skip


async def park(hands: Hands, until: float = 600.0, until_fact: dict[str, Any] | None = None) -> Claim:
    """The claim of ``reboot``, parked."""
    for _ in range(2):
        (claim,) = await hands.claim()
        if claim.task == "reboot":
            (verdict,) = (await hands.give(parked(claim, until, until_fact))).items
            assert (verdict.taken, verdict.reason) == (True, "parked")
            return claim
        await hands.give(ok(claim))
    raise AssertionError("reboot is never claimed")


async def reboot(hands: Hands) -> str:
    return (await hands.states())["n0", "reboot"]


async def test_a_parked_task_keeps_its_scope_busy_and_says_what_it_waits_for(hands: Hands) -> None:
    await park(hands)
    assert await reboot(hands) == "transition"
    assert await hands.claim() == []
    (task,) = await hands.views.tasks("d", task="reboot")
    assert (task.state, task.reason) == ("transition", "parked: waits for the reboot")
    (deployment,) = await hands.views.deployments(names=["d"])
    assert deployment.state == "annealing"


async def test_it_ends_well_when_it_is_told_to_go_on_and_its_facts_are_put_then(hands: Hands) -> None:
    claim = await park(hands)
    async with hands.store.transaction() as tx:
        node = (await tx.named("node", ["n0"]))["n0"].id
        assert await tx.facts([node], ["web.boots"]) == []
    assert await parking.go_on(hands.store, hands.library, claim.id, time.time()) == "active"
    assert await reboot(hands) == "active"
    async with hands.store.transaction() as tx:
        assert [fact.value for fact in await tx.facts([node], ["web.boots"])] == [1]
    ran = await hands.run()
    assert ("n0", "after") in ran
    assert ("n0", "reboot") not in ran


async def test_it_may_be_told_that_it_failed(hands: Hands) -> None:
    claim = await park(hands)
    assert await parking.go_on(hands.store, hands.library, claim.id, time.time(), failed="no power") == "failed"
    (task,) = await hands.views.tasks("d", task="reboot")
    assert (task.state, task.reason) == ("error", "no power")


async def test_only_what_is_parked_with_this_attempt_goes_on(hands: Hands) -> None:
    claim = await park(hands)
    now = time.time()
    with pytest.raises(Conflict):
        await parking.go_on(hands.store, hands.library, claim.id, now, attempt=claim.attempt + 1)
    with pytest.raises(NotFound):
        await parking.go_on(hands.store, hands.library, claim.id + 1000, now)
    await parking.go_on(hands.store, hands.library, claim.id, now, attempt=claim.attempt)
    with pytest.raises(Conflict):
        await parking.go_on(hands.store, hands.library, claim.id, now)


async def test_it_ends_by_the_facts_that_it_awaits_once_all_are_there(hands: Hands) -> None:
    await park(hands, until_fact={"observed.os": "debian", "observed.uptime": None})
    assert await parking.tend(hands.store, hands.library, time.time()) == 0
    async with hands.store.transaction() as tx:
        node = (await tx.named("node", ["n0"]))["n0"].id
    for path, value, ended in (("os", "other", 0), ("uptime", 3, 0), ("os", "debian", 1)):
        write = FactWrite(node, f"observed.{path}", value, WORLD)
        await intake.put_facts(hands.store, hands.library, [write])
        assert await parking.tend(hands.store, hands.library, time.time()) == ended
    assert await reboot(hands) == "active"


async def test_it_may_await_a_place_inside_a_fact(hands: Hands) -> None:
    await park(hands, until_fact={"observed.booted.request": "b", "observed.booted.system": None})
    async with hands.store.transaction() as tx:
        node = (await tx.named("node", ["n0"]))["n0"].id
    reports: list[tuple[Any, int]] = [
        ("b", 0), ({"request": "a", "system": "discovery"}, 0), ({"request": "b"}, 0),
        ({"request": "b", "system": "discovery", "boot_id": "1"}, 1),
    ]  # fmt: skip
    for report, ended in reports:
        write = FactWrite(node, "observed.booted", report, WORLD)
        await intake.put_facts(hands.store, hands.library, [write])
        assert await parking.tend(hands.store, hands.library, time.time()) == ended
    assert await reboot(hands) == "active"


async def test_at_its_deadline_it_has_failed_and_its_retry_rule_counts(store: AnyStore) -> None:
    hands = Hands(store, store.views)
    await hands.site(nodes=1)
    tasks = "- {id: reboot, type: noop, roles: [web], writes: [web.boots], retry: {attempts: 2, delay: 0.001}}\n"
    await hands.deployment(tasks, "- name: web\n", bind={"web": ["n0"]})
    for word in ("todo", "error"):
        await park(hands, until=0.001)
        assert await parking.tend(hands.store, hands.library, time.time() - 60) == 0
        await asyncio.sleep(0.01)
        assert await parking.tend(hands.store, hands.library, time.time()) == 1
        assert await reboot(hands) == word
        await asyncio.sleep(0.01)
    (task,) = await hands.views.tasks("d", task="reboot")
    assert "nothing came" in task.reason
    assert "waits for the reboot" in task.reason


async def test_it_outlives_its_lease_its_rack_and_the_node_that_it_waits_for(hands: Hands) -> None:
    claim = await park(hands)
    later = time.time() + 300
    assert await timers.reap(hands.store, later) == 0
    assert await hands.claim(incarnation="a new process") == []
    beat = Heartbeat(incarnation="a new process", working=[(claim.id, claim.attempt)])
    answer = await seating.heartbeat(hands.store, hands.racks["r0"], beat, later, 30.0)
    assert answer.cancel == [(claim.id, claim.attempt)]
    await machines.set_node(hands.store, "n0", alive=False)
    assert await reboot(hands) == "transition"
    await machines.set_node(hands.store, "n0", alive=True)
    assert await parking.go_on(hands.store, hands.library, claim.id, later) == "active"


async def test_the_same_answer_twice_parks_once_and_a_late_one_is_refused(hands: Hands) -> None:
    claim = await park(hands)
    (again,) = (await hands.give(parked(claim))).items
    assert again.taken
    await hands.give(ok(claim))
    assert await reboot(hands) == "active"
    (late,) = (await hands.give(parked(claim))).items
    assert not late.taken
    async with hands.store.transaction() as tx:
        assert await tx.parked([claim.id]) == []
        assert await tx.clear_parked() == 1
        assert await tx.clear_parked() == 0


async def test_inputs_that_change_meanwhile_let_it_run_again_in_the_end(store: AnyStore) -> None:
    hands = Hands(store, store.views)
    await hands.site(nodes=1)
    tasks = "- {id: reboot, type: noop, roles: [web], reads: {port: desired.web.port}, writes: [web.boots]}\n"
    roles = "- name: web\n  attributes: {properties: {port: {type: integer, default: 80}}}\n"
    await hands.deployment(tasks, roles, bind={"web": ["n0"]})
    claim = await park(hands)
    await hands.apply({"set": {"web": {"port": 1}}})
    assert await parking.go_on(hands.store, hands.library, claim.id, time.time()) == "superseded"
    assert await hands.run() == [("n0", "reboot")]


async def test_the_rack_itself_may_still_end_what_it_parked(hands: Hands) -> None:
    claim = await park(hands)
    (bad,) = (await hands.give(failed(claim), rack="r0")).items
    assert (bad.taken, await reboot(hands)) == (True, "error")
    assert await parking.tend(hands.store, hands.library, time.time() + 3600) == 0
