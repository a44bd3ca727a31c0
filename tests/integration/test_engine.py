"""The ring: facts in, tasks that read facts, facts out. On both stores."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rackwright.core.errors import Conflict, NotFound
from rackwright.core.messages import Claim, Heartbeat, Result
from rackwright.engine import deployments, machines, planning, seating, timers
from rackwright.engine.neighbours import reach_out
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

ROLES = """
- name: web
  attributes:
    properties:
      port: {type: integer, default: 80}
      colour: {type: string, default: red}
"""
TASKS = """
- {id: render, type: noop, roles: [web], reads: {port: desired.web.port}, writes: [web.config]}
- {id: start, type: noop, roles: [web], reads: {config: web.config}}
- {id: paint, type: noop, roles: [web], reads: {colour: desired.web.colour}}
- {id: gather, type: noop, scope: deployment, reads: {ports: "nodes:web.config"}, writes: [{fact: web.all, slow: true}]}
"""
WEB = {"web": ["n0", "n1"]}


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site()
    return made


def render(claim: Claim) -> Result:
    """A jig that does what the tasks of the test say."""
    if claim.task == "render":
        return ok(claim, **{"web.config": {"listen": claim.inputs["port"]}})
    if claim.task == "gather":
        return ok(claim, **{"web.all": sorted(claim.inputs["ports"])})
    return ok(claim)


async def test_everything_runs_once_in_the_order_of_what_it_reads(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    ran = await hands.run(render)
    assert len(ran) == len(set(ran)) == 7
    assert ran.index(("n0", "render")) < ran.index(("n0", "start"))
    assert ran.index(("n1", "render")) < ran.index(("d", "gather"))
    assert set((await hands.states()).values()) == {"active"}
    assert await hands.run(render) == []


async def test_a_plan_names_exactly_what_runs_again_and_why(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(render)
    plan = await hands.plan({"set": {"web": {"port": 8080}}})
    again = {(item["node"], item["task"]) for item in plan.summary["again"]}
    follow = {(item["node"], item["task"]) for item in plan.summary["follow"]}
    assert again == {("n0", "render"), ("n1", "render")}
    assert {item["why"] for item in plan.summary["again"]} == {"changed: desired.web.port"}
    assert plan.summary["facts"] == [{"scope": "d", "path": "desired.web.port", "old": 80, "new": 8080}]
    assert await hands.run(render) == [], "a plan alone lets nothing run"
    await hands.apply({"set": {"web": {"port": 8080}}})
    assert set(await hands.run(render)) == again | follow


async def test_a_change_on_one_node_runs_on_that_node_and_stops_where_nothing_new_comes_out(hands: Hands) -> None:
    """The blast radius of a change on one node."""
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(render)
    await hands.apply({"set_nodes": {"n1": {"web": {"colour": "blue"}}}})
    assert await hands.run(render) == [("n1", "paint")]
    await hands.apply({"set_nodes": {"n0": {"web": {"port": 81}}}})
    assert set(await hands.run(render)) == {("n0", "render"), ("n0", "start"), ("d", "gather")}


async def test_a_change_that_a_nearer_value_hides_runs_nothing(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.apply({"set_nodes": {name: {"web": {"colour": "blue"}} for name in ("n0", "n1")}})
    await hands.run(render)
    summary = await hands.apply({"set": {"web": {"colour": "green"}}})
    assert (summary["again"], summary["follow"]) == ([], [])
    assert await hands.run(render) == []


async def test_inputs_that_change_while_a_task_runs_let_it_run_again(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0"]})
    held = {claim.task: claim for claim in await hands.claim(capacity=1)}
    first = held["render"]
    await hands.apply({"set": {"web": {"port": 8080}}})
    verdicts = await hands.give(render(first))
    assert [(v.taken, v.reason) for v in verdicts.items] == [(True, "superseded")]
    ran = await hands.run(render)
    assert ran.count(("n0", "render")) == 1
    assert set((await hands.states()).values()) == {"active"}


async def test_a_late_result_is_refused(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0"]})
    (old,) = await hands.claim(capacity=1, incarnation="first")
    (new,) = await hands.claim(capacity=1, incarnation="second")
    assert (new.id, new.attempt) == (old.id, old.attempt + 1)
    assert [v.taken for v in (await hands.give(render(old), incarnation="first")).items] == [False]
    assert [v.taken for v in (await hands.give(render(new), incarnation="second")).items] == [True]
    assert [v.taken for v in (await hands.give(render(new), incarnation="second")).items] == [False]


async def test_work_comes_back_when_its_lease_ends(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0"]})
    (claim,) = await hands.claim(capacity=1)
    assert await timers.reap(hands.store, time.time()) == 0
    beat = Heartbeat("i", [(claim.id, claim.attempt), (claim.id, 99)])
    answer = await seating.heartbeat(hands.store, hands.racks["r0"], beat, time.time(), 60.0)
    assert answer.cancel == [(claim.id, 99)]
    assert await timers.reap(hands.store, time.time() + 50) == 0
    assert await timers.reap(hands.store, time.time() + 70) == 1
    assert (await hands.states())["n0", claim.task] == "todo"


async def test_a_rack_is_told_which_of_the_things_it_keeps_nobody_wants_any_more(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    kept = {claim.scope: claim.id for claim in await hands.claim()}
    await hands.give(*[failed(claim) for claim in await hands.claim(incarnation="j")], incarnation="j")
    beat = Heartbeat("j", [], sorted(kept.values()))
    assert (await seating.heartbeat(hands.store, hands.racks["r0"], beat, time.time(), 60.0)).drop == []
    await hands.apply({"unbind": {"web": ["n1"]}})
    answer = await seating.heartbeat(hands.store, hands.racks["r0"], beat, time.time(), 60.0)
    assert answer.drop == [kept["n1"]]


async def test_a_node_has_one_task_at_a_time(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    held = await hands.claim()
    assert len(held) == len({claim.scope for claim in held}) == 2
    assert await hands.claim() == []


async def test_an_error_blocks_what_is_below_and_says_why_and_nothing_else_stops(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(lambda claim: failed(claim) if (claim.scope, claim.task) == ("n0", "render") else render(claim))
    states = await hands.states()
    assert states["n0", "render"] == "error"
    assert states["n0", "start"] == states["d", "gather"] == "blocked"
    assert states["n0", "paint"] == states["n1", "start"] == "active"
    assert await deployments.retry(hands.store, "d") == 1
    await hands.run(render)
    assert set((await hands.states()).values()) == {"active"}


async def test_what_a_task_writes_without_saying_so_is_its_error(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0"]})
    await hands.run(lambda claim: ok(claim, **{"other.fact": 1}) if claim.task == "paint" else render(claim))
    assert (await hands.states())["n0", "paint"] == "error"


async def test_a_racks_task_writes_on_members_in_its_own_rack_and_nowhere_else(hands: Hands) -> None:
    hands.racks["r1"] = await machines.add_rack(hands.store, "r1", b"1" * 32)
    new = [machines.NewNode(name="far", rack="r1"), machines.NewNode(name="free", rack="r0")]
    await machines.add_nodes(hands.store, new)
    tasks = '- {id: serve, type: noop, scope: rack, roles: [web], writes: ["nodes:served"]}'
    await hands.deployment(tasks, ROLES, bind={"web": ["n0", "far"]})
    for name, state in (("far", "error"), ("free", "error"), ("n0", "active")):
        (claim,) = await hands.claim("r0")
        values = {name: {"served": 1}}
        await hands.give(Result(id=claim.id, attempt=claim.attempt, revision=0, outcome="ok", node_facts=values))
        assert (await hands.states())["r0", "serve"] == state, name
        await deployments.retry(hands.store, "d")


async def test_a_barrier_that_was_only_read_counts_as_it_is_once_it_is_locked(hands: Hands) -> None:
    """A row that waits at a barrier and then one that feeds it: what was read before the lock must not be written."""
    tasks = """
- {id: first, type: noop, roles: [web]}
- {id: second, type: noop, roles: [web], cross-depends: [{name: first}]}
"""
    await machines.add_nodes(hands.store, [machines.NewNode(name=f"m{i}", rack="r0") for i in range(4)])
    await hands.deployment(tasks, "- {name: web}", bind={"web": ["n0", *(f"m{i}" for i in range(4))]})
    async with hands.store.transaction() as tx:
        deployment = (await tx.named("deployment", ["d"]))["d"].id
        feeding = await tx.find(deployment, ["first"], None)
        near = await tx.lock(await tx.find(deployment, ["second"], None))
        (barrier,) = near.barriers.values()
        barrier.waits = 99
        await reach_out(tx, near, feeding)
        assert near.barriers[barrier.id].waits == 5
        near.barriers[barrier.id].waits = 4
        near.touched_barriers.add(barrier.id)
        near.rows = {id: row for id, row in near.rows.items() if id not in feeding}
        await reach_out(tx, near, feeding)
        assert near.barriers[barrier.id].waits == 4
        await tx.rollback()


async def test_a_read_that_nobody_answers_is_an_error_with_the_names(hands: Hands) -> None:
    tasks = "- {id: a, type: noop, roles: [web], reads: {x: desired.web.missing}}"
    roles = "- {name: web, attributes: {properties: {missing: {type: string}}}}"
    await hands.deployment(tasks, roles, bind={"web": ["n0"]})
    assert await hands.run() == []
    assert await hands.states() == {("n0", "a"): "error"}
    await hands.apply({"set": {"web": {"missing": "here"}}})
    assert await hands.run() == [("n0", "a")]


async def test_a_stale_destructive_task_waits_for_a_person(hands: Hands) -> None:
    tasks = "- {id: wipe, type: noop, roles: [web], reads: {port: desired.web.port}, destructive: true}"
    await hands.deployment(tasks, ROLES, bind={"web": ["n0"]})
    assert await hands.run() == [("n0", "wipe")]
    summary = await hands.apply({"set": {"web": {"port": 1}}})
    assert [item["task"] for item in summary["commit"]] == ["wipe"]
    assert await hands.run() == []
    assert await deployments.commit(hands.store, "d", tasks=["wipe"]) == 1
    assert await hands.run() == [("n0", "wipe")]


async def test_conditions_and_expressions_see_the_inputs(hands: Hands) -> None:
    tasks = """
- {id: never, type: noop, roles: [web], reads: {port: desired.web.port}, condition: {yaql_exp: '$.port > 100'}}
- id: render
  type: noop
  roles: [web]
  reads: {port: desired.web.port}
  parameters: {text: {yaql_exp: 'concat($.node.name, ":", str($.port))'}}
"""
    await hands.deployment(tasks, ROLES, bind={"web": ["n0"]})
    seen: list[Any] = []

    def jig(claim: Claim) -> Result:
        seen.append(claim.parameters)
        return ok(claim)

    assert await hands.run(jig) == [("n0", "render")]
    assert seen == [{"text": "n0:80"}]
    assert (await hands.states())["n0", "never"] == "active"
    await hands.apply({"set": {"web": {"port": 101}}})
    assert set(await hands.run(jig)) == {("n0", "render"), ("n0", "never")}


async def test_an_edited_script_lets_its_task_run_again(hands: Hands) -> None:
    task = "- {id: s, type: script, roles: [web], parameters: {script: scripts/s.sh}}\n"
    files = {"roles.yaml": ROLES, "tasks.yaml": task + "- {id: a, type: noop, roles: [web]}"}
    await hands.library.add(hands.store, "g", files | {"scripts/s.sh": "#!/bin/sh\ntrue\n"})
    await deployments.create(hands.store, hands.library, "d", catalog="g")
    await hands.apply({"bind": {"web": ["n0"]}})
    await hands.run()
    await hands.library.add(hands.store, "g", files | {"scripts/s.sh": "#!/bin/sh\necho new\n"})
    assert await hands.run() == [], "a catalog that was added is used from the next plan on"
    await hands.apply({"catalog": "g"})
    assert await hands.run() == [("n0", "s")]


async def test_what_belongs_to_the_deployment_stays_with_its_rack_when_a_member_of_another_comes(hands: Hands) -> None:
    hands.racks["a0"] = await machines.add_rack(hands.store, "a0", b"a" * 32)
    await machines.add_nodes(hands.store, [machines.NewNode(name="a", rack="a0")])
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0"]})
    await hands.run(render)
    await hands.apply({"bind": {"web": ["a"]}})
    held = await hands.claim("r0"), await hands.claim("a0")
    assert all(claim.scope == "a" for claim in held[1])
    await hands.give(*map(render, held[1]), rack="a0")
    await hands.run(render)
    assert set((await hands.states()).values()) == {"active"}
    async with hands.store.transaction() as tx:
        near = await tx.lock(await tx.find((await tx.named("deployment", ["d"]))["d"].id, ["gather"], None))
    assert [row.rack for row in near.rows.values()] == [hands.racks["r0"]]


async def test_a_task_that_its_catalog_no_longer_has_is_an_error_and_stops_nothing_else(hands: Hands) -> None:
    provision = {"graphs/provision/tasks.yaml": "- {id: p, type: noop, roles: [web]}"}
    files = {"roles.yaml": ROLES, "tasks.yaml": "- {id: a, type: noop, roles: [web]}"}
    await hands.library.add(hands.store, "g", files | provision)
    await deployments.create(hands.store, hands.library, "d", catalog="g")
    await hands.apply({"bind": WEB, "graph": "provision"})
    await hands.library.add(hands.store, "g", files)
    await hands.apply({"catalog": "g"})
    assert set(await hands.run()) == {("n0", "a"), ("n1", "a")}
    states = await hands.states()
    assert states["n0", "p"] == "error"
    assert states["n0", "a"] == "active"


async def test_barriers_hold_back_a_second_wave_until_the_first_is_through(hands: Hands) -> None:
    tasks = """
- {id: first, type: noop, roles: [web]}
- {id: middle, type: stage}
- {id: second, type: noop, roles: [web], cross-depends: [{name: first}]}
- {id: third, type: noop, roles: [web], requires: [middle]}
- {id: between, type: noop, roles: [web], requires: [second], required_for: [middle]}
"""
    await machines.add_nodes(hands.store, [machines.NewNode(name=f"m{i}", rack="r0") for i in range(8)])
    nodes = ["n0", "n1", *(f"m{i}" for i in range(8))]
    await hands.deployment(tasks, "- {name: web}", bind={"web": nodes})
    await hands.give(*[ok(claim) for claim in await hands.claim()])
    (view,) = await hands.views.deployments(names=["d"])
    assert view.state == "annealing", "what waits behind an open barrier is not stuck"
    ran = ["first"] * 10 + [task for _, task in await hands.run()]
    assert ran == ["first"] * 10 + ["second"] * 10 + ["between"] * 10 + ["third"] * 10
    await deployments.retry(hands.store, "d", tasks=["first"], nodes=["n1"])
    assert await hands.run() == [("n1", "first")]


async def test_an_error_behind_a_barrier_blocks_all_that_wait_at_it(hands: Hands) -> None:
    tasks = """
- {id: first, type: noop, roles: [web]}
- {id: second, type: noop, roles: [web], cross-depends: [{name: first}]}
"""
    await machines.add_nodes(hands.store, [machines.NewNode(name=f"m{i}", rack="r0") for i in range(8)])
    nodes = ["n0", "n1", *(f"m{i}" for i in range(8))]
    await hands.deployment(tasks, "- {name: web}", bind={"web": nodes})
    await hands.run()
    await deployments.retry(hands.store, "d", tasks=["first"], nodes=["n1"])
    await hands.run(failed)
    states = await hands.states()
    assert {state for (_, task), state in states.items() if task == "second"} == {"blocked"}
    await deployments.retry(hands.store, "d")
    assert len(await hands.run()) == 11
    assert set((await hands.states()).values()) == {"active"}


async def test_a_stopped_deployment_starts_nothing_and_goes_on_when_resumed(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await deployments.stop(hands.store, "d")
    assert await hands.run(render) == []
    await deployments.resume(hands.store, "d")
    assert len(await hands.run(render)) == 7


async def test_a_plan_is_refused_when_something_has_moved(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(render)
    plan = await hands.plan({"set": {"web": {"port": 1}}})
    await hands.apply({"set": {"web": {"colour": "blue"}}})
    await planning.apply_plan(hands.store, plan.id)
    while await planning.compute_next(hands.store, hands.library):
        pass
    async with hands.store.transaction() as tx:
        refused = await tx.plan(plan.id)
    assert refused.state == "failed"
    assert "moved" in refused.error


async def test_wrong_changes_are_refused_with_every_fault_and_nothing_is_kept(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    plan = await hands.plan({"set": {"web": {"port": "x", "prot": 1}}, "bind": {"web": ["n1"]}}, apply=True)
    assert plan.state == "failed"
    assert "web.port" in plan.error
    assert "did you mean" in plan.error
    plan = await hands.plan({"bind": {"wbe": ["n1"]}}, apply=True)
    assert "no role wbe" in plan.error
    with pytest.raises(NotFound, match="no deployment e"):
        await planning.request_plan(hands.store, "e", {}, apply=False, by="test")


async def test_one_address_has_one_node_and_one_node_has_one_address(hands: Hands) -> None:
    nodes = [
        machines.NewNode(name="a", address="127.1.0.1"),
        machines.NewNode(name="b", address="nonsense"),
        machines.NewNode(name="c", rack="r9"),
        machines.NewNode(name="d", address="127.9.9.9"),
    ]
    errors = [added.error for added in await machines.add_nodes(hands.store, nodes)]
    assert "n0" in errors[0]
    assert "not an address" in errors[1]
    assert "no rack r9" in errors[2]
    assert errors[3] == ""


async def test_a_node_that_is_gone_is_left_alone_until_it_is_back(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(render)
    await machines.set_node(hands.store, "n0", alive=False)
    assert await hands.run(render) == []
    assert {state for (node, _), state in (await hands.states()).items() if node == "n0"} == {"todo", "blocked"}
    await machines.set_node(hands.store, "n0", alive=True)
    assert set(await hands.run(render)) == {("n0", "render"), ("n0", "start"), ("n0", "paint")}


async def test_a_graph_writes_its_outcome_on_the_nodes_it_ends_on(hands: Hands) -> None:
    files = {
        "roles.yaml": ROLES,
        "tasks.yaml": "- {id: a, type: noop, roles: [web]}",
        "graphs/provision/tasks.yaml": "- {id: p, type: noop, roles: [web]}\n- {id: q, type: noop, roles: [web]}",
        "graphs/provision/metadata.yaml": (
            "node_filter: $.status != 'provisioned'\n"
            "on_success: {node_attributes: {status: provisioned}}\non_error: {node_attributes: {status: error}}\n"
        ),
    }
    await hands.library.add(hands.store, "g", files)
    await deployments.create(hands.store, hands.library, "d", catalog="g")
    await hands.apply({"bind": WEB, "graph": "provision"})
    await hands.run(lambda claim: failed(claim) if (claim.scope, claim.task) == ("n1", "q") else ok(claim))
    async with hands.store.transaction() as tx:
        scopes = await tx.named("node", None)
        facts = {fact.scope: fact.value for fact in await tx.facts([s.id for s in scopes.values()], ["status"])}
    assert (facts[scopes["n0"].id], facts[scopes["n1"].id]) == ("provisioned", "error")
    summary = await hands.apply({"graph": "provision"})
    assert {item["node"] for item in summary["remove"]} == {"n0"}


async def test_the_slow_check_finds_nothing_to_mend(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind=WEB)
    await hands.run(render)
    await hands.apply({"set": {"web": {"port": 1}}})
    assert [mended for _, mended in [await timers.sweep(hands.store, hands.library, 0)]] == [0]


async def test_a_name_that_is_taken_is_a_conflict(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES)
    with pytest.raises(Conflict):
        await deployments.create(hands.store, hands.library, "d", catalog="d")


COMPUTED = """
- {id: first, type: noop, roles: [web]}
- id: second
  type: noop
  roles: [web]
  cross_depends:
    yaql_exp: "switch($.web.port > 80 => [{name => first, role => $.roles}], true => [])"
"""


@pytest.mark.parametrize("policy", ["default", "processes"])
async def test_relations_are_computed_from_facts_when_a_graph_is_planned(policy: str, hands: Hands) -> None:
    await hands.deployment(COMPUTED, ROLES, bind=WEB)
    assert {name: state for name, state in (await hands.states()).items() if name[1] == "second"} == {
        ("n0", "second"): "todo",
        ("n1", "second"): "todo",
    }
    await hands.apply({"set": {"web": {"port": 8080}, "serialization_policy": policy}})
    assert {name: state for name, state in (await hands.states()).items() if name[1] == "second"} == {
        ("n0", "second"): "blocked",
        ("n1", "second"): "blocked",
    }
    plan = await hands.plan({"set": {"serialization_policy": "nobody"}})
    assert plan.state == "failed"
    assert "'nobody' is none of auto, serial, processes, dask" in plan.error
    plan = await hands.plan({"set": {"serialization_policy": "distributed"}})
    assert "the policy dask needs a scheduler" in plan.error


async def test_a_relation_that_cannot_be_computed_names_task_node_and_expression(hands: Hands) -> None:
    await hands.deployment(COMPUTED.replace("$.web.port > 80", "$.web.absent"), ROLES)
    plan = await hands.plan({"bind": WEB})
    assert plan.state == "failed"
    assert "tasks.yaml:3: task second on node n0" in plan.error
    assert "$.web.absent" in plan.error
