"""Claims, leases and wake-ups, in both stores."""

from __future__ import annotations

import asyncio

from rackwright.core.clocks import FAR
from rackwright.core.node_task import HELD, PARKED, Barrier, NodeTask, Run, State
from rackwright.core.ports import Event, Membership, PlanRecord
from rackwright.core.seats import Holder
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, undone, world


async def claimable(made: World, capacity: int = 10, rack: str = "r1", now: float = NOW) -> list[int]:
    async with undone(made.store) as tx:
        return [row.id for row in await tx.claimable({made.racks[rack]: capacity}, now)]


def running(
    made: World, id: int, node: str, *, incarnation: str = "new", lease: float = NOW, attempt: int = 1
) -> NodeTask:
    return made.row(
        id, node, state=State.TRANSITION, incarnation=incarnation, lease_until=lease, attempt=attempt, claimed_at=NOW
    )


async def test_the_heaviest_comes_first_and_one_per_scope(store: AnyStore) -> None:
    made = await world(store, nodes=6)
    await made.graph(
        [
            made.row(1, "n1", "a", priority=1),
            made.row(2, "n1", "b", priority=5),
            made.row(3, "n3", "a", priority=3),
            made.row(4, "n5", "a", priority=3),
            made.row(5, "n2", "a", priority=9, rack=made.racks["r2"]),
        ]
    )
    assert await claimable(made) == [2, 3, 4]
    assert await claimable(made, capacity=2) == [2, 3]
    assert await claimable(made, capacity=0) == []
    assert await claimable(made, rack="r2") == [5]


async def test_a_scope_with_very_many_ready_tasks_does_not_hide_the_others(store: AnyStore) -> None:
    made = await world(store, nodes=6)
    many = [made.row(id, "n1", f"t{id}", priority=9) for id in range(1, 101)]
    await made.graph([*many, made.row(200, "n3", priority=1), made.row(201, "n5", priority=0)])
    assert await claimable(made, capacity=3) == [1, 200, 201]


async def test_only_what_may_run_now_is_claimable(store: AnyStore) -> None:
    made = await world(store, nodes=16)
    held = {
        "n1": made.row(1, "n1", state=State.BLOCKED),
        "n3": made.row(2, "n3", state=State.PROPOSED),
        "n5": made.row(3, "n5", not_before=NOW + 1),
        "n7": made.row(4, "n7"),
        "n9": made.row(5, "n9"),
        "n11": made.row(6, "n11", critical=True, state=State.ERROR),
        "n13": made.row(8, "n13", state=State.ERROR),
        "n15": running(made, 10, "n15"),
    }
    more = [made.row(7, "n11", "next"), made.row(9, "n13", "next"), made.row(11, "n15", "next")]
    await made.graph([*held.values(), *more])
    async with store.transaction() as tx:
        await tx.set_alive(made.nodes["n7"], alive=False)
        await tx.set_alive(made.nodes["n9"], available=False)
    assert await claimable(made) == [9], "an error that is not critical does not stop the scope"
    assert await claimable(made, now=NOW + 1) == [3, 9]
    async with store.transaction() as tx:
        await tx.set_alive(made.nodes["n7"], alive=True)
        await tx.set_alive(made.nodes["n9"], available=True)
    assert await claimable(made) == [4, 5, 9]


async def test_a_stopped_deployment_gives_nothing_away(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1")])
    async with store.transaction() as tx:
        await tx.set_deployment(made.deployment, stopped=True)
    assert await claimable(made) == []
    async with store.transaction() as tx:
        await tx.set_deployment(made.deployment, stopped=False)
    assert await claimable(made) == [1]


async def test_tasks_of_racks_and_deployments_are_claimable_too(store: AnyStore) -> None:
    made = await world(store)
    of_rack = made.row(1, "r1", "dhcp")
    of_all = NodeTask(
        id=2,
        deployment=made.deployment,
        task="accounts",
        scope=made.deployment,
        rack=made.racks["r1"],
        state=State.TODO,
    )
    await made.graph([of_rack, of_all])
    assert await claimable(made) == [1, 2]
    assert await claimable(made, rack="r2") == []


async def test_racks_are_woken_for_what_is_in_the_queue_and_past_its_back_off(store: AnyStore) -> None:
    made = await world(store, nodes=6)
    await made.graph(
        [
            made.row(1, "n1", state=State.BLOCKED),
            made.row(2, "n3", not_before=NOW + 5),
            made.row(3, "n2", rack=made.racks["r2"]),
            made.row(4, "n4", rack=made.racks["r2"]),
        ]
    )
    first, second = made.racks["r1"], made.racks["r2"]
    async with undone(made.store) as tx:
        assert await tx.ready({first: 9, second: 9}, NOW) == {second: 2}
        assert await tx.ready({first: 9, second: 1}, NOW + 5) == {first: 1, second: 1}
        assert await tx.ready({first: 9}, NOW) == {}
        assert await tx.ready({}, NOW) == {}


async def test_an_unknown_rack_gets_nothing(store: AnyStore) -> None:
    async with undone(store) as tx:
        assert await tx.claimable({987654: 5}, NOW) == []


async def test_what_an_earlier_incarnation_holds_is_found(store: AnyStore) -> None:
    made = await world(store, nodes=6)
    await made.graph([running(made, 1, "n1", incarnation="old"), running(made, 2, "n3"), made.row(3, "n5")])
    async with undone(store) as tx:
        assert await tx.held(made.racks["r1"], "new") == [1]
        assert await tx.held(made.racks["r1"], "newest") == [1, 2]
        assert await tx.held(made.racks["r2"], "newest") == []


async def test_leases_that_are_over_are_found_oldest_first(store: AnyStore) -> None:
    made = await world(store, nodes=8)
    leases = {1: NOW - 1, 2: NOW - 3, 3: NOW + 1, 4: NOW - 2}
    await made.graph([running(made, id, f"n{id}", lease=lease) for id, lease in leases.items()])
    async with undone(store) as tx:
        assert list(await tx.expired(NOW, 10)) == [2, 4, 1]
        assert await tx.expired(NOW, 3) == {2: NOW - 3, 4: NOW - 2, 1: NOW - 1}
        assert list(await tx.expired(NOW, 1)) == [2]


async def test_what_is_held_comes_back_when_the_process_of_its_rack_is_gone(store: AnyStore) -> None:
    made = await world(store, nodes=8)
    first, second = made.racks["r1"], made.racks["r2"]
    rows = [running(made, 1, "n1", lease=HELD), running(made, 2, "n3", incarnation=PARKED, lease=NOW + 99)]
    rows.append(made.row(3, "n2", state=State.TRANSITION, incarnation="new", lease_until=HELD, attempt=1, rack=second))
    await made.graph(rows)
    async with store.transaction() as tx:
        await tx.seat({rack: (None, Holder("new", "here", NOW + 30)) for rack in (first, second)}, NOW)
    async with store.transaction() as tx:
        assert await tx.keep_seats([(first, "new", NOW + 40), (second, "old", NOW + 99)], NOW) == {(first, "new")}
    async with undone(store) as tx:
        assert await tx.expired(NOW + 30, 10) == {}
    async with undone(store) as tx:
        assert (await tx.holders([first]))[first].until == NOW + 40
        assert await tx.expired(NOW + 31, 10) == {3: HELD}
    async with undone(store) as tx:
        assert await tx.expired(NOW + 41, 10) == {1: HELD, 3: HELD}
    async with undone(store) as tx:
        # Of a clock that was set back since.
        assert await tx.expired(NOW - 2 * FAR, 10) == {1: HELD, 3: HELD}


async def test_a_heartbeat_holds_what_is_its_own_and_names_what_is_not(store: AnyStore) -> None:
    made = await world(store, nodes=8)
    await made.graph(
        [
            running(made, 1, "n1"),
            running(made, 2, "n3", attempt=5),
            running(made, 3, "n5", incarnation="other"),
            made.row(4, "n7"),
        ]
    )
    async with store.transaction() as tx:
        rack = made.racks["r1"]
        pairs = [(1, 1), (2, 4), (3, 1), (4, 0), (99, 1)]
        asked = [(rack, "new", *pair) for pair in pairs] + [(made.racks["r2"], "new", 2, 5)]
        assert await tx.hold(asked, NOW) == {(rack, "new", 1, 1)}
        assert await tx.hold([], NOW) == set()
    rows = await made.rows()
    assert [rows[id].lease_until for id in (1, 2, 3)] == [NOW, NOW, NOW], "there is time yet"
    async with store.transaction() as tx:
        assert await tx.hold(asked, NOW + 1) == {(rack, "new", 1, 1)}
    rows = await made.rows()
    assert [rows[id].lease_until for id in (1, 2, 3)] == [HELD, NOW, NOW]


async def test_a_rack_is_heard_and_never_goes_back_in_time(store: AnyStore) -> None:
    made = await world(store)
    rack = made.racks["r1"]
    async with store.transaction() as tx:
        assert await tx.heard(rack) is None
        await tx.seat({rack: (None, Holder("i", "here", NOW))}, NOW - 10)
    for now in (NOW, NOW - 5):
        async with store.transaction() as tx:
            await tx.keep_seats([(rack, "i", NOW), (987654, "i", NOW)], now)
            assert await tx.heard(rack) == NOW
    seen = {rack.name: rack.last_seen for rack in await store.views.racks()}
    assert seen == {"r1": NOW, "r2": None}


async def heard(made: World, *channels: str) -> tuple[asyncio.Task[list[tuple[str, str]]], asyncio.Event]:
    """Collect news until an event of the kind ``end`` is told on the channel ``event``."""
    listening = asyncio.Event()

    async def collect() -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        async with made.store.listen(*channels, "plan") as news:
            listening.set()
            async for channel, payload in news:
                if channel == "plan":
                    return found
                found.append((channel, payload))
        return found

    return asyncio.create_task(collect()), listening


async def end(made: World) -> None:
    async with made.store.transaction() as tx:
        await tx.add_plan(PlanRecord(id=0, deployment=made.deployment, changes={}, apply=False))


async def test_news_is_told_when_work_appears_and_only_after_the_commit(store: AnyStore) -> None:
    made = await world(store)
    await made.graph(
        [made.row(1, "n1", state=State.BLOCKED), made.row(2, "n2", state=State.BLOCKED, rack=made.racks["r2"])]
    )
    collecting, listening = await heard(made, "work")
    await listening.wait()
    async with undone(store) as tx:
        near = await tx.lock([2])
        near.rows[2].state = State.TODO
        near.touched.add(2)
        await tx.save(near)
    async with store.transaction() as tx:
        near = await tx.lock([1, 2])
        near.rows[1].state = State.TODO
        near.touched |= {1, 2}
        await tx.save(near)
        await tx.record([Event(kind="x", text="not asked for")])
    await end(made)
    assert await collecting == [("work", str(made.racks["r1"]))]


async def test_news_tells_of_barriers_events_graphs_and_what_may_go_on(store: AnyStore) -> None:
    made = await world(store)
    collecting, listening = await heard(made, "work", "barrier", "event")
    await listening.wait()
    rack = str(made.racks["r1"])
    await made.graph(
        [made.row(1, "n1")], [Barrier(id=50, deployment=made.deployment, name="b", waits=1, children=(1,))]
    )
    async with store.transaction() as tx:
        near = await tx.lock([])
        near.barriers = await tx.barriers([50])
        near.barriers[50].waits = 0
        near.touched_barriers.add(50)
        near.runs.append(
            Run(
                node_task=1,
                deployment=made.deployment,
                task="a",
                scope=made.nodes["n1"],
                rack=None,
                attempt=1,
                outcome="active",
                started_at=NOW,
                ended_at=NOW,
            )
        )
        await tx.save(near)
    async with store.transaction() as tx:
        await tx.set_deployment(made.deployment, stopped=False)
        await tx.set_members(
            made.deployment,
            [Membership(deployment=made.deployment, scope=made.nodes["n1"], name="", rack=None, roles=("a",), tags=())],
        )
    await end(made)
    found = await collecting
    assert found.count(("work", rack)) >= 1
    assert set(found) == {("work", rack), ("barrier", ""), ("event", "")}
