"""Networks as people make them, and addresses given to many nodes at once, in both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.networks import NamedNetwork, NetworkPlace
from rackwright.engine import networks
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import NewNode, add_nodes
from rackwright.engine.networks import Addressed
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.store_world import World, world

BMC = NamedNetwork(
    name="bmc",
    cidr="10.5.0.0/24",
    racks={"r1": NetworkPlace(address="10.5.0.1")},
    gateway="10.5.0.2",
    static=("10.5.0.1", "10.5.0.9"),
    reserved=(("10.5.0.5", "10.5.0.6"),),
    vlan=12,
)
LIBRARY = CatalogLibrary()


async def opened(store: AnyStore, *given: NamedNetwork, nodes: int = 4) -> World:
    made = await world(store, nodes)
    for network in given or (BMC,):
        await networks.add(store, LIBRARY, network)
    return made


async def facts(made: World, node: str) -> dict[str, Any]:
    (found,) = await made.store.views.nodes(names=[node])
    return found.facts


async def test_a_network_is_the_fact_of_its_racks(store: AnyStore) -> None:
    made = await opened(store)
    async with store.transaction() as tx:
        (fact,) = await tx.facts([made.racks["r1"]], ["desired.rack.networks"])
    assert fact.value == [
        {
            "name": "bmc", "cidr": "10.5.0.0/24", "address": "10.5.0.1", "gateway": "10.5.0.2", "vlan": 12,
            "static": ["10.5.0.1", "10.5.0.9"], "reserved": [["10.5.0.5", "10.5.0.6"]],
        }
    ]  # fmt: skip
    (found,) = await store.views.networks()
    assert (found.name, found.racks, found.held, found.free) == ("bmc", BMC.racks, 0, 5)


async def test_a_network_is_changed_at_all_its_racks_and_leaves_those_that_are_left_out(store: AnyStore) -> None:
    await opened(store)
    both = {"r1": {"address": "10.5.0.1"}, "r2": {"address": "10.5.0.3"}}
    with pytest.raises(Conflict, match="is on the rack"):
        await networks.change(store, LIBRARY, "bmc", {"racks": both})
    await networks.change(store, LIBRARY, "bmc", {"racks": both, "shared": True, "vlan": None})
    (found,) = await store.views.networks(names=["bmc"])
    assert (sorted(found.racks), found.vlan, found.shared, found.gateway) == (["r1", "r2"], None, True, "10.5.0.2")
    await networks.change(store, LIBRARY, "bmc", {"racks": {"r2": {"address": "10.5.0.3"}}})
    async with store.transaction() as tx:
        assert len(await tx.networks()) == 1
    await networks.delete(store, LIBRARY, "bmc")
    assert await store.views.networks() == []
    changes = [change.kind for change in await store.views.changes()]
    assert changes == ["network.deleted", "network.changed", "network.changed", "network.added"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"static": ("10.6.0.1", "10.6.0.2")}, "is not within"),
        ({"static": ("10.5.0.9", "10.5.0.1")}, "ends before it begins"),
        ({"reserved": (("10.5.0.9", "10.7.0.1"),)}, "is not within"),
        ({"vlan": 4095}, "is no VLAN"),
        ({"cidr": "10.5.0.1/24"}, "has host bits set"),
        ({"racks": {}}, "on no rack"),
        ({"name": "a b"}, "is no name"),
    ],
)
async def test_a_network_that_makes_no_sense_is_refused(store: AnyStore, changes: dict[str, Any], why: str) -> None:
    await world(store)
    with pytest.raises(InvalidInput, match=why):
        await networks.add(store, LIBRARY, msgspec.structs.replace(BMC, **changes))


async def test_nodes_get_addresses_at_their_interfaces_all_at_once(store: AnyStore) -> None:
    made = await opened(store)
    given = await networks.give(store, LIBRARY, "bmc", ["n1", "n3", "n2", "nobody"], "ipmi")
    assert [(each.name, each.address) for each in given[:2]] == [("n1", "10.5.0.3"), ("n3", "10.5.0.4")]
    assert "in a rack on which the network bmc is not" in given[2].error
    assert "there is no node nobody" in given[3].error
    assert (await facts(made, "n3"))["desired.nics.ipmi.address"] == "10.5.0.4"
    assert await networks.give(store, LIBRARY, "bmc", ["n1"], "ipmi") == [Addressed(name="n1", address="10.5.0.3")]
    with pytest.raises(Conflict, match="nodes have 2 addresses in it"):
        await networks.delete(store, LIBRARY, "bmc")
    (freed, none) = await networks.release(store, LIBRARY, "bmc", ["n1", "n2"], "ipmi")
    assert (freed.error, "no address there" in none.error) == ("", True)
    assert "desired.nics.ipmi.address" not in await facts(made, "n1")
    with pytest.raises(NotFound, match="there is no network lan"):
        await networks.give(store, LIBRARY, "lan", ["n1"])
    with pytest.raises(InvalidInput, match="is no name of an interface"):
        await networks.give(store, LIBRARY, "bmc", ["n1"], "a.b")


async def test_a_full_network_gives_what_it_has_and_says_who_went_without(store: AnyStore) -> None:
    await opened(store, msgspec.structs.replace(BMC, static=("10.5.0.3", "10.5.0.4"), shared=True), nodes=6)
    given = await networks.give(store, LIBRARY, "bmc", ["n1", "n3", "n5"])
    assert [each.address for each in given] == ["10.5.0.3", "10.5.0.4", ""]
    assert "no address is left in 10.5.0.3 to 10.5.0.4" in given[2].error


async def test_what_one_rack_keeps_of_a_shared_network_no_node_of_another_is_given(store: AnyStore) -> None:
    places = {"r1": NetworkPlace(address="10.5.0.1"), "r2": NetworkPlace(address="10.5.0.3")}
    await opened(store, msgspec.structs.replace(BMC, racks=places, shared=True))
    given = await networks.give(store, LIBRARY, "bmc", ["n1", "n2", "n3"])
    assert [each.address for each in given] == ["10.5.0.4", "10.5.0.7", "10.5.0.8"]


async def test_networks_that_are_made_at_the_same_time_on_one_rack_are_all_there(
    postgres_store: PostgresStore,
) -> None:
    await world(postgres_store)
    places = {"r1": NetworkPlace(address="10.0.0.1")}
    given = [NamedNetwork(name=f"n{number}", cidr=f"10.{number}.0.0/16", racks=places) for number in range(6)]
    await asyncio.gather(*(networks.add(postgres_store, LIBRARY, network) for network in given))
    assert [network.name for network in await postgres_store.views.networks()] == [f"n{number}" for number in range(6)]


async def test_many_that_ask_at_the_same_time_never_get_one_address_twice(postgres_store: PostgresStore) -> None:
    store = postgres_store
    made = await opened(
        store,
        msgspec.structs.replace(BMC, static=("10.5.0.1", "10.5.0.250")),
        msgspec.structs.replace(
            BMC, name="six", cidr="fd05::/64", racks={"r1": NetworkPlace(address="fd05::1")}, gateway=None,
            static=("fd05::", "fd05::ffff:ffff:ffff:ffff"), reserved=(("fd05::", "fd05::ff"),),
        ),
    )  # fmt: skip
    names = [f"m{number}" for number in range(96)]
    await add_nodes(store, [NewNode(name=name, rack="r1") for name in names])
    parts = [names[start : start + 8] for start in range(0, 96, 8)]
    asked = [(network, nic, part) for part in parts for network, nic in (("bmc", ""), ("six", "v6"))]
    found = await asyncio.gather(*(networks.give(store, LIBRARY, network, part, nic) for network, nic, part in asked))
    addresses = [each.address for part in found for each in part]
    assert "" not in addresses
    assert len(set(addresses)) == 192
    async with store.transaction() as tx:
        assert [await tx.addresses_held(cidr) for cidr in ("10.5.0.0/24", "fd05::/64")] == [96, 96]
    assert len(made.nodes) == 4
