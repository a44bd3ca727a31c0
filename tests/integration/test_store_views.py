"""What people read, in both stores."""

from __future__ import annotations

import pytest

from rackwright.core.errors import NotFound
from rackwright.core.facts import FactWrite
from rackwright.core.node_task import Barrier, Run, State
from rackwright.core.ports import Deployment, Event, Membership
from rackwright.core.views import EdgeView
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, world


async def shop(store: AnyStore) -> World:
    """n1 active and in error, n2 in todo, n3 blocked, n4 without node tasks."""
    made = await world(store)
    rows = [
        made.row(1, "n1", "a", state=State.ACTIVE, children=(2,), feeds=(50,), runs=1, attempt=1, claimed_at=NOW),
        made.row(2, "n1", "b", state=State.ERROR, reason="exit 1"),
        made.row(3, "n2", "a", rack=made.racks["r2"]),
        made.row(4, "n3", "b", state=State.BLOCKED, waits=1, gates=(50,)),
    ]
    barriers = [
        Barrier(id=50, deployment=made.deployment, name="all", waits=1, children=(4,), feeds=(51,)),
        Barrier(id=51, deployment=made.deployment, name="end"),
    ]
    await made.graph(rows, barriers)
    async with store.transaction() as tx:
        await tx.put_facts(
            [
                FactWrite(made.nodes["n1"], "desired.address", "10.0.0.1", "people"),
                FactWrite(made.nodes["n1"], "nats.config", {"port": 1}, "a"),
            ]
        )
        await tx.set_members(
            made.deployment,
            [
                Membership(
                    deployment=made.deployment, scope=made.nodes["n1"], name="", rack=None, roles=("web", "db"), tags=()
                )
            ],
        )
    return made


async def test_nodes_say_where_they_stand_and_how_they_are(store: AnyStore) -> None:
    await shop(store)
    nodes = {node.name: node for node in await store.views.nodes()}
    assert list(nodes) == ["n1", "n2", "n3", "n4"]
    assert (nodes["n1"].rack, nodes["n1"].address, nodes["n1"].roles) == ("r1", "10.0.0.1", ["web/db", "web/web"])
    assert (nodes["n1"].tasks, nodes["n1"].state) == ({"error": 1, "active": 1}, "error")
    assert [nodes[name].state for name in ("n2", "n3", "n4")] == ["todo", "blocked", "idle"]
    assert nodes["n1"].facts == {}, "facts only when one node is asked for"
    (one,) = await store.views.nodes(names=["n1"])
    assert one.facts == {"desired.address": "10.0.0.1", "nats.config": {"port": 1}}


async def test_nodes_come_in_pages_and_by_rack(store: AnyStore) -> None:
    await shop(store)
    assert [node.name for node in await store.views.nodes(after="n1", limit=2)] == ["n2", "n3"]
    assert [node.name for node in await store.views.nodes(rack="r2")] == ["n2", "n4"]
    assert [node.name for node in await store.views.nodes(names=["n4", "n2", "n99"])] == ["n2", "n4"]


async def test_racks_say_what_they_have_to_do(store: AnyStore) -> None:
    await shop(store)
    racks = {rack.name: (rack.nodes, rack.tasks) for rack in await store.views.racks()}
    assert racks == {"r1": (2, {"error": 1, "active": 1, "blocked": 1}), "r2": (2, {"todo": 1})}
    assert [rack.name for rack in await store.views.racks(names=["r2"])] == ["r2"]


async def test_a_deployment_says_how_it_is_and_why_it_does_not_go_on(store: AnyStore) -> None:
    made = await shop(store)
    (web,) = await store.views.deployments()
    assert (web.name, web.catalog, web.parent, web.members) == ("web", "shop", None, 1)
    assert (web.state, web.tasks) == ("annealing", {"error": 1, "active": 1, "todo": 1, "blocked": 1})
    assert web.reasons == ["b on n1 is error: exit 1", "b on n3 is blocked: waits for 1 other node task"]
    async with store.transaction() as tx:
        await tx.set_alive(made.nodes["n2"], alive=False)
        await tx.add_deployment(Deployment(id=0, name="child", parent=made.deployment))
    child, web = await store.views.deployments()
    assert (child.state, child.parent, child.reasons) == ("empty", "web", [])
    assert web.state == "error", "what is left in todo cannot run"
    assert web.reasons[-1] == "a on n2 is todo: n2 is not alive"
    assert await store.views.deployments(names=["none"]) == []


@pytest.mark.parametrize(
    ("states", "stopped", "word"),
    [
        ([State.ACTIVE, State.ACTIVE], False, "active"),
        ([State.ACTIVE, State.ACTIVE], True, "active"),
        ([State.ACTIVE, State.TODO], True, "stopped"),
        ([State.ACTIVE, State.TODO], False, "annealing"),
        ([State.ERROR, State.TRANSITION], False, "annealing"),
        ([State.ERROR, State.PROPOSED], False, "error"),
        ([State.BLOCKED, State.PROPOSED], False, "proposed"),
        ([State.BLOCKED, State.ACTIVE], False, "blocked"),
        ([], False, "empty"),
    ],
)
async def test_the_word_for_a_deployment(store: AnyStore, states: list[State], stopped: bool, word: str) -> None:
    made = await world(store)
    await made.graph([made.row(id, f"n{id}", state=state) for id, state in enumerate(states, 1)])
    async with store.transaction() as tx:
        await tx.set_deployment(made.deployment, stopped=stopped)
    assert [found.state for found in await store.views.deployments()] == [word]


async def test_what_waits_behind_a_critical_error_does_not_count_as_going_on(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1", state=State.ERROR, critical=True), made.row(2, "n1", "next")])
    assert [found.state for found in await store.views.deployments()] == ["error"]


async def test_node_tasks_can_be_picked_and_paged(store: AnyStore) -> None:
    await shop(store)
    tasks = await store.views.tasks("web")
    assert [task.id for task in tasks] == [1, 2, 3, 4]
    assert (tasks[0].scope, tasks[0].rack, tasks[0].state, tasks[0].claimed_at) == ("n1", "r1", "active", NOW)
    assert (tasks[1].claimed_at, tasks[1].reason) == (None, "exit 1")
    assert [task.id for task in await store.views.tasks("web", state="blocked")] == [4]
    assert [task.id for task in await store.views.tasks("web", scope="n1", task="b")] == [2]
    assert [task.id for task in await store.views.tasks("web", after=1, limit=2)] == [2, 3]


async def test_the_graph_has_node_tasks_barriers_and_edges(store: AnyStore) -> None:
    await shop(store)
    graph = await store.views.graph("web")
    assert [task.id for task in graph.tasks] == [1, 2, 3, 4]
    assert graph.barriers == [(50, "all", False), (51, "end", True)]
    assert graph.edges == [
        EdgeView(parent="1", child="2"),
        EdgeView(parent="1", child="barrier:50"),
        EdgeView(parent="barrier:50", child="4"),
        EdgeView(parent="barrier:50", child="barrier:51"),
    ]


async def test_views_of_an_unknown_deployment_say_so(store: AnyStore) -> None:
    views = store.views
    for asked in (views.tasks("no"), views.graph("no"), views.runs("no"), views.plans("no")):
        with pytest.raises(NotFound, match="no deployment called no"):
            await asked


async def test_events_and_ended_attempts_come_in_one_order(store: AnyStore) -> None:
    made = await shop(store)
    async with store.transaction() as tx:
        await tx.record([Event(kind="stale", text="n1 changed\x00", deployment="web", scope="n1", data={"a": [1]})])
        near = await tx.lock([2])
        near.runs.append(
            Run(
                node_task=2,
                deployment=made.deployment,
                task="b",
                scope=made.nodes["n1"],
                rack=made.racks["r1"],
                attempt=1,
                outcome="failed",
                reason="exit 1",
                started_at=NOW,
                ended_at=NOW + 1,
            )
        )
        await tx.save(near)
        await tx.record([Event(kind="other", text="elsewhere")])
    first, run, last = await store.views.events()
    assert (first["kind"], first["data"], first["text"]) == ("stale", {"a": [1]}, "n1 changed\N{REPLACEMENT CHARACTER}")
    assert (run["kind"], run["text"], run["at"]) == ("run", "b on n1: failed: exit 1", NOW + 1)
    assert (run["deployment"], run["scope"], run["task"]) == ("web", "n1", "b")
    assert run["data"] == {
        "node_task": 2, "rack": "r1", "attempt": 1, "outcome": "failed", "reason": "exit 1", "started_at": NOW,
    }  # fmt: skip
    assert (last["deployment"], last["scope"]) == (None, None)
    assert first["id"] < run["id"] < last["id"]
    assert await store.views.events(after=first["id"], limit=1) == [run]
    assert await store.views.events(deployment="web") == [first, run]
    assert await store.views.events(after=-1, limit=2) == [run, last]
    assert await store.views.events(after=-1, deployment="web", limit=1) == [run]
    assert await store.views.events(after=last["id"]) == []


async def test_pieces_of_a_log_may_come_twice_overlap_and_be_out_of_order(store: AnyStore) -> None:
    views = store.views
    assert await views.log(1, attempt=None, offset=0) == await views.log(1, attempt=0, offset=0)
    await views.add_log([(1, 1, 0, b"old", True)])
    await views.add_log([(1, 2, 5, b"fghij", False)])
    early = await views.log(1, attempt=None, offset=0)
    assert (early.attempt, early.data, early.next_offset, early.complete) == (2, b"", 0, False)
    await views.add_log([(1, 2, 0, b"abcde", False), (1, 2, 0, b"abcde", False)])
    await views.add_log([(1, 2, 5, b"OTHER", False), (1, 2, 8, b"ijkl", False), (1, 2, 12, b"", True)])
    whole = await views.log(1, attempt=2, offset=0)
    assert (whole.data, whole.next_offset, whole.complete) == (b"abcdefghijkl", 12, True)
    part = await views.log(1, attempt=2, offset=6, limit=3)
    assert (part.data, part.next_offset, part.complete) == (b"ghi", 9, False)
    end = await views.log(1, attempt=2, offset=12)
    assert (end.data, end.complete) == (b"", True)
    assert (await views.log(1, attempt=1, offset=1)).data == b"ld"


async def test_tokens_and_secrets_are_known_by_their_digest(store: AnyStore) -> None:
    made = await world(store)
    assert await store.views.rack_secret("r1") == (made.racks["r1"], b"r1")
    assert await store.views.rack_secret("n1") is None
    await store.views.add_token("ops", b"one", "admin")
    await store.views.add_token("ops", b"two", "read")
    assert await store.views.token(b"one") is None
    assert await store.views.token(b"two") == ("ops", "read")
    assert await store.views.token(b"two") == ("ops", "read")
    assert await store.views.ready() == []
