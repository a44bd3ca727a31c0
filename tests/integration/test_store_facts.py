"""Facts, in both stores."""

from __future__ import annotations

import pytest

from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.facts import Fact, FactWrite
from tests.integration.conftest import AnyStore
from tests.integration.store_world import World, world


async def put(made: World, *writes: tuple[str, str, object, str]) -> list[Fact]:
    async with made.store.transaction() as tx:
        return await tx.put_facts(
            [FactWrite(made.nodes[node], path, value, writer) for node, path, value, writer in writes]
        )


async def test_only_what_differs_is_given_back_with_a_newer_revision(store: AnyStore) -> None:
    made = await world(store)
    first = await put(made, ("n1", "desired.os", "debian", "people"), ("n2", "desired.os", "debian", "people"))
    assert [fact.value for fact in first] == ["debian", "debian"]
    second = await put(made, ("n1", "desired.os", "debian", "people"), ("n2", "desired.os", "rocky", "people"))
    assert [(fact.scope, fact.value) for fact in second] == [(made.nodes["n2"], "rocky")]
    assert second[0].revision > max(fact.revision for fact in first)


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        (1, 1.0, False),
        (1, True, True),
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, False),
        ([1, 2], [2, 1], True),
        ("", None, True),
        ({"a": None}, {}, True),
    ],
)
async def test_values_differ_as_json_does(store: AnyStore, before: object, after: object, differs: bool) -> None:
    made = await world(store)
    await put(made, ("n1", "desired.x", before, "people"))
    assert bool(await put(made, ("n1", "desired.x", after, "people"))) is differs


async def test_none_deletes_and_deleting_what_is_not_there_changes_nothing(store: AnyStore) -> None:
    made = await world(store)
    await put(made, ("n1", "desired.os", "debian", "people"))
    gone = await put(made, ("n1", "desired.os", None, "people"), ("n2", "desired.os", None, "people"))
    assert [(fact.scope, fact.value) for fact in gone] == [(made.nodes["n1"], None)]
    async with store.transaction() as tx:
        assert await tx.facts([made.nodes["n1"]], ["desired"]) == []


async def test_a_deletion_and_a_change_go_together(store: AnyStore) -> None:
    made = await world(store)
    await put(made, ("n1", "a.x", 1, "t1"), ("n1", "a.y", 1, "t1"))
    changed = await put(made, ("n1", "a.x", None, "t1"), ("n1", "a.y", 2, "t1"), ("n1", "a.z", 3, "t1"))
    assert {fact.path: fact.value for fact in changed} == {"a.x": None, "a.y": 2, "a.z": 3}


async def test_the_last_write_of_a_fact_counts(store: AnyStore) -> None:
    made = await world(store)
    changed = await put(made, ("n1", "a.x", 1, "t1"), ("n1", "a.x", 2, "t1"))
    assert [fact.value for fact in changed] == [2]


async def test_facts_are_found_at_above_and_below_a_path(store: AnyStore) -> None:
    made = await world(store)
    paths = ["nats", "nats.port", "nats.port.http", "nats.portal", "nats-x", "other"]
    await put(made, *(("n1", path, path, "t1") for path in paths))
    async with store.transaction() as tx:
        found = await tx.facts([made.nodes["n1"], made.nodes["n2"]], ["nats.port"])
    assert [fact.path for fact in found] == ["nats", "nats.port", "nats.port.http"]
    async with store.transaction() as tx:
        found = await tx.facts([made.nodes["n1"]], ["nats", "other.deep"])
    assert [fact.path for fact in found] == ["nats", "nats.port", "nats.port.http", "nats.portal", "other"]


async def test_a_second_writer_is_refused_and_both_are_named(store: AnyStore) -> None:
    made = await world(store)
    await put(made, ("n1", "nats.config", 1, "nats-config"))
    with pytest.raises(Conflict, match=r"n1: .*nats-config.*sneaky"):
        await put(made, ("n1", "nats.config", 2, "sneaky"))
    with pytest.raises(Conflict, match=r"nats-config.*sneaky"):
        await put(made, ("n1", "nats.config", None, "sneaky"))
    with pytest.raises(Conflict, match=r"one.*two"):
        await put(made, ("n1", "fresh", 1, "one"), ("n1", "fresh", 1, "two"))


async def test_an_address_belongs_to_one_node_and_both_are_named(store: AnyStore) -> None:
    made = await world(store)
    await put(made, ("n1", "desired.address", "10.0.0.1", "people"))
    with pytest.raises(Conflict, match=r"10\.0\.0\.1.*n1 and n2"):
        await put(made, ("n2", "desired.address", "10.0.0.1", "people"))
    with pytest.raises(Conflict, match=r"n2 and n3"):
        await put(
            made, ("n2", "desired.address", "10.0.0.2", "people"), ("n3", "desired.address", "10.0.0.2", "people")
        )


async def test_nodes_may_swap_or_hand_over_their_addresses(store: AnyStore) -> None:
    made = await world(store)
    await put(made, ("n1", "desired.address", "10.0.0.1", "people"), ("n2", "desired.address", "10.0.0.2", "people"))
    await put(made, ("n1", "desired.address", "10.0.0.2", "people"), ("n2", "desired.address", "10.0.0.1", "people"))
    await put(made, ("n1", "desired.address", None, "people"), ("n3", "desired.address", "10.0.0.2", "people"))
    addresses = {node.name: node.address for node in await store.views.nodes()}
    assert addresses == {"n1": None, "n2": "10.0.0.1", "n3": "10.0.0.2", "n4": None}


async def test_what_json_cannot_hold_is_refused_and_the_fact_is_named(store: AnyStore) -> None:
    made = await world(store)
    with pytest.raises(InvalidInput, match=r"a\.x"):
        await put(made, ("n1", "a.x", {"deep": "a\x00b"}, "t1"))
    with pytest.raises(InvalidInput, match=r"a\.x"):
        await put(made, ("n1", "a.x", object(), "t1"))
    await put(made, ("n1", "a.x", "a\\u0000b", "t1"))
    assert (await store.views.nodes(names=["n1"]))[0].facts == {"a.x": "a\\u0000b"}


async def test_facts_of_an_unknown_scope_are_refused(store: AnyStore) -> None:
    await world(store)
    with pytest.raises(NotFound):
        async with store.transaction() as tx:
            await tx.put_facts([FactWrite(987654, "a.x", 1, "t1")])


async def test_what_a_transaction_did_is_gone_when_it_raises_or_rolls_back(store: AnyStore) -> None:
    made = await world(store)

    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.put_facts([FactWrite(made.nodes["n1"], "a.x", 1, "t1")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with store.transaction() as tx:
        await tx.put_facts([FactWrite(made.nodes["n1"], "a.x", 1, "t1")])
        await tx.rollback()
        with pytest.raises(RuntimeError, match="over"):
            await tx.facts([made.nodes["n1"]], ["a"])
    async with store.transaction() as tx:
        assert await tx.facts([made.nodes["n1"]], ["a"]) == []
