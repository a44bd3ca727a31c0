"""Roles that bring others, in deployments that stand in a tree. On both stores."""

from __future__ import annotations

import asyncio

import pytest

from rackwright.core.errors import Conflict
from rackwright.core.messages import Claim, Result
from rackwright.engine import deployments
from rackwright.engine.changes import Changes
from rackwright.engine.rollout import roll_out
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

ROLES = """
- {name: inventory, discovery: true}
- {name: base, implicit: true}
- {name: store, abstract: true}
- {name: ceph, provides: [store], cluster: true, requires: [base]}
- {name: files, provides: [store]}
- {name: dns, service: true}
- {name: app, requires: [base, store, dns], conflicts: [mail], milestone: true}
- {name: mail}
- {name: probe, precedes: [app]}
"""
TASKS = """
- {id: look, type: noop, roles: [inventory]}
- {id: prepare, type: noop, roles: [base]}
- {id: osd, type: noop, roles: [ceph]}
- {id: mds, type: noop, roles: [ceph], requires: [osd]}
- {id: share, type: noop, roles: [files]}
- {id: zone, type: noop, scope: deployment, roles: [dns]}
- {id: serve, type: noop, roles: [app]}
- {id: answer, type: noop, roles: [app], requires: [serve]}
- {id: post, type: noop, roles: [mail]}
- {id: watch, type: noop, roles: [probe]}
"""
Words = set[tuple[str, str, str]]


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(nodes=3)
    return made


def items(told: list[dict[str, str]]) -> Words:
    return {(item["node"], item["role"], item["why"]) for item in told}


async def roles_of(hands: Hands, name: str = "d") -> dict[str, set[str]]:
    async with hands.store.transaction() as tx:
        deployment = (await tx.named("deployment", [name]))[name]
        return {member.name: set(member.roles) for member in await tx.memberships(deployment.id)}


async def test_a_plan_says_what_is_bound_by_itself_and_why(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES)
    plan = await hands.plan({"bind": {"app": ["n0", "n1"], "files": ["n2"]}})
    found = items(plan.summary["bound"])
    assert found == {
        ("n0", "inventory", "every new node gets it"),
        ("n1", "inventory", "every new node gets it"),
        ("n2", "inventory", "every new node gets it"),
        ("n0", "base", "app requires it"),
        ("n1", "base", "app requires it"),
        ("d", "dns", "app requires it"),
    }
    assert await roles_of(hands) == {}, "a plan alone binds nothing"
    summary = await hands.apply({"bind": {"app": ["n0", "n1"], "files": ["n2"]}})
    assert items(summary["bound"]) == found
    assert await roles_of(hands) == {
        "n0": {"app", "base", "inventory"},
        "n1": {"app", "base", "inventory"},
        "n2": {"files", "inventory"},
    }
    assert (await hands.apply({"bind": {"app": ["n0"]}}))["bound"] == []


async def test_tasks_follow_in_the_order_of_their_roles(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"app": ["n0"], "ceph": ["n1", "n2"], "probe": ["n0"]})
    ran = await hands.run()
    serve = ran.index(("n0", "serve"))
    before = {("n0", "prepare"), ("n1", "mds"), ("n2", "mds"), ("d", "zone"), ("n0", "watch")}
    assert before <= set(ran[:serve])
    assert ran.index(("n1", "prepare")) < ran.index(("n1", "osd"))
    assert set((await hands.states()).values()) == {"active"}


async def test_an_error_of_one_peer_of_a_cluster_holds_what_requires_it(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"app": ["n0"], "ceph": ["n1", "n2"]})

    def jig(claim: Claim) -> Result:
        return failed(claim) if (claim.scope, claim.task) == ("n2", "osd") else ok(claim)

    await hands.run(jig)
    states = await hands.states()
    assert (states["n2", "osd"], states["n0", "serve"], states["n1", "mds"]) == ("error", "blocked", "active")


async def test_what_cannot_be_bound_is_refused_with_both_names(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES)
    for bind, said in (
        ({"app": ["n0"], "files": ["n1"], "mail": ["n0"]}, "app and mail exclude each other on n0"),
        ({"app": ["n0"]}, "app on n0 requires store, which ceph and files provide"),
        ({"store": ["n0"]}, "the role store is abstract"),
        ({"dns": ["n0"]}, "dns is a service"),
    ):
        plan = await hands.plan({"bind": bind}, apply=True)
        assert plan.state == "failed"
        assert said in plan.error
    assert await roles_of(hands) == {}


async def test_a_service_comes_and_goes_with_the_deployment(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"mail": ["n0"]})
    assert ("d", "zone") not in await hands.states()
    await hands.apply({"bind": {"dns": ["d"]}})
    await hands.run()
    assert (await hands.states())["d", "zone"] == "active"
    await hands.apply({"unbind": {"dns": ["d"]}})
    assert ("d", "zone") not in await hands.states()
    refused = await hands.plan({"set": {"service_roles": {"x": 1}}})
    assert "services are bound and unbound, not set" in refused.error


async def test_what_is_still_needed_stays_and_a_cascade_takes_what_needs_it(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"app": ["n0"], "files": ["n1"]})
    await hands.run()
    for unbind, cascade, said in (
        ({"base": ["n0"]}, False, "base is still needed by app on n0"),
        ({"files": ["n1"]}, True, "store is still needed by app on n0"),
        ({"*": ["n1"]}, True, "store is still needed by app on n0"),
    ):
        plan = await hands.plan({"unbind": unbind, "cascade": cascade}, apply=True)
        assert said in plan.error
    summary = await hands.apply({"unbind": {"base": ["n0"]}, "cascade": True})
    assert items(summary["unbound"]) == {("n0", "app", "it requires base")}
    assert await roles_of(hands) == {"n0": {"inventory"}, "n1": {"files", "inventory"}}
    await hands.apply({"unbind": {"*": ["n0", "n1"]}})
    assert await roles_of(hands) == {}
    assert {task for _, task in await hands.states()} == {"zone"}


async def test_what_never_ran_goes_with_a_cascade_from_any_node(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"app": ["n0"], "files": ["n1"]})
    await hands.apply({"unbind": {"files": ["n1"]}, "cascade": True})
    assert (await roles_of(hands))["n0"] == {"base", "inventory"}


async def child(hands: Hands, name: str = "c", parent: str = "d") -> None:
    await deployments.create(hands.store, hands.library, name, catalog="d", parent=parent)


async def test_a_deployment_finds_what_it_requires_in_those_above_it(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"files": ["n0"], "dns": ["d"]})
    await child(hands)
    await child(hands, "cc", "c")
    summary = await hands.apply({"bind": {"app": ["n1"]}}, "cc")
    assert items(summary["bound"]) == {
        ("n1", "inventory", "every new node gets it"),
        ("n1", "base", "app requires it"),
    }
    for unbind in ({"files": ["n0"]}, {"dns": ["d"]}):
        refused = await hands.plan({"unbind": unbind, "cascade": True}, apply=True)
        assert "still needed by app on n1 in the deployment cc" in refused.error
    await hands.apply({"bind": {"files": ["n2"]}}, "c")
    await hands.apply({"unbind": {"files": ["n0"]}})


async def test_nobody_takes_away_what_another_plan_is_about_to_rely_on(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"files": ["n0"], "dns": ["d"]})
    await child(hands)
    async with hands.store.transaction() as tx:
        below = (await tx.named("deployment", ["c"]))["c"]
        await roll_out(tx, hands.library, below.id, Changes(bind={"app": ["n1"]}))
        other = asyncio.create_task(hands.plan({"unbind": {"files": ["n0"]}}, apply=True))
        await asyncio.wait([other], timeout=1.5)
        assert not other.done(), "it waits for the end of the plan that relies on it"
    plan = await other
    assert "store is still needed by app on n1 in the deployment c" in plan.error


async def test_a_child_of_a_stopped_deployment_is_stopped_too(hands: Hands) -> None:
    await hands.deployment(TASKS, ROLES, bind={"mail": ["n0"]})
    await child(hands)
    await hands.apply({"bind": {"mail": ["n1"]}}, "c")
    await deployments.stop(hands.store, "d")
    await child(hands, "cc", "c")
    assert await hands.run() == []
    with pytest.raises(Conflict, match="d, above it, is stopped"):
        await deployments.resume(hands.store, "c")
    await deployments.resume(hands.store, "d")
    assert {scope for scope, _ in await hands.run()} == {"n0", "n1"}
    stopped = {name: found.state for name, found in [(d.name, d) for d in await hands.views.deployments()]}
    assert "stopped" not in stopped.values()


async def test_without_words_between_roles_nothing_is_bound_by_itself(hands: Hands) -> None:
    await hands.deployment("- {id: t, type: noop, roles: [web]}", "- {name: web}")
    summary = await hands.apply({"bind": {"web": ["n0", "n1"]}})
    assert (summary["bound"], summary["unbound"]) == ([], [])
    await hands.apply({"unbind": {"web": ["n0"]}})
    assert await roles_of(hands) == {"n1": {"web"}}
