"""How a deployment is carried out: limits, tolerances, windows, waves, aborts, rehearsals. On both stores."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.messages import Claim, Result
from rackwright.core.waves import WaveRule
from rackwright.engine import deployments, explaining, halting, machines, orders, planning, steering, timers
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

ROLES = "[{name: web}, {name: db}]"
ONE = "- {id: work, type: noop, roles: [web]}"
ALL = [f"n{i}" for i in range(6)]


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(6, racks=2)
    return made


async def claimed(hands: Hands) -> list[Claim]:
    """What both racks are given, at the same time."""
    both = await asyncio.gather(*(hands.claim(rack) for rack in hands.racks))
    return [claim for claims in both for claim in claims]


async def give(hands: Hands, *results: Result) -> None:
    """Hand results in from whichever rack they are of."""
    for rack in hands.racks:
        await hands.give(*results, rack=rack)


async def held(hands: Hands) -> str:
    async with hands.store.transaction() as tx:
        found = await tx.steering((await tx.named("deployment", ["d"]))["d"].id)
    return "" if found is None else found.held


async def states(hands: Hands) -> Counter[str]:
    return Counter((await hands.states()).values())


async def drained(hands: Hands, most: int) -> int:
    """Carry everything out, never with more than ``most`` at the same time; gives how often racks were given any."""
    rounds = 0
    while held_now := await claimed(hands):
        assert len(held_now) <= most
        assert await claimed(hands) == []
        await give(hands, *map(ok, held_now))
        rounds += 1
    assert await states(hands) == {"active": 6}
    return rounds


@pytest.mark.parametrize(
    ("strategy", "rounds"),
    [("{type: one_by_one}", 6), ("{type: parallel, amount: 2}", 3), ('{type: parallel, amount: "50%"}', 2)],
)
@pytest.mark.parametrize("where", ["strategy: %s", "parameters: {strategy: %s}"])
async def test_a_task_runs_on_no_more_nodes_at_once_than_its_strategy_says(
    hands: Hands, where: str, strategy: str, rounds: int
) -> None:
    task = f"- {{id: work, type: noop, roles: [web], {where % strategy}}}"
    await hands.deployment(task, ROLES, bind={"web": ALL})
    assert await drained(hands, 6 // rounds) == rounds


async def test_what_is_full_does_not_keep_other_work_from_starting(hands: Hands) -> None:
    tasks = """
- {id: slow, type: noop, roles: [web], strategy: {type: one_by_one}, required_for: [end]}
- {id: end, type: noop, roles: [web]}
- {id: free, type: noop, roles: [web]}
"""
    await hands.deployment(tasks, ROLES, bind={"web": ALL})
    first = await hands.claim("r0", capacity=2)
    assert [claim.task for claim in first] == ["slow"]
    assert {claim.task for claim in await hands.claim("r0", capacity=2)} == {"free"}
    assert {claim.task for claim in await hands.claim("r1", capacity=9)} == {"free"}


async def test_limits_of_the_site_of_a_rack_and_of_a_deployment(hands: Hands) -> None:
    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    await orders.set_limit(hands.store, 0, rack="r1")
    await orders.set_limit(hands.store, 2, deployment="d")
    held_now = await claimed(hands)
    assert [claim.scope in ("n0", "n2", "n4") for claim in held_now] == [True, True]
    await orders.set_limit(hands.store, None, rack="r1")
    await orders.set_limit(hands.store, None, deployment="d")
    await orders.set_limit(hands.store, 3)
    more = await claimed(hands)
    assert len(more) == 1
    await give(hands, *map(ok, [*held_now, *more]))
    assert len(await claimed(hands)) == 3
    with pytest.raises(NotFound):
        await orders.set_limit(hands.store, 1, rack="nowhere")
    with pytest.raises(InvalidInput):
        await orders.set_limit(hands.store, -1)


async def test_racks_that_ask_at_the_same_time_never_get_more_than_the_limit(hands: Hands) -> None:
    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    await orders.set_limit(hands.store, 1)
    assert await drained(hands, 1) == 6


GROUPS = """
- {id: front, type: group, roles: [web], fault_tolerance: 1}
- {id: work, type: noop, roles: ["*"]}
"""


async def test_a_group_that_fails_on_more_nodes_than_it_tolerates_stops_the_deployment(hands: Hands) -> None:
    await hands.deployment(GROUPS, ROLES, bind={"web": ALL[:4], "db": ALL[4:]})
    first = [claim for claim in await hands.claim("r0") if claim.scope in ("n0", "n2")]
    await hands.give(failed(first[0]))
    assert await held(hands) == ""
    await hands.give(failed(first[1]))
    assert await held(hands) == "front: 2 failed, tolerance 1"
    assert await hands.claim("r1") == []
    assert await deployments.retry(hands.store, "d", nodes=["n0"]) == 1
    assert await steering.keep(hands.store, time.time()) == 1
    assert await held(hands) == ""
    assert len(await hands.claim("r1")) == 3
    assert await steering.keep(hands.store, time.time()) == 0


async def test_nodes_of_no_group_tolerate_nothing_where_there_is_a_group(hands: Hands) -> None:
    await hands.deployment(GROUPS, ROLES, bind={"web": ALL[:4], "db": ALL[4:]})
    (claim,) = [claim for claim in await hands.claim("r0") if claim.scope == "n4"]
    await hands.give(failed(claim))
    assert await held(hands) == "the nodes of no group: 1 failed, tolerance 0"
    (view,) = await hands.views.deployments(names=["d"])
    assert view.reasons[0] == "held: the nodes of no group: 1 failed, tolerance 0"


async def test_outside_its_window_nothing_starts_and_what_runs_ends(hands: Hands) -> None:
    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    running = await hands.claim("r0", capacity=1)
    night = 1_795_302_000.0  # 2026-11-22 00:00 in Berlin, a Sunday
    await orders.set_windows(hands.store, "d", ["Mon 01:00-03:00"], "Europe/Berlin", night)
    assert await held(hands) == "outside its window until 2026-11-23 01:00 CET"
    assert await claimed(hands) == []
    await hands.give(*map(ok, running))
    assert await steering.keep(hands.store, night + 86400) == 0
    assert await steering.keep(hands.store, night + 86400 + 3600) == 1
    assert len(await claimed(hands)) == 5
    with pytest.raises(InvalidInput):
        await orders.set_windows(hands.store, "d", [], "Mars/Olympus", night)
    await orders.set_windows(hands.store, "d", [], "UTC", night)
    async with hands.store.transaction() as tx:
        assert await tx.steered() == []


async def test_a_pause_ends_by_itself_or_when_a_person_resumes(hands: Hands) -> None:
    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    await orders.pause(hands.store, "d", 60, 1000.0)
    assert await claimed(hands) == []
    assert await steering.keep(hands.store, 1059.0) == 0
    assert await steering.keep(hands.store, 1060.0) == 1
    assert len(await hands.claim("r0", capacity=1)) == 1
    await orders.pause(hands.store, "d", 60, 2000.0)
    await deployments.stop(hands.store, "d")
    assert await claimed(hands) == []
    await deployments.resume(hands.store, "d")
    assert await claimed(hands) == []
    await orders.unpause(hands.store, "d", 2001.0)
    assert len(await claimed(hands)) == 5


async def test_waves_go_on_when_a_step_is_well_and_halt_when_it_is_not(hands: Hands) -> None:
    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    rule = WaveRule(canary=("n3",), steps=("50%",), tolerance=0)
    await orders.set_waves(hands.store, "d", rule, 0.0)
    (canary,) = await claimed(hands)
    assert canary.scope == "n3"
    assert await steering.keep(hands.store, 1.0) == 0
    await give(hands, ok(canary))
    assert await steering.keep(hands.store, 2.0) == 1
    second = await claimed(hands)
    assert sorted(claim.scope for claim in second) == ["n0", "n1"]
    await give(hands, failed(second[0]), ok(second[1]))
    assert await held(hands) == "wave 2 of 3: 3 of 6 nodes, halted: 1 failed, tolerance 0"
    assert await claimed(hands) == []
    (view,) = await hands.views.deployments(names=["d"])
    assert (view.state, view.reasons[0]) == ("error", f"held: {await held(hands)}")
    await orders.forgive(hands.store, "d", 3.0)
    while await steering.keep(hands.store, 4.0):
        pass
    assert sorted(claim.scope for claim in await claimed(hands)) == ["n2", "n4", "n5"]
    with pytest.raises(Conflict):
        await orders.forgive(hands.store, "d", 5.0)
    with pytest.raises(Conflict):
        await orders.promote(hands.store, "d", 5.0)


async def test_a_person_promotes_each_wave_and_every_plan_begins_with_the_first(hands: Hands) -> None:
    roles = "[{name: web, attributes: {properties: {port: {type: integer, default: 1}}}}]"
    tasks = "- {id: work, type: noop, roles: [web], reads: {port: desired.web.port}}"
    await hands.deployment(tasks, roles, bind={"web": ALL})
    await hands.run()
    await orders.set_waves(hands.store, "d", WaveRule(steps=(2,), manual=True), 0.0)
    await hands.apply({"set": {"web": {"port": 2}}})
    assert sorted(scope for scope, _ in await hands.run()) == ["n0", "n1"]
    await steering.keep(hands.store, 1.0)
    await steering.keep(hands.store, 99.0)
    (view,) = await hands.views.deployments(names=["d"])
    assert (view.state, view.reasons[0]) == ("held", "wave 1 of 2: 2 of 6 nodes, waits to be promoted")
    assert await hands.run() == []
    await orders.promote(hands.store, "d", 100.0)
    assert len(await hands.run()) == 4
    await hands.apply({"set": {"web": {"port": 3}}})
    assert sorted(scope for scope, _ in await hands.run()) == ["n0", "n1"]
    await orders.set_waves(hands.store, "d", None, 101.0)
    assert len(await hands.run()) == 4


async def test_waves_do_not_wait_for_what_waits_for_all_nodes(hands: Hands) -> None:
    tasks = """
- {id: first, type: noop, roles: [web]}
- {id: second, type: noop, roles: [web], cross-depends: [{name: first}]}
"""
    await hands.deployment(tasks, ROLES, bind={"web": ALL})
    await orders.set_waves(hands.store, "d", WaveRule(steps=(1,)), 0.0)
    assert await hands.run() == [("n0", "first")]
    await steering.keep(hands.store, 1.0)
    assert len(await hands.run()) == 5 + 6


async def test_a_node_that_is_gone_counts_as_failed_once_its_wave_rests(hands: Hands) -> None:
    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    await machines.set_node(hands.store, "n1", alive=False)
    await orders.set_waves(hands.store, "d", WaveRule(steps=(2,), tolerance=0), 0.0)
    (claim,) = await claimed(hands)
    assert await held(hands) == ""
    await give(hands, ok(claim))
    await steering.keep(hands.store, 1.0)
    assert await held(hands) == "wave 1 of 2: 2 of 6 nodes, halted: 1 failed, tolerance 0"


async def test_an_abort_gives_back_what_runs_and_proposes_what_was_to_run(hands: Hands) -> None:
    tasks = "[{id: a, type: noop, roles: [web], required_for: [b]}, {id: b, type: noop, roles: [web]}]"
    await hands.deployment(tasks, ROLES, bind={"web": ["n0", "n2"]})
    (done, running) = await hands.claim("r0")
    await hands.give(ok(done))
    assert await halting.abort(hands.store, "d", time.time()) == 3
    assert await states(hands) == {"proposed": 3, "active": 1}
    verdicts = await hands.give(ok(running))
    assert [verdict.taken for verdict in verdicts.items] == [False]
    assert await deployments.commit(hands.store, "d") == 3
    assert len(await hands.run()) == 3
    assert await halting.abort(hands.store, "d", time.time()) == 0
    assert await states(hands) == {"active": 4}


async def test_a_rehearsal_makes_nothing_active_and_is_recorded(hands: Hands) -> None:
    tasks = "[{id: a, type: noop, roles: [web], required_for: [b]}, {id: b, type: noop, roles: [web]}]"
    await hands.deployment(tasks, ROLES, bind={"web": ["n0"]})
    await orders.set_noop(hands.store, "d", True, 0.0)
    (claim,) = await hands.claim("r0")
    assert claim.noop
    result = Result(id=claim.id, attempt=claim.attempt, revision=0, outcome="ok", reason="it would write a file")
    await hands.give(result)
    assert await hands.states() == {("n0", "a"): "proposed", ("n0", "b"): "blocked"}
    assert [run.outcome for run in await hands.views.runs("d")] == ["rehearsed"]
    await orders.set_noop(hands.store, "d", False, 0.0)
    await deployments.commit(hands.store, "d")
    (claim,) = await hands.claim("r0")
    assert not claim.noop
    await hands.give(ok(claim))
    assert await hands.run() == [("n0", "b")]


async def test_what_steers_a_deployment_goes_with_it(hands: Hands) -> None:
    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    await orders.pause(hands.store, "d", 60, 0.0)
    await orders.set_limit(hands.store, 1, deployment="d")
    await timers.wake(hands.store)
    await deployments.delete(hands.store, "d")
    async with hands.store.transaction() as tx:
        assert await tx.steered() == []
        limited, _, _ = await tx.seats([hands.racks["r0"]])
        assert not limited


CHAIN = """
- {id: a, type: noop, roles: [web], required_for: [b], reads: {port: desired.web.port}}
- {id: b, type: noop, roles: [web], required_for: [c], reads: {port: desired.web.port}}
- {id: c, type: noop, roles: [web], reads: {port: desired.web.port}}
"""
PORT = "[{name: web, attributes: {properties: {port: {type: integer, default: 1}}}}]"


async def test_only_chosen_tasks_of_a_plan_run_and_the_rest_waits_to_be_committed(hands: Hands) -> None:
    await hands.deployment(CHAIN, PORT)
    said = await hands.apply({"bind": {"web": ["n0", "n2"]}, "tasks": ["a", "b/n0"]})
    assert {(item["node"], item["task"]) for item in said["left"]} == {("n2", "b"), ("n0", "c"), ("n2", "c")}
    assert set(await hands.run()) == {("n0", "a"), ("n2", "a"), ("n0", "b")}
    said = await hands.apply({"tasks": ["b"]})
    assert await hands.run() == [("n2", "b")]
    assert await deployments.commit(hands.store, "d") == 2
    assert len(await hands.run()) == 2
    said = await hands.apply({"set": {"web": {"port": 2}}, "subgraphs": [{"end": ["b"]}]})
    assert {item["task"] for item in said["left"]} == {"c"}
    assert {task for _, task in await hands.run()} == {"a", "b"}
    plan = await hands.plan({"tasks": ["x"]})
    assert (plan.state, "no instance of the graph is called x" in plan.error) == ("failed", True)


async def test_graphs_follow_one_another_and_stop_at_an_error(hands: Hands) -> None:
    files = {
        "catalog.yaml": "name: d\nstrict: true\n",
        "roles.yaml": "[{name: web}]",
        "graphs/provision/tasks.yaml": "[{id: install, type: noop, roles: [web]}]",
        "tasks.yaml": "[{id: work, type: noop, roles: [web]}]",
        "graphs/verify/tasks.yaml": "[{id: probe, type: noop, roles: [web]}]",
    }
    await hands.library.add(hands.store, "d", files)
    await deployments.create(hands.store, hands.library, "d", catalog="d")
    await hands.apply({"graph": "provision", "bind": {"web": ["n0"]}, "then": ["deploy", "verify"]})
    assert await hands.run(failed) == [("n0", "install")]
    await step(hands)
    assert await hands.run() == []
    await deployments.retry(hands.store, "d")
    for task in ("install", "work", "probe"):
        await step(hands)
        assert await hands.run() == [("n0", task)]
    await step(hands)
    assert await hands.states() == {("n0", task): "active" for task in ("install", "work", "probe")}
    async with hands.store.transaction() as tx:
        assert await tx.steered() == []


async def step(hands: Hands) -> None:
    """What a conductor does between two rounds."""
    await steering.keep(hands.store, time.time())
    while await planning.compute_next(hands.store, hands.library):
        pass


async def test_asking_why_names_what_holds_a_node_task(hands: Hands) -> None:
    async def why(node: str) -> list[str]:
        found = await explaining.explain(hands.store, hands.library, node, "work", deployment="d", now=0.0)
        return [obstacle.kind for obstacle in found.waits_for if obstacle.kind not in ("rack", "busy")]

    await hands.deployment(ONE, ROLES, bind={"web": ALL})
    await orders.set_waves(hands.store, "d", WaveRule(steps=(3,)), 0.0)
    assert (await why("n0"), await why("n5")) == ([], ["wave"])
    await orders.pause(hands.store, "d", 60, 0.0)
    assert await why("n0") == ["held"]
    await orders.unpause(hands.store, "d", 1.0)
    await orders.set_limit(hands.store, 1, deployment="d")
    assert len(await claimed(hands)) == 1
    assert [await why(node) for node in ("n1", "n5")] == [["limit"], ["wave", "limit"]]


async def test_racks_that_claim_and_finish_all_the_time_stay_within_every_limit(store: AnyStore) -> None:
    hands = Hands(store, store.views)
    await hands.site(16, racks=4)
    task = "- {id: work, type: noop, roles: [web], strategy: {type: parallel, amount: 3}}"
    await hands.deployment(task, ROLES, bind={"web": [f"n{i}" for i in range(16)]})
    await orders.set_limit(hands.store, 4)
    await orders.set_limit(hands.store, 2, rack="r0")
    running: dict[str, int] = dict.fromkeys(hands.racks, 0)
    done = 0

    async def work(rack: str) -> None:
        nonlocal done
        while done < 16:
            given = await hands.claim(rack, capacity=3)
            running[rack] += len(given)
            assert running["r0"] <= 2
            assert sum(running.values()) <= 3
            await asyncio.sleep(0.01)
            # Counted down before the end is taken: a claim that comes between may already count on it.
            running[rack] -= len(given)
            await hands.give(*map(ok, given), rack=rack)
            done += len(given)

    async with asyncio.timeout(60):
        await asyncio.gather(*map(work, hands.racks))
    assert await states(hands) == {"active": 16}
