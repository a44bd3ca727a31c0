"""Machines in both stores: their rows, how they are found again, the rows of their activities."""

from __future__ import annotations

import asyncio

import msgspec

from rackwright.core.facts import PEOPLE, WORLD, FactWrite
from rackwright.core.lifecycle import Machine
from rackwright.core.ports import Transaction
from tests.integration.conftest import AnyStore
from tests.integration.store_world import NOW, World, undone, world


async def put(made: World, node: str, **facts: object) -> None:
    """Facts of a node: ``observed_macs`` stands for observed.macs."""
    async with made.store.transaction() as tx:
        await tx.put_facts(
            [
                FactWrite(made.nodes[node], path.replace("_", "."), value, WORLD if path[0] == "o" else PEOPLE)
                for path, value in facts.items()
            ]
        )


async def test_a_machine_is_given_as_it_was_saved_and_plain_nodes_are_none(store: AnyStore) -> None:
    made = await world(store)
    one = Machine(
        id=made.nodes["n1"], allocation="free", installed=True, verb="deploy", activity="a1", phase="held", health="ok",
        reason="why", since=1.0, last_seen=2.0, beats=True, last_verb="test", last_outcome="ok", last_ended_at=3.0,
        deployment=made.deployment,
    )  # fmt: skip
    async with store.transaction() as tx:
        await tx.save_machines([one, Machine(id=made.nodes["n2"])])
        await tx.save_machines([msgspec.structs.replace(one, rescue=True)])
    async with undone(store) as tx:
        assert await tx.machines(made.nodes.values(), lock=True) == {
            one.id: msgspec.structs.replace(one, rescue=True),
            made.nodes["n2"]: Machine(id=made.nodes["n2"]),
        }
        assert await tx.machines([]) == {}


async def test_a_machine_goes_with_its_node(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        await tx.save_machines([Machine(id=made.nodes["n1"])])
        await tx.remove(made.nodes["n1"])
    async with undone(store) as tx:
        assert await tx.machines([made.nodes["n1"]]) == {}


async def test_a_machine_is_found_by_any_of_its_macs_and_by_its_serial_number(store: AnyStore) -> None:
    made = await world(store)
    await put(made, "n1", observed_macs=["52:54:00:00:00:01", "52:54:00:00:00:02"], observed_serial="S1")
    await put(made, "n2", desired_macs=["52-54-00-00-00-0A"])
    await put(made, "n3", observed_macs="no list", observed_serial=["odd"])
    async with undone(store) as tx:
        known = await tx.known_by(["52:54:00:00:00:02"], [])
        assert [(each.id, each.name, each.serial) for each in known] == [(made.nodes["n1"], "n1", "S1")]
        assert known[0].macs == {"52:54:00:00:00:01", "52:54:00:00:00:02"}
        assert [each.name for each in await tx.known_by(["52-54-00-00-00-0A"], ["S1"])] == ["n1", "n2"]
        assert await tx.known_by(["52:54:00:00:00:03"], []) == []


async def test_beats_are_noted_and_never_go_back(store: AnyStore) -> None:
    made = await world(store)
    node = made.nodes["n1"]
    async with store.transaction() as tx:
        await tx.save_machines([Machine(id=node, health="missing", last_seen=NOW)])
        assert await tx.note_seen({node: NOW - 5, made.nodes["n2"]: NOW}) == [node]
        found = (await tx.machines([node]))[node]
        assert (found.last_seen, found.beats) == (NOW, True)
        assert await tx.note_seen({}) == []


async def test_only_those_are_missed_that_beat_and_should_be_up(store: AnyStore) -> None:
    made = await world(store, nodes=8)
    silent = Machine(id=0, allocation="allocated", beats=True, last_seen=NOW - 100)
    cases = {
        "n1": silent,
        "n2": msgspec.structs.replace(silent, beats=False),
        "n3": msgspec.structs.replace(silent, last_seen=NOW),
        "n4": msgspec.structs.replace(silent, verb="deploy", phase="running"),
        "n5": msgspec.structs.replace(silent, health="missing"),
        "n6": silent,
        "n7": msgspec.structs.replace(silent, last_seen=NOW - 200),
        "n8": msgspec.structs.replace(silent, last_ended_at=NOW - 10),
    }
    async with store.transaction() as tx:
        await tx.save_machines(
            [msgspec.structs.replace(machine, id=made.nodes[name]) for name, machine in cases.items()]
        )
        assert await tx.set_living([made.nodes["n6"]], False) == [made.nodes["n6"]]
        assert await tx.silent(NOW - 50, 10) == [made.nodes["n7"], made.nodes["n1"]]
        assert await tx.silent(NOW - 50, 1) == [made.nodes["n7"]]


async def test_rows_are_added_beside_others_and_dropped(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1")], graph="deploy")
    async with store.transaction() as tx:
        await tx.add_rows(made.deployment, [made.row(2, "n1", graph="erase", offline=True), made.row(3, "n3")])
        await tx.drop_rows([3])
        await tx.drop_rows([])
        assert await tx.find(made.deployment, None, None) == [1, 2]
        assert (await tx.lock([2])).rows[2].offline
    assert {row.id for row in (await made.rows("erase")).values()} == {2}
    async with undone(store) as tx:
        assert await tx.recount() == {}


async def test_what_is_offline_runs_on_a_node_that_is_not_alive_and_stays_active_there(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1", "a"), made.row(2, "n1", "b", offline=True)])
    async with store.transaction() as tx:
        await tx.set_living([made.nodes["n1"]], False)
        assert [row.id for row in await tx.claimable({made.racks["r1"]: 5}, NOW)] == [2]
        await tx.set_alive(made.nodes["n1"], available=False)
        assert await tx.claimable({made.racks["r1"]: 5}, NOW) == []


async def test_nothing_of_a_held_activity_is_claimed_but_other_deployments_go_on(store: AnyStore) -> None:
    made = await world(store)
    await made.graph([made.row(1, "n1"), made.row(2, "n3")])
    held = Machine(id=made.nodes["n1"], verb="deploy", activity="a", phase="held", deployment=made.deployment)

    async def claimable(tx: Transaction) -> list[int]:
        return [row.id for row in await tx.claimable({made.racks["r1"]: 5}, NOW)]

    async with store.transaction() as tx:
        await tx.save_machines([held])
        assert await claimable(tx) == [2]
        await tx.save_machines([msgspec.structs.replace(held, deployment=made.deployment + 1)])
        assert await claimable(tx) == [1, 2]


async def test_members_join_and_leave_without_the_others(store: AnyStore) -> None:
    made = await world(store)
    async with store.transaction() as tx:
        await tx.join(made.deployment, [made.nodes["n1"]], ["machine"], ["machine", "disk"])
        await tx.join(made.deployment, [made.nodes["n2"], made.nodes["n1"]], ["machine"], ["machine"])
        assert [(each.name, each.tags) for each in await tx.memberships(made.deployment)] == [
            ("n1", ("machine",)),
            ("n2", ("machine",)),
        ]
        await tx.leave(made.deployment, [made.nodes["n1"]])
        assert [each.name for each in await tx.memberships(made.deployment)] == ["n2"]


async def test_a_node_comes_back_to_life_and_its_rack_is_woken(store: AnyStore) -> None:
    made = await world(store)
    async with store.listen("work") as news:
        async with store.transaction() as tx:
            assert await tx.set_living(made.nodes.values(), True) == []
            assert await tx.set_living([made.nodes["n1"]], False) == [made.nodes["n1"]]
        async with store.transaction() as tx:
            assert await tx.set_living([made.nodes["n1"]], True) == [made.nodes["n1"]]
        assert await asyncio.wait_for(anext(news), 60) == ("work", str(made.racks["r1"]))
