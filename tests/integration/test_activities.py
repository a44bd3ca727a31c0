"""Verbs and activities of machines, in both stores: begun, through, failed, held, aborted, tried again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.messages import Claim, Result
from rackwright.core.node_task import State
from rackwright.engine import intake, lifecycle, machines
from rackwright.engine.machines import NewNode, scope_named
from tests.integration.conftest import AnyStore
from tests.integration.hands import failed, ok
from tests.integration.metal_site import MetalSite, errors, site

NETWORK = {"cidr": "10.9.0.0/24", "address": "10.9.0.1", "gateway": "10.9.0.12", "static": ["10.9.0.10", "10.9.0.13"]}


async def opened(store: AnyStore, monkeypatch: pytest.MonkeyPatch, nodes: int = 2) -> MetalSite:
    made = site(store)
    await made.open(monkeypatch, nodes)
    return made


def installed(claim: Claim) -> Result:
    """A good end; what is to be written is written."""
    return ok(claim, **{path: {"of": claim.scope} for path in claim.writes})


async def rack_facts(made: MetalSite, **facts: Any) -> None:
    async with made.store.transaction() as tx:
        rack = (await scope_named(tx, "rack", "r0")).id
    writes = [FactWrite(rack, f"desired.rack.{name}", value, PEOPLE) for name, value in facts.items()]
    await intake.put_facts(made.store, made.library, writes)


async def test_the_life_of_a_machine(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    assert await made.words("n0") == ["ready"]
    await made.do("commission", "n0")
    assert await made.words("n0") == ["commissioning"]
    assert (await made.facts("n0"))["machine.activity"]["env"] == "discovery"
    assert await made.run(installed) == [("n0", "boot"), ("n0", "inventory")]
    assert await made.words("n0") == ["ready"]
    assert "machine.activity" not in await made.facts("n0")
    await made.do("deploy", "n0", image="debian-12")
    ran = await made.run(installed)
    assert ran[0] == ("n0", "os-plan")
    assert sorted(ran[1:]) == [("n0", "burn-in-log"), ("n0", "os-write")]
    machine = await made.machine("n0")
    assert (machine.allocation, machine.installed, machine.last_verb, machine.last_outcome) == (
        "allocated", True, "deploy", "ok",
    )  # fmt: skip
    assert {"os.plan", "os.written"} <= (await made.facts("n0")).keys()
    await made.do("release", "n0")
    assert await made.run(installed) == [("n0", "wipe")]
    assert await made.words("n0") == ["ready"]
    assert not {"os.plan", "os.written", "machine.activity"} & (await made.facts("n0")).keys()
    assert await made.rows("metal") == {}
    async with made.store.transaction() as tx:
        assert await tx.memberships((await scope_named(tx, "deployment", "metal")).id) == []


async def test_destructive_tasks_run_every_time_that_a_person_says_so(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    for _ in range(2):
        await made.do("deploy", "n0")
        assert ("n0", "os-write") in await made.run(installed)
    assert await made.words("n0") == ["deployed"]


async def test_tasks_read_the_parameters_of_the_activity(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.do("deploy", "n0", image="debian-12")
    (claim,) = await made.claim()
    assert claim.inputs["said"]["parameters"] == {"image": "debian-12"}
    assert claim.inputs["said"]["id"] == (await made.machine("n0")).activity


async def test_each_machine_gets_its_own_answer(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 3)
    await made.do("accept", "n0", "n1")
    await made.do("deploy", "n1")
    answers = await made.say("commission", "n0", "n1", "n2", "n9", "n0")
    assert [(answer.name, answer.word) for answer in answers] == [
        ("n0", "commissioning"), ("n1", ""), ("n2", ""), ("n9", ""),
    ]  # fmt: skip
    said = errors(answers)
    assert said["n1"] == "n1: commission: it is deploying now (possible now: hold, abort, retry)"
    assert "plain node (possible now: accept, adopt)" in said["n2"].replace(" and no machine", "")
    assert "there is no node n9" in said["n9"]


async def test_of_two_verbs_at_once_one_wins(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    both = await asyncio.gather(made.say("commission", "n0"), made.say("deploy", "n0"))
    refused = [answer for answers in both for answer in answers if answer.error]
    assert len(refused) == 1
    assert "possible now: hold, abort, retry" in refused[0].error


async def test_a_failure_is_told_and_can_be_tried_again(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.do("deploy", "n0")
    await made.run(lambda claim: failed(claim, "disk too small") if claim.task == "os-write" else installed(claim))
    machine = await made.machine("n0")
    assert (await made.words("n0"), machine.reason) == (["failed-deployment"], "os-write: disk too small")
    await made.do("retry", "n0")
    assert await made.words("n0") == ["deploying"]
    assert await made.run(installed) == [("n0", "os-write")]
    assert await made.words("n0") == ["deployed"]


async def test_after_a_failure_another_verb_may_begin(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.do("deploy", "n0")
    await made.run(failed)
    await made.do("erase", "n0")
    assert set(await made.rows("metal")) == {("n0", "wipe")}
    await made.run(installed)
    assert await made.words("n0") == ["ready"]


async def test_nothing_of_a_held_activity_begins_until_it_is_let(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.do("deploy", "n0")
    (claim,) = await made.claim()
    await made.do("hold", "n0")
    await made.give(installed(claim))
    assert await made.words("n0") == ["held"]
    assert await made.run(installed) == []
    await made.do("unhold", "n0")
    assert len(await made.run(installed)) == 2
    assert await made.words("n0") == ["deployed"]


async def test_an_aborted_activity_is_gone_and_what_ran_is_lost(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, 2)
    await made.do("accept", "n0", "n1")
    await made.do("deploy", "n0", "n1")
    claims = await made.claim()
    await made.give(*[installed(claim) for claim in claims])
    running = [claim for claim in await made.claim() if claim.scope == "n0"]
    await made.do("abort", "n0")
    machine = await made.machine("n0")
    assert (await made.words("n0"), machine.last_outcome) == (["ready"], "aborted")
    assert not {"machine.activity", "os.plan"} & (await made.facts("n0")).keys()
    verdicts = await made.give(*[installed(claim) for claim in running])
    assert [verdict.taken for verdict in verdicts.items] == [False]
    assert {scope for scope, _ in await made.rows("metal")} == {"n1"}


async def test_in_rescue_it_stays_until_it_is_let_out(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("adopt", "n0")
    assert (await made.facts("n0"))["observed.os"] == {"request": "", "adopted": True}
    await made.do("rescue", "n0")
    await made.run(installed)
    assert await made.words("n0") == ["rescue"]
    assert (await made.facts("n0"))["machine.activity"]["env"] == "rescue"
    assert not (await made.views.nodes(names=["n0"]))[0].alive
    await made.do("exit-rescue", "n0")
    assert (await made.facts("n0"))["machine.activity"]["env"] == "local"
    await made.run(installed)
    assert await made.words("n0") == ["deployed"]
    assert (await made.views.nodes(names=["n0"]))[0].alive


async def test_what_is_active_on_a_machine_goes_down_with_it_but_its_activity_goes_on(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.deployment("- {id: web, type: noop, roles: [web]}\n", "- {name: web}\n", "shop", {"web": ["n0"]})
    await made.run()
    await made.do("accept", "n0")
    await made.do("deploy", "n0")
    assert await made.states("shop") == {("n0", "web"): "todo"}
    assert {task for _, task in await made.run(installed)} == {"os-plan", "os-write", "burn-in-log"}
    assert await made.states("shop") == {("n0", "web"): "todo"}
    await machines.set_node(made.store, "n0", alive=True)
    assert await made.run() == [("n0", "web")]


async def test_a_parked_task_lets_its_machine_wait(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.do("commission", "n0")
    (claim,) = await made.claim()
    parked = Result(id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome="parked", until=60.0)
    await made.give(parked)
    assert (await made.machine("n0")).phase == "waiting"
    async with made.store.transaction() as tx:
        (row,) = (await tx.lock([claim.id])).rows.values()
        assert row.state is State.TRANSITION
    await made.give(installed(claim))
    assert (await made.machine("n0")).phase == "running"


async def test_accepted_machines_get_the_free_addresses_of_their_rack(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, 0)
    await rack_facts(made, networks=[NETWORK])
    await machines.add_nodes(
        made.store,
        [NewNode(name=f"m{number}", rack="r0") for number in range(4)]
        + [NewNode(name="m9", rack="r0", address="10.9.0.11")],
    )
    answers = await made.say("accept", "m9", "m0", "m1", "m2")
    assert list(errors(answers)) == ["m2"]
    assert "no address is left in 10.9.0.10 to 10.9.0.13" in errors(answers)["m2"]
    given = {node.name: node.address for node in await made.views.nodes()}
    assert given == {"m0": "10.9.0.10", "m1": "10.9.0.13", "m2": None, "m3": None, "m9": "10.9.0.11"}
    assert errors(await made.say("commission", "m3"))["m3"].startswith("m3: commission: it is a plain node")


async def test_many_that_are_accepted_at_once_share_no_address(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, 0)
    await rack_facts(made, networks=[{**NETWORK, "static": ["10.9.0.20", "10.9.0.40"]}])
    names = [f"m{number}" for number in range(8)]
    await machines.add_nodes(made.store, [NewNode(name=name, rack="r0") for name in names])
    await asyncio.gather(*(made.do("accept", *names[start::4]) for start in range(4)))
    assert {node.address for node in await made.views.nodes()} == {f"10.9.0.{last}" for last in range(20, 28)}


async def test_the_catalog_of_the_machines_follows_its_name(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.do("test", "n0")
    assert await made.run(installed) == [("n0", "burn-in")]
    files = {
        "catalog.yaml": "name: metal\n",
        "graphs/test/tasks.yaml": "- {id: other, type: noop, roles: '*', offline: true}\n",
    }
    await made.library.add(made.store, "metal", files)
    await made.do("test", "n0")
    assert await made.run(installed) == [("n0", "other")]


@pytest.mark.parametrize(
    ("tasks", "why"),
    [
        ("- {id: a, type: noop, scope: rack, roles: '*'}\n", "a works on a rack"),
        ("- {id: a, type: noop, roles: '*', cross_depends: [{yaql_exp: '$.x'}]}\n", "a computes relations"),
        ("- {id: a, type: skipped, roles: [nobody]}\n", "has no task for a machine"),
    ],
)
async def test_a_graph_that_is_not_for_each_machine_by_itself_is_refused(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch, tasks: str, why: str
) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.library.add(made.store, "metal", {"catalog.yaml": "name: metal\n", "graphs/test/tasks.yaml": tasks})
    with pytest.raises(Exception, match=why):
        await made.say("test", "n0")
    assert await made.words("n0") == ["ready"]


async def test_a_silent_machine_is_missing_until_it_is_heard_of(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("adopt", "n0")
    now = time.time()
    node = (await made.machine("n0")).id
    async with made.store.transaction() as tx:
        await tx.note_seen({node: now - 100})
    assert await lifecycle.miss(made.store, now - 200, now) == 0
    assert await lifecycle.miss(made.store, now - 50, now) == 1
    assert await made.words("n0") == ["missing"]
    assert await lifecycle.miss(made.store, now - 50, now) == 0


async def test_what_happens_is_told_by_events(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, 1)
    await made.do("accept", "n0")
    await made.do("test", "n0")
    await made.run(failed)
    told = [event["text"] for event in await made.views.events(after=0) if event["kind"] == "machine"]
    assert told == ["n0 is ready now", "n0 is testing now", "n0 is failed-testing now: burn-in: it broke"]
