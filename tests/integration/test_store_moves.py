"""Node tasks and barriers: finding, locking, saving, waking. In both stores."""

from __future__ import annotations

import msgspec

from rackwright.core.node_task import Barrier, NodeTask, Run, State
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, undone, world


async def diamond(store: AnyStore) -> World:
    """1 -> 2, 3; 2 feeds barrier 50, which gates 4 and feeds barrier 51, which gates 5; 3 -> 6."""
    made = await world(store)
    rows = [
        made.row(1, "n1", "a", children=(2, 3)),
        made.row(2, "n2", "a", state=State.BLOCKED, waits=1, feeds=(50,)),
        made.row(3, "n3", "a", state=State.BLOCKED, waits=1, children=(6,)),
        made.row(4, "n1", "b", state=State.BLOCKED, gates=(50,)),
        made.row(5, "n2", "b", state=State.BLOCKED, gates=(51,)),
        made.row(6, "n3", "b", state=State.BLOCKED, waits=1),
    ]
    barriers = [
        Barrier(id=50, deployment=made.deployment, name="all", waits=1, children=(4,), feeds=(51,)),
        Barrier(id=51, deployment=made.deployment, name="end", waits=1, children=(5,)),
    ]
    await made.graph(rows, barriers)
    return made


async def test_a_node_task_is_stored_with_everything_that_belongs_to_it(store: AnyStore) -> None:
    made = await world(store)
    full = made.row(
        1, "n1", graph="wipe", state=State.TRANSITION, waits=2, priority=3, critical=True, attempt=4, tries=1, runs=2,
        revision=77, fingerprint=b"f", claimed=b"c", forced=True, incarnation="i", claimed_at=1.5, lease_until=2.5,
        not_before=3.5, reason="why", children=(2, 3), feeds=(9,), gates=(8, 7),
    )  # fmt: skip
    bare = NodeTask(id=2, deployment=made.deployment, graph="wipe", task="b", scope=made.deployment, rack=None)
    await made.graph([full, bare], graph="wipe")
    assert await made.rows("wipe") == {1: full, 2: bare}
    assert await made.rows("deploy") == {}


async def test_node_tasks_are_found_by_task_and_by_scope(store: AnyStore) -> None:
    made = await diamond(store)
    async with undone(store) as tx:
        assert await tx.find(made.deployment, ["a"], None) == [1, 2, 3]
        assert await tx.find(made.deployment, ["a", "b"], [made.nodes["n2"]]) == [2, 5]
        assert await tx.find(made.deployment, ["c"], None) == []
        assert await tx.find(made.deployment, ["a"], []) == []
        assert await tx.slice(2, 3) == [3, 4, 5]
        assert await tx.slice(6, 3) == []


async def test_scopes_with_something_unfinished_are_found(store: AnyStore) -> None:
    made = await world(store)
    await made.graph(
        [made.row(1, "n1", state=State.ACTIVE), made.row(2, "n2"), made.row(3, "n2", "b", state=State.ACTIVE)]
    )
    async with undone(store) as tx:
        assert await tx.unfinished(made.deployment, "deploy", list(made.nodes.values())) == {made.nodes["n2"]}
        assert await tx.unfinished(made.deployment, "wipe", list(made.nodes.values())) == set()


async def test_reach_gives_children_or_everything_below_through_barriers(store: AnyStore) -> None:
    await diamond(store)
    async with undone(store) as tx:
        assert await tx.reach([3, 1], "self") == [1, 3]
        assert await tx.reach([1], "children") == [1, 2, 3]
        assert await tx.reach([2], "children") == [2]
        assert await tx.reach([1], "descendants") == [1, 2, 3, 4, 5, 6]
        assert await tx.reach([2], "descendants") == [2, 4, 5]
        assert await tx.reach([], "descendants") == []


async def test_lock_gives_the_rows_the_barriers_below_and_the_gates(store: AnyStore) -> None:
    await diamond(store)
    async with undone(store) as tx:
        near = await tx.lock([2, 999])
        assert sorted(near.rows) == [2]
        assert sorted(near.barriers) == [50, 51]
        near = await tx.lock([5])
        assert sorted(near.barriers) == [51]
        near = await tx.lock([1])
        assert near.barriers == {}
        assert (await tx.lock([])).rows == {}


async def test_lock_takes_the_direct_children_along_when_asked(store: AnyStore) -> None:
    await diamond(store)
    async with undone(store) as tx:
        for id in (1, 4, 999):
            assert sorted((await tx.lock([id], "children")).rows) == [
                one for one in await tx.reach([id], "children") if one < 999
            ]


async def test_a_barrier_shows_those_children_that_are_locked_with_it(store: AnyStore) -> None:
    await diamond(store)
    async with undone(store) as tx:
        near = await tx.lock([2, 4])
        assert {id: barrier.children for id, barrier in near.barriers.items()} == {50: (4,), 51: ()}
        assert (await tx.barriers([50, 999]))[50].children == ()


async def test_save_writes_what_was_touched_and_nothing_else(store: AnyStore) -> None:
    made = await diamond(store)
    async with store.transaction() as tx:
        near = await tx.lock([1, 2, 3])
        for row in near.rows.values():
            row.reason, row.state, row.waits = "moved\x00", State.PROPOSED, 7
            row.children, row.priority = (), 99
        near.barriers[50].waits = 0
        near.barriers[51].waits = 0
        near.touched, near.touched_barriers = {1, 2}, {50}
        await tx.save(near)
    rows = await made.rows()
    assert [rows[id].state for id in (1, 2, 3)] == [State.PROPOSED, State.PROPOSED, State.BLOCKED]
    assert rows[1].reason == "moved\N{REPLACEMENT CHARACTER}"
    assert rows[1].waits == 7
    assert (rows[1].children, rows[1].priority) == ((2, 3), 0), "edges and weights are not moved"
    async with undone(store) as tx:
        barriers = await tx.barriers([50, 51])
    assert [barriers[50].waits, barriers[51].waits] == [0, 1]
    assert barriers[50].feeds == (51,)


async def test_locked_rows_are_copies_until_they_are_saved(store: AnyStore) -> None:
    made = await diamond(store)
    async with store.transaction() as tx:
        near = await tx.lock([1, 2])
        near.rows[1].state = State.ERROR
        near.barriers[50].waits = 9
    assert (await made.rows())[1].state is State.TODO
    async with undone(store) as tx:
        assert (await tx.barriers([50]))[50].waits == 1


async def test_runs_become_history(store: AnyStore) -> None:
    made = await diamond(store)
    run = Run(
        node_task=1, deployment=made.deployment, task="a", scope=made.nodes["n1"], rack=made.racks["r1"], attempt=3,
        outcome="failed", reason="disk\x00full", revision=5, fingerprint=b"f", started_at=NOW, ended_at=NOW + 2,
    )  # fmt: skip
    async with store.transaction() as tx:
        near = await tx.lock([1])
        near.runs += [run, msgspec.structs.replace(run, attempt=4, outcome="active", reason="")]
        await tx.save(near)
    first, second = await store.views.runs("web")
    assert (first.attempt, first.outcome, first.scope, first.rack) == (3, "failed", "n1", "r1")
    assert first.reason == "disk\N{REPLACEMENT CHARACTER}full"
    assert (second.id > first.id, second.outcome) == (True, "active")
    assert await store.views.runs("web", after=first.id) == [second]
    assert await store.views.runs("web", scope="n2") == []
    assert await store.views.runs("web", task="a", limit=1) == [first]


async def test_an_open_barrier_wakes_its_children_in_batches(store: AnyStore) -> None:
    made = await world(store)
    barriers = [
        Barrier(id=50, deployment=made.deployment, name="shut", waits=1, children=(1, 2)),
        Barrier(id=51, deployment=made.deployment, name="done", released=2, children=(1, 2)),
        Barrier(id=52, deployment=made.deployment, name="open", children=(11, 12, 13)),
        Barrier(id=53, deployment=made.deployment, name="empty"),
    ]
    await made.graph([], barriers)
    woken = []
    for _ in range(2):
        async with store.transaction() as tx:
            found = await tx.wakeable(2)
            assert found is not None
            barrier, ids = found
            woken.append((barrier.id, ids))
            assert await tx.released(52, barrier.released, barrier.released + len(ids))
            assert not await tx.released(52, barrier.released, barrier.released + len(ids)), "somebody was faster"
    assert woken == [(52, [11, 12]), (52, [13])]
    async with undone(store) as tx:
        assert await tx.wakeable(2) is None
        assert not await tx.released(50, 0, 1), "a closed barrier releases nothing"
        assert not await tx.released(999, 0, 1)


async def test_a_new_shape_replaces_rows_edges_and_barriers(store: AnyStore) -> None:
    made = await diamond(store)
    async with store.transaction() as tx:
        rows = {row.id: row for row in await tx.graph_rows(made.deployment, "deploy")}
        rows[1].children, rows[1].feeds, rows[1].gates = (3,), (60,), ()
        rows[3].rack, rows[3].priority, rows[3].critical = None, 8, True
        await tx.replace_graph(
            made.deployment,
            "deploy",
            insert=[made.row(7, "n4", "a")],
            update=[rows[1], rows[3]],
            delete=[2, 4, 5],
            barriers=[Barrier(id=60, deployment=made.deployment, name="new", waits=1)],
        )
    after = await made.rows()
    assert sorted(after) == [1, 3, 6, 7]
    assert (after[1].children, after[1].feeds) == ((3,), (60,))
    assert (after[3].rack, after[3].priority, after[3].critical) == (None, 8, True)
    async with undone(store) as tx:
        assert sorted(await tx.barriers([50, 51, 60])) == [60]


async def test_reserved_ids_are_never_given_twice(store: AnyStore) -> None:
    async with store.transaction() as tx:
        first, barriers = await tx.reserve(3, 2)
        second, none = await tx.reserve(2, 0)
    assert [len(first), len(barriers), len(second), len(none)] == [3, 2, 2, 0]
    assert max(first) < min(second)
