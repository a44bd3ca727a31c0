"""Networks and addresses in both stores: who has which, what is free, and what excludes what."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwright.core.addresses import path_of
from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.networks import NETWORKS
from rackwright.engine.transact import transact
from rackwright.store.memory import MemoryStore
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.store_world import World, undone, world


async def wish(made: World, scope: int, path: str, value: Any) -> None:
    async with made.store.transaction() as tx:
        await tx.put_facts([FactWrite(scope, path, value, PEOPLE)])


async def networks(made: World, rack: str, *given: dict[str, Any]) -> None:
    full = [{"address": network["cidr"].partition("/")[0], **network} for network in given]
    await wish(made, made.racks[rack], NETWORKS, full)


@pytest.mark.parametrize(
    ("first", "last", "free"),
    [
        ("10.0.0.9", "10.0.0.12", ["10.0.0.9", "10.0.0.12"]),
        ("10.0.0.9", "10.0.0.20", ["10.0.0.12", "10.0.0.13"]),
        ("fd00::1", "fd00::ffff:ffff:ffff:ffff", ["fd00::1", "fd00::2"]),
        ("10.0.0.10", "10.0.0.10", []),
        ("10.0.0.9", "10.0.0.8", []),
    ],
)
async def test_free_addresses_are_those_behind_the_highest_and_then_the_lowest(
    store: AnyStore, first: str, last: str, free: list[str]
) -> None:
    made = await world(store)
    await wish(made, made.nodes["n1"], "desired.address", "10.0.0.10")
    async with undone(store) as tx:
        assert await tx.free_addresses(first, last, [("10.0.0.11", "10.0.0.11")], 2) == free


async def test_an_address_of_any_interface_belongs_to_one_node(store: AnyStore) -> None:
    made = await world(store)
    await wish(made, made.nodes["n1"], "desired.nics.eth1.address6", "fd00:0::7")
    with pytest.raises(Conflict, match="the address fd00::7 would belong to two nodes: n1 and n2"):
        await wish(made, made.nodes["n2"], "desired.address", "fd00::7")
    with pytest.raises(Conflict, match="n1 and n1"):
        await wish(made, made.nodes["n1"], "desired.nics.eth2.address", "fd00::7")
    with pytest.raises(InvalidInput, match="is not an address"):
        await wish(made, made.nodes["n1"], "desired.nics.eth1.address", "10.0.0.700")
    with pytest.raises(InvalidInput, match=r"desired.nics.eth1 is no fact by itself"):
        await wish(made, made.nodes["n1"], "desired.nics.eth1", {"address": "10.0.0.7"})
    async with store.transaction() as tx:
        moved = [(1, "desired.nics.eth1.address6", None), (2, "desired.address", "fd00::7")]
        await tx.put_facts([FactWrite(made.nodes[f"n{n}"], path, value, PEOPLE) for n, path, value in moved])
        assert await tx.addresses_held("fd00::/64") == 1


async def test_a_network_is_on_one_rack_unless_it_is_shared(store: AnyStore) -> None:
    made = await world(store)
    one = {"cidr": "10.1.0.0/16", "name": "one"}
    await networks(made, "r1", one)
    with pytest.raises(Conflict, match=r"the network 10.1.3.0/24, which meets 10.1.0.0/16, is on the rack r1 already"):
        await networks(made, "r2", {"cidr": "10.1.3.0/24"})
    with pytest.raises(Conflict, match="is on the rack r1 already"):
        await networks(made, "r2", {**one, "shared": True})
    await networks(made, "r1", {**one, "shared": True})
    await networks(made, "r2", {**one, "shared": True}, {"cidr": "fd00::/64"})
    with pytest.raises(Conflict, match="which meets"):
        await networks(made, "r2", {**one, "shared": True}, {"cidr": "10.1.3.0/24", "shared": True})
    async with undone(store) as tx:
        assert [(claim.rack, claim.network.cidr) for claim in await tx.networks()] == [
            (made.racks["r1"], "10.1.0.0/16"),
            (made.racks["r2"], "10.1.0.0/16"),
            (made.racks["r2"], "fd00::/64"),
        ]
        assert [claim.rack for claim in await tx.networks(names=["one"], racks=[made.racks["r2"]])] == [
            made.racks["r2"]
        ]
    await wish(made, made.racks["r2"], NETWORKS, None)
    await networks(made, "r1", one)


async def test_two_racks_may_swap_their_networks(store: AnyStore) -> None:
    made = await world(store)
    (one, two), cidrs = made.racks.values(), ("10.1.0.0/16", "10.2.0.0/16")
    for racks in ((one, two), (two, one)):
        async with store.transaction() as tx:
            values = [[{"cidr": cidr, "address": cidr[:-3]}] for cidr in cidrs]
            await tx.put_facts([FactWrite(id, NETWORKS, v, PEOPLE) for id, v in zip(racks, values, strict=True)])


async def test_two_that_claim_one_network_at_the_same_time_do_not_both_get_it(postgres_store: PostgresStore) -> None:
    made = await world(postgres_store)

    async def claim(rack: str) -> str:
        try:
            value = [{"cidr": "10.1.0.0/16", "address": "10.1.0.1"}]
            await transact(
                postgres_store, lambda tx: tx.put_facts([FactWrite(made.racks[rack], NETWORKS, value, PEOPLE)])
            )
        except Conflict:
            return "refused"
        return "has it"

    for _ in range(5):
        assert sorted(await asyncio.gather(claim("r1"), claim("r2"))) == ["has it", "refused"]
        for rack in made.racks.values():
            await wish(made, rack, NETWORKS, None)


CIDR = {4: "10.0.0.0/26", 6: "fd00::/122"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    version=st.sampled_from([4, 6]),
    taken=st.sets(st.integers(0, 63), max_size=64),
    besides=st.lists(st.tuples(st.integers(0, 63), st.integers(0, 63)).map(sorted), max_size=4),
    ends=st.tuples(st.integers(0, 63), st.integers(0, 63)),
    count=st.integers(1, 70),
)
def test_both_stores_find_the_same_free_addresses_and_none_that_is_taken(
    version: int, taken: set[int], besides: list[list[int]], ends: tuple[int, int], count: int
) -> None:
    base = ipaddress.ip_network(CIDR[version]).network_address

    async def run() -> None:
        made = await world(MemoryStore(), nodes=1)
        async with made.store.transaction() as tx:
            await tx.put_facts(
                [
                    FactWrite(made.nodes["n1"], path_of(f"e{step}", str(base + step)), str(base + step), PEOPLE)
                    for step in taken
                ]
            )
            spans = [(str(base + low), str(base + high)) for low, high in besides]
            found = await tx.free_addresses(str(base + ends[0]), str(base + ends[1]), spans, count)
        covered = {step for low, high in besides for step in range(low, high + 1)}
        free = set(range(ends[0], ends[1] + 1)) - taken - covered
        steps = [int(ipaddress.ip_address(address)) - int(base) for address in found]
        assert set(steps) <= free
        assert len(steps) == min(count, len(free))
        assert steps == sorted(set(steps))

    asyncio.run(run())


async def test_postgres_finds_what_memory_finds(postgres_store: PostgresStore) -> None:
    chance = random.Random(6)
    made = [await world(store, nodes=1) for store in (MemoryStore(), postgres_store)]
    for number in range(40):
        base = ipaddress.ip_address(f"10.{number}.0.0" if number % 2 else f"fd00:{number}::")
        taken = chance.sample(range(64), chance.randrange(64))
        spans = [sorted(chance.choices(range(64), k=2)) for _ in range(chance.randrange(4))]
        first, last = sorted(chance.choices(range(64), k=2))
        answers = []
        for each in made:
            async with each.store.transaction() as tx:
                held = [str(base + step) for step in taken]
                node = each.nodes["n1"]
                await tx.put_facts(
                    [FactWrite(node, path_of(f"{number}-{n}", a), a, PEOPLE) for n, a in enumerate(held)]
                )
                besides = [(str(base + low), str(base + high)) for low, high in spans]
                answers.append(await tx.free_addresses(str(base + first), str(base + last), besides, 1 + number * 2))
        assert answers[0] == answers[1]
