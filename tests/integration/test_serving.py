"""What racks serve, kept in step with the facts, in both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from rackwright.core.errors import Conflict
from rackwright.core.facts import PEOPLE, WORLD, FactWrite
from rackwright.core.served import Applied, Delta
from rackwright.core.serving import DAY
from rackwright.engine import intake, machines, serving
from rackwright.engine.documents import keep_in_step
from rackwright.engine.library import CatalogLibrary
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.store_world import World, world

LIBRARY = CatalogLibrary()
NETWORK = {"cidr": "10.77.0.0/24", "address": "10.77.0.1"}


async def served_world(store: AnyStore) -> tuple[World, Delta]:
    """Rack r1 with nodes n1 and n3, r2 with n2 and n4; r1 has asked for what it serves."""
    made = await world(store)
    return made, await whole(made, "r1")


async def whole(made: World, rack: str) -> Delta:
    await serving.begin(made.store, made.racks[rack])
    return await delta(made, rack, -1)


async def delta(made: World, rack: str, after: int) -> Delta:
    found = await serving.delta(made.store, made.racks[rack], after)
    assert found is not None
    return found


async def put(made: World, node: str, path: str, value: Any, writer: str = PEOPLE) -> None:
    scope = made.nodes.get(node) or made.racks[node]
    await intake.put_facts(made.store, LIBRARY, [FactWrite(scope, path, value, writer)])


async def test_a_rack_gets_all_its_nodes_and_its_own_part_at_first(store: AnyStore) -> None:
    made = await world(store)
    await put(made, "n1", "desired.address", "10.77.0.7")
    await put(made, "r1", "desired.rack.networks", [NETWORK])
    first = await whole(made, "r1")
    assert first.full
    assert {node.name: node.address for node in first.nodes} == {"n1": "10.77.0.7", "n3": None}
    assert first.rack is not None
    assert first.rack.networks[0].cidr == "10.77.0.0/24"


async def test_a_change_comes_as_a_delta_of_just_that(store: AnyStore) -> None:
    made, first = await served_world(store)
    await put(made, "n3", "desired.address", "10.77.0.3")
    change = await delta(made, "r1", first.generation)
    assert (change.full, change.after, change.gone, change.rack) == (False, first.generation, (), None)
    assert [(node.name, node.address) for node in change.nodes] == [("n3", "10.77.0.3")]
    assert change.generation > first.generation
    assert await serving.delta(store, made.racks["r1"], change.generation) is None


async def test_what_differs_in_nothing_that_is_served_makes_no_generation(store: AnyStore) -> None:
    made, first = await served_world(store)
    await put(made, "n1", "desired.web.port", 80)
    await put(made, "n1", "observed.os", None, WORLD)
    await put(made, "n1", "machine.activity", None, "lifecycle")
    assert await serving.delta(store, made.racks["r1"], first.generation) is None


async def test_nothing_is_kept_for_a_rack_that_never_asked(store: AnyStore) -> None:
    made, _ = await served_world(store)
    await put(made, "n2", "desired.address", "10.77.0.2")
    async with store.transaction() as tx:
        assert list(await tx.serving(None)) == [made.racks["r1"]]


async def test_a_new_node_and_a_removed_one_are_told(store: AnyStore) -> None:
    made, first = await served_world(store)
    await machines.add_nodes(store, [machines.NewNode(name="n9", rack="r1", address="10.77.0.9")])
    second = await delta(made, "r1", first.generation)
    assert [(node.name, node.address) for node in second.nodes] == [("n9", "10.77.0.9")]
    await machines.remove(store, "node", "n9")
    third = await delta(made, "r1", second.generation)
    assert (third.nodes, third.gone) == ((), (second.nodes[0].id,))
    again = await delta(made, "r1", -1)
    assert {node.name for node in again.nodes} == {"n1", "n3"}
    assert again.gone == ()


async def test_an_address_that_wanders_between_racks_reaches_both(store: AnyStore) -> None:
    made, first = await served_world(store)
    other = await whole(made, "r2")
    await put(made, "n1", "desired.address", "10.77.0.7")
    swap = [
        FactWrite(made.nodes["n1"], "desired.address", None, PEOPLE),
        FactWrite(made.nodes["n2"], "desired.address", "10.77.0.7", PEOPLE),
    ]
    await intake.put_facts(store, LIBRARY, swap)
    assert [node.address for node in (await delta(made, "r1", first.generation)).nodes] == [None]
    assert [node.address for node in (await delta(made, "r2", other.generation)).nodes] == ["10.77.0.7"]


async def test_a_boot_environment_follows_its_facts(store: AnyStore) -> None:
    made, first = await served_world(store)
    await put(made, "n1", "machine.activity", {"id": "a1", "verb": "rescue", "env": "rescue"}, "lifecycle")
    change = await delta(made, "r1", first.generation)
    assert [(node.bootenv.kind, node.bootenv.request) for node in change.nodes] == [("rescue", "a1")]


async def test_a_replica_of_another_history_gets_everything_anew(store: AnyStore) -> None:
    made, first = await served_world(store)
    await put(made, "n1", "desired.address", "10.77.0.7")
    for strange in (first.generation + 10 * DAY, first.generation - 1, 0):
        assert (await delta(made, "r1", strange)).full


async def test_networks_that_make_no_sense_are_an_event(store: AnyStore) -> None:
    made, _ = await served_world(store)
    await put(made, "r1", "desired.rack.networks", [{"cidr": 7}])
    events = await store.views.events(limit=100)
    assert [event["scope"] for event in events if event["kind"] == "rack.networks"] == ["r1"]


async def test_what_a_rack_says_of_itself_is_kept(store: AnyStore) -> None:
    made, first = await served_world(store)
    rack = made.racks["r1"]
    for _ in range(2):
        said = Applied(generation=first.generation, report={"foreign": ["10.77.0.99"]})
        await serving.applied(store, rack, said)
    async with store.transaction() as tx:
        known = (await tx.serving([rack]))[rack]
    assert (known.generation, known.applied) == (first.generation, first.generation)
    assert known.effect is not None
    assert known.effect >= 0
    assert known.report == {"foreign": ["10.77.0.99"]}
    events = await store.views.events(limit=100)
    assert [event["kind"] for event in events].count("dhcp.foreign") == 1


async def test_a_generation_that_never_was_is_refused(store: AnyStore) -> None:
    made, first = await served_world(store)
    with pytest.raises(Conflict, match="does not exist"):
        await serving.applied(store, made.racks["r1"], Applied(generation=first.generation + 1))


async def test_generations_are_committed_in_order_however_many_write(postgres_store: PostgresStore) -> None:
    """A replica that follows by deltas while many change ends with just what a full one holds."""
    made = await world(postgres_store, nodes=20)
    known = await whole(made, "r1")
    addresses = {node.id: node.address for node in known.nodes}
    generation, done = known.generation, asyncio.Event()

    async def follow() -> None:
        nonlocal generation
        while True:
            last = done.is_set()
            found = await serving.delta(postgres_store, made.racks["r1"], generation)
            if found is not None:
                assert not found.full
                addresses.update({node.id: node.address for node in found.nodes})
                generation = found.generation
            elif last:
                return

    async def change(node: str, number: int) -> None:
        for turn in range(5):
            await put(made, node, "desired.address", f"10.77.{turn}.{number}")

    following = asyncio.create_task(follow())
    await asyncio.gather(*(change(f"n{number}", number) for number in range(1, 21)))
    done.set()
    await asyncio.wait_for(following, 60)
    final = await delta(made, "r1", -1)
    assert addresses == {node.id: node.address for node in final.nodes}
    assert set(addresses.values()) == {f"10.77.4.{number}" for number in range(1, 21, 2)}


async def test_changes_under_way_when_a_rack_asks_first_are_not_lost(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)
    async with postgres_store.transaction() as late:
        await late.put_facts([FactWrite(made.nodes["n1"], "desired.address", "10.77.0.7", PEOPLE)])
        assert not await late.lock_serving(late.to_serve())
        asking = asyncio.create_task(whole(made, "r1"))
        await asyncio.sleep(0.3)
        assert not asking.done()
    first = await asyncio.wait_for(asking, 60)
    assert {node.name: node.address for node in first.nodes} == {"n1": "10.77.0.7", "n3": None}


async def test_changes_that_began_while_a_rack_asked_first_are_not_lost(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)
    async with postgres_store.transaction() as late:
        async with postgres_store.transaction() as asking:
            assert not await asking.ask_to_serve(made.racks["r1"])
            await late.put_facts([FactWrite(made.nodes["n1"], "desired.address", "10.77.0.7", PEOPLE)])
            assert not await late.lock_serving(late.to_serve())
        waiting = asyncio.create_task(whole(made, "r1"))
        await asyncio.sleep(0.5)
        assert not waiting.done()
    first = await asyncio.wait_for(waiting, 30)
    assert {node.name: node.address for node in first.nodes} == {"n1": "10.77.0.7", "n3": None}


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_who_waits_for_another_at_a_rack_is_served_all_the_same(store_dsn: str, plan: str) -> None:
    """Also with the plans that PostgreSQL makes for thousands of racks: it looks at a rack again that another has
    changed meanwhile, and must know it then as well."""
    store = await PostgresStore.open(f"{store_dsn}{'&' if '?' in store_dsn else '?'}plan_cache_mode={plan}")
    try:
        made = await world(store)
        await serve_many_more(store_dsn)
        first = {rack: await whole(made, rack) for rack in ("r1", "r2")}
        async with store.transaction() as early:
            await early.put_facts([FactWrite(made.nodes["n1"], "desired.address", "10.77.0.1", PEOPLE)])
            await keep_in_step(early)
            both = [
                FactWrite(made.nodes[name], "desired.address", f"10.77.0.{name[1]}", PEOPLE) for name in ("n2", "n3")
            ]
            waiting = asyncio.create_task(intake.put_facts(store, LIBRARY, both))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 60)
        told = {
            node.name: node.address
            for rack, before in first.items()
            for node in (await delta(made, rack, before.generation)).nodes
        }
        assert told == {"n1": "10.77.0.1", "n2": "10.77.0.2", "n3": "10.77.0.3"}
    finally:
        await store.close()


async def serve_many_more(dsn: str) -> None:
    """Add thousands of racks that ask for what they serve, and let PostgreSQL know how many there are."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """
            WITH more AS (INSERT INTO scope (kind, name) SELECT 'rack', 'x' || n FROM generate_series(1, 2500) AS n
                          RETURNING id)
            INSERT INTO served_rack (rack_id, generation, since, complete)
            SELECT id, 1, pg_current_xact_id(), true FROM more
            """
        )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
