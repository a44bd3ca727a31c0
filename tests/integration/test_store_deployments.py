"""Scopes, deployments, members, plans and catalogs, in both stores."""

from __future__ import annotations

import msgspec
import pytest

from rackwright.core.errors import Conflict, NotFound
from rackwright.core.facts import FactWrite
from rackwright.core.node_task import Barrier, State
from rackwright.core.ports import Deployment, Membership, PlanRecord, Scope
from tests.integration.conftest import AnyStore
from tests.integration.store_world import World, undone, world


def member(made: World, node: str, *roles: str) -> Membership:
    return Membership(
        deployment=made.deployment, scope=made.nodes[node], name="", rack=None, roles=roles, tags=(*roles, "x")
    )


async def bind(made: World, *members: Membership) -> None:
    async with made.store.transaction() as tx:
        await tx.set_members(made.deployment, members)


async def fence(made: World) -> int:
    async with undone(made.store) as tx:
        return await tx.fence(made.deployment)


async def test_scopes_are_found_by_id_and_by_name(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        id = await tx.add_scope(Scope(id=0, kind="node", name="n9", rack=made.racks["r2"], labels={"a": "b"}))
        found = (await tx.scopes([id, 999]))[id]
        assert (found.kind, found.name, found.rack, found.labels) == ("node", "n9", made.racks["r2"], {"a": "b"})
        assert (found.alive, found.available) == (True, True)
        assert found.created_at > 1_700_000_000
        assert sorted(await tx.named("node", ["n9", "n1", "nowhere", "r1"])) == ["n1", "n9"]
        assert sorted(await tx.named("rack", None)) == ["r1", "r2"]
        assert await tx.scopes([]) == {}


async def test_a_name_can_be_taken_once_per_kind_and_the_transaction_goes_on(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        with pytest.raises(Conflict, match="already a node called n1"):
            await tx.add_scope(Scope(id=0, kind="node", name="n1"))
        with pytest.raises(Conflict, match="already a deployment called web"):
            await tx.add_deployment(Deployment(id=0, name="web"))
        await tx.add_scope(Scope(id=0, kind="rack", name="n1"))
    async with undone(store) as tx:
        assert sorted(await tx.named("rack", None)) == ["n1", "r1", "r2"]
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await tx.add_scope(Scope(id=0, kind="node", name="lost", rack=max(made.nodes.values()) + 1000))


async def test_many_nodes_are_created_together_or_not_at_all(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        ids = await tx.add_nodes([Scope(id=0, kind="node", name=f"m{i}", rack=made.racks["r1"]) for i in range(50)])
        found = await tx.named("node", [f"m{i}" for i in range(50)])
    assert [found[f"m{i}"].id for i in range(50)] == ids
    for names in (["new", "m7"], ["new", "new"]):
        with pytest.raises(Conflict, match=names[1]):
            async with store.transaction() as tx:
                await tx.add_nodes([Scope(id=0, kind="node", name=name) for name in names])
    async with store.transaction() as tx:
        assert await tx.named("node", ["new"]) == {}
        assert await tx.add_nodes([]) == []


async def test_deployments_come_with_all_their_ancestors(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        child = await tx.add_deployment(Deployment(id=0, name="child", parent=made.deployment))
        grandchild = await tx.add_deployment(Deployment(id=0, name="grandchild", parent=child))
        found = await tx.deployments([grandchild])
        assert sorted(found) == sorted([made.deployment, child, grandchild])
        assert found[child].parent == made.deployment
        assert (found[made.deployment].catalog, found[made.deployment].catalog_name) == ("digest", "shop")
        await tx.set_deployment(child, catalog="new", stopped=True)
        changed = (await tx.deployments([child]))[child]
        assert (changed.catalog, changed.stopped) == ("new", True)
        await tx.set_deployment(child)
        assert (await tx.deployments([child]))[child] == changed
        concerned = await tx.deployments_of([made.deployment, grandchild])
        assert concerned == {
            made.deployment: sorted([made.deployment, child, grandchild]),
            grandchild: [grandchild],
        }


async def test_what_is_not_there_cannot_be_changed(store: AnyStore) -> None:
    async with store.transaction() as tx:
        for change in (
            tx.set_deployment(99, stopped=True),
            tx.lock_deployment(99),
            tx.set_alive(99, alive=True),
            tx.remove(99),
            tx.plan(99),
            tx.catalog("no such digest"),
        ):
            with pytest.raises(NotFound):
                await change
        assert await tx.catalog_digest("nothing") is None


async def test_members_are_replaced_as_a_whole(store: AnyStore) -> None:
    made = await world(store)
    await bind(made, member(made, "n2", "nats"), member(made, "n1", "nats", "monitor"))
    async with undone(store) as tx:
        members = await tx.memberships(made.deployment)
        assert [(found.name, found.roles, found.rack) for found in members] == [
            ("n1", ("nats", "monitor"), made.racks["r1"]),
            ("n2", ("nats",), made.racks["r2"]),
        ]
        assert members[0].tags == ("nats", "monitor", "x")
        assert await tx.memberships(made.deployment, [made.nodes["n2"], made.nodes["n3"]]) == [members[1]]
    await bind(made, member(made, "n1"), member(made, "n3", "nats"))
    async with undone(store) as tx:
        members = await tx.memberships(made.deployment)
        assert [(found.name, found.roles) for found in members] == [("n1", ()), ("n3", ("nats",))]
        concerned = await tx.deployments_of([*made.nodes.values(), *made.racks.values()])
    names = {id: name for name, id in (made.nodes | made.racks).items()}
    assert {names[id] for id, found in concerned.items() if found} == {"n1", "n3", "r1"}
    assert concerned[made.nodes["n2"]] == []


async def test_the_fence_moves_with_everything_that_a_plan_rests_on(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        parent = await tx.add_deployment(Deployment(id=0, name="parent"))
        child = await tx.add_deployment(Deployment(id=0, name="child", parent=parent))
    made.deployment = child
    await bind(made, member(made, "n1", "a"))
    seen = [await fence(made)]

    async def moved() -> bool:
        seen.append(await fence(made))
        return seen[-1] not in seen[:-1]

    async def put(scope: int, value: object) -> None:
        async with store.transaction() as tx:
            await tx.put_facts([FactWrite(scope, "desired.x", value, "people")])

    for scope in (made.nodes["n1"], child, parent):
        await put(scope, 1)
        assert await moved()
    await put(made.nodes["n1"], None)
    assert await moved(), "a deletion counts"
    await bind(made, member(made, "n1", "b"))
    assert await moved()
    async with store.transaction() as tx:
        await tx.set_deployment(parent, catalog="c")
    assert await moved()
    await made.graph([made.row(1, "n1")])
    assert await moved()
    await put(made.nodes["n2"], 1)
    await put(child, 1)
    await bind(made, member(made, "n1", "b"))
    assert not await moved(), "what is none of its business, or the same as before, does not count"


async def test_what_runs_or_is_stood_on_is_not_removed(store: AnyStore) -> None:
    made = await world(store)
    await bind(made, member(made, "n2", "nats"))
    await made.graph([made.row(1, "n1", state=State.TRANSITION), made.row(2, "n2")])
    for scope, why in (
        (made.nodes["n1"], "install is running on the node n1"),
        (made.deployment, "running on the deployment web"),
        (made.racks["r1"], "running on the rack r1"),
        (made.nodes["n2"], "the node n2 is a member of the deployment web"),
        (made.racks["r2"], "the node n2 stands in the rack r2"),
    ):
        with pytest.raises(Conflict, match=why):
            async with store.transaction() as tx:
                await tx.remove(scope)
    async with store.transaction() as tx:
        parent = await tx.add_deployment(Deployment(id=0, name="parent"))
        await tx.add_deployment(Deployment(id=0, name="below", parent=parent))
    with pytest.raises(Conflict, match="the deployment below lies below the deployment parent"):
        async with store.transaction() as tx:
            await tx.remove(parent)


async def test_a_removed_scope_takes_its_facts_and_node_tasks_along(store: AnyStore) -> None:
    made = await world(store)
    await bind(made, member(made, "n2", "nats"))
    await made.graph([made.row(1, "n1"), made.row(2, "n2")], [Barrier(id=5, deployment=made.deployment, name="b")])
    async with store.transaction() as tx:
        await tx.put_facts([FactWrite(made.nodes["n1"], "desired.x", 1, "people")])
        await tx.add_plan(PlanRecord(id=0, deployment=made.deployment, changes={}, apply=False))
        await tx.remove(made.nodes["n1"])
    assert sorted(await made.rows()) == [2]
    async with store.transaction() as tx:
        await tx.remove(made.deployment)
        assert await tx.barriers([5]) == {}
        assert await tx.next_plan() is None
        assert await tx.find(made.deployment, ["install"], None) == []
        await tx.remove(made.nodes["n2"])
    async with store.transaction() as tx:
        await tx.remove(made.nodes["n4"])
        await tx.remove(made.racks["r2"])
    assert [node.name for node in await store.views.nodes()] == ["n3"]
    assert await store.views.deployments() == []


async def test_a_plan_goes_from_requested_to_applied(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        first = await tx.add_plan(
            PlanRecord(id=0, deployment=made.deployment, changes={"bind": {"a": ["n1"]}}, apply=False, created_by="ann")
        )
        second = await tx.add_plan(PlanRecord(id=0, deployment=made.deployment, changes={}, apply=True))
    async with store.transaction() as tx:
        plan = await tx.next_plan()
        assert plan is not None
        assert (plan.id, plan.state, plan.changes, plan.created_by) == (
            first,
            "requested",
            {"bind": {"a": ["n1"]}},
            "ann",
        )
        assert plan.created_at > 1_700_000_000
        await tx.set_plan(msgspec.structs.replace(plan, state="ready", summary={"run": 3}, fence=42))
    async with store.transaction() as tx:
        plan = await tx.next_plan()
        assert plan is not None
        assert plan.id == second
        await tx.set_plan(msgspec.structs.replace(plan, state="failed", error="no\x00", finished_at=5.0))
        assert await tx.next_plan() is None
    async with store.transaction() as tx:
        ready = await tx.plan(first, lock=True)
        assert (ready.state, ready.summary, ready.fence) == ("ready", {"run": 3}, 42)
        await tx.set_plan(msgspec.structs.replace(ready, apply=True))
        again = await tx.next_plan()
        assert again is not None
        assert again.id == first, "a ready plan that is to be applied is to be done"
        await tx.set_plan(msgspec.structs.replace(again, state="applied"))
        assert await tx.next_plan() is None
        assert (await tx.plan(second)).error == "no\N{REPLACEMENT CHARACTER}"
    assert [(plan["id"], plan["state"], plan["deployment"]) for plan in await store.views.plans("web")] == [
        (second, "failed", "web"),
        (first, "applied", "web"),
    ]


async def test_plans_of_an_unknown_deployment_are_refused(store: AnyStore) -> None:
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await tx.add_plan(PlanRecord(id=0, deployment=987654, changes={}, apply=False))


async def test_a_catalogs_name_means_the_newest_document(store: AnyStore) -> None:
    async with store.transaction() as tx:
        await tx.put_catalog("d1", "shop", b"one")
        await tx.put_catalog("d2", "shop", b"two")
        await tx.put_catalog("d1", "other", b"ignored: the digest says that it is the same")
        assert await tx.catalog_digest("shop") == "d2"
        assert await tx.catalog("d1") == b"one"
    catalogs = await store.views.catalogs()
    assert [(found["name"], found["digest"]) for found in catalogs] == [("other", "d1"), ("shop", "d2")]
    assert all(found["created_at"] > 1_700_000_000 for found in catalogs)
