"""Machines that nobody knows register; racks tell what they saw of theirs. In both stores."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.machine_messages import Register
from rackwright.engine import intake, lifecycle
from rackwright.engine.enlisting import Enlisted, enlist, enlist_many
from rackwright.engine.machines import NewNode, add_nodes, scope_named
from rackwright.engine.observing import Observation, observe
from tests.integration.conftest import AnyStore
from tests.integration.metal_site import MetalSite, site

ONE = Register(
    macs=("52:54:00:00:00:01", "52:54:00:00:00:02"),
    boot_mac="52:54:00:00:00:02",
    serial="S1",
    clock=12.0,
    boot_id="b1",
    inventory={"cpu": {"cores": 4}},
)
NETWORK = {"cidr": "10.9.0.0/24", "address": "10.9.0.1", "static": ["10.9.0.10", "10.9.0.10"]}


async def opened(store: AnyStore, monkeypatch: pytest.MonkeyPatch, nodes: int = 0, racks: int = 2) -> MetalSite:
    made = site(store)
    await made.open(monkeypatch, nodes, racks)
    return made


async def register(made: MetalSite, said: Register = ONE, rack: str = "r0", **changes: Any) -> Enlisted:
    told = msgspec.structs.replace(said, **changes)
    return await enlist(made.store, made.library, made.racks[rack], told, time.time())


async def see(made: MetalSite, *items: Observation, rack: str = "r0") -> None:
    await observe(made.store, made.library, made.racks[rack], items, time.time())


async def desire(made: MetalSite, kind: str, name: str, path: str, value: Any) -> None:
    async with made.store.transaction() as tx:
        scope = await scope_named(tx, kind, name)
    await intake.put_facts(made.store, made.library, [FactWrite(scope.id, path, value, PEOPLE)])


async def test_an_unknown_machine_becomes_a_new_one_once(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    first = await register(made)
    assert first.name == "m-525400000001"
    assert await register(made, boot_id="b2") == first
    assert await register(made, macs=("52:54:00:00:00:02",), serial="") == first
    (node,) = await made.views.nodes(names=[first.name])
    assert (node.word, node.alive, node.rack) == ("new", False, "r0")
    assert node.facts["observed.macs"] == ["52:54:00:00:00:02"]
    assert node.facts["observed.inventory.cpu"] == {"cores": 4}
    assert node.facts["observed.serial"] == "S1"
    assert node.machine is not None
    assert abs(node.machine.since - time.time()) < 600


async def test_a_machine_that_registers_many_times_at_once_is_one(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)

    async def patiently() -> Enlisted:
        try:
            return await register(made)
        except Conflict:
            return await register(made)

    assert len(set(await asyncio.gather(*(patiently() for _ in range(6))))) == 1
    assert len(await made.views.nodes()) == 1


async def test_a_node_that_people_have_described_is_the_machine(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, nodes=1, racks=1)
    await desire(made, "node", "n0", "desired.macs", ["52-54-00-00-00-01"])
    assert (await register(made)).name == "n0"
    (node,) = await made.views.nodes()
    assert (node.word, node.alive) == ("new", False)


async def test_two_machines_with_one_address_are_told_apart(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    await register(made)
    with pytest.raises(Conflict, match="two machines have the Ethernet address 52:54:00:00:00:01"):
        await register(made, serial="S2")
    refused = [event for event in await made.views.events(after=0) if event["kind"] == "machine.refused"]
    assert len(refused) == 1
    assert refused[0]["data"] == {"macs": list(ONE.macs), "serial": "S2"}
    assert len(await made.views.nodes()) == 1


async def test_a_machine_that_turns_up_in_another_rack_is_refused(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    await register(made)
    with pytest.raises(Conflict, match="in which it does not stand"):
        await register(made, rack="r1")


async def test_a_rack_may_accept_by_itself_while_it_has_addresses(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    await desire(made, "rack", "r0", "desired.rack.networks", [NETWORK])
    await desire(made, "rack", "r0", "desired.rack.auto_accept", True)
    one = await register(made)
    two = await register(made, macs=("52:54:00:00:00:09",), boot_mac="", serial="S9")
    nodes = {node.name: node for node in await made.views.nodes()}
    assert (nodes[one.name].word, nodes[one.name].address) == ("ready", "10.9.0.10")
    second = nodes[two.name]
    assert second.machine is not None
    assert (second.word, second.address) == ("new", None)
    assert "no address is left" in second.machine.reason


async def test_an_inventory_that_is_too_large_is_refused_clearly(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    with pytest.raises(InvalidInput, match=r"tells 5\.\d MiB of itself"):
        await register(made, inventory={"disks": ["x" * 1024] * 5200})
    one = await register(made)
    with pytest.raises(InvalidInput, match=f"{one.name}: it tells"):
        await see(made, Observation(node=one.name, facts={"observed.inventory.disks": ["x" * 1024] * 5200}))
    assert len(await made.views.nodes()) == 1


async def test_what_a_rack_saw_is_taken(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    one = await register(made)
    await see(made, Observation(node=one.name, facts={"observed.os": {"request": "q"}}, alive=True, seen=3.0))
    (node,) = await made.views.nodes(names=[one.name])
    assert node.alive
    assert node.facts["observed.os"] == {"request": "q"}
    assert node.machine is not None
    assert not node.machine.beats
    await see(made, Observation(node=one.name, seen=3.0))
    machine = await made.machine(one.name)
    assert machine.beats
    assert machine.last_seen is not None
    assert abs(time.time() - 3.0 - machine.last_seen) < 600
    await see(made, Observation(node=one.name, facts={"observed.os": None}, alive=False))
    (node,) = await made.views.nodes(names=[one.name])
    assert not node.alive
    assert "observed.os" not in node.facts


async def test_a_missing_machine_is_well_again_when_it_beats(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    one = await register(made)
    await see(made, Observation(node=one.name, alive=True))
    await see(made, Observation(node=one.name, seen=500.0))
    assert await lifecycle.miss(made.store, time.time() - 300, time.time()) == 1
    assert (await made.machine(one.name)).health == "missing"
    await see(made, Observation(node=one.name, seen=0.5))
    assert (await made.machine(one.name)).health == "ok"


@pytest.mark.parametrize(
    ("item", "error", "why"),
    [
        (Observation(node="nobody", seen=1.0), NotFound, "no node nobody stands in this rack"),
        (Observation(node="other", seen=1.0), NotFound, "no node other stands in this rack"),
        (Observation(node="n0", facts={"desired.os": 1}), InvalidInput, "belongs to people"),
        (Observation(node="n0", facts={"os.plan": 1}), InvalidInput, "belongs to a task"),
    ],
)
async def test_a_rack_tells_of_its_own_nodes_and_of_the_world_only(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch, item: Observation, error: type[Exception], why: str
) -> None:
    made = await opened(store, monkeypatch, nodes=1)
    await add_nodes(made.store, [NewNode(name="other", rack="r1")])
    with pytest.raises(error, match=why):
        await see(made, Observation(node="n0", facts={"observed.x": 1}), item)


async def test_many_machines_are_enlisted_in_one_transaction_and_those_in_doubt_ask_alone(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    known = await register(made)
    others = [Register(macs=(f"52:54:00:00:01:{n:02x}",), serial=f"T{n}") for n in range(5)]
    twin = msgspec.structs.replace(others[0], serial="T9")
    nobody = Register(macs=())
    said = [ONE, *others, twin, nobody]
    found = await enlist_many(made.store, made.library, made.racks["r0"], said, time.time())
    assert found[0] == known
    assert [one.name for one in found[1:6] if one is not None] == [f"m-5254000001{n:02x}" for n in range(5)]
    assert found[6:] == [None, None]
    assert await enlist_many(made.store, made.library, made.racks["r0"], others, time.time()) == found[1:6]
    assert await enlist_many(made.store, made.library, made.racks["r1"], [ONE], time.time()) == [None]


async def test_machines_that_come_together_share_what_addresses_there_are(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    await desire(made, "rack", "r0", "desired.rack.networks", [NETWORK])
    await desire(made, "rack", "r0", "desired.rack.auto_accept", True)
    said = [Register(macs=(f"52:54:00:00:02:{n:02x}",)) for n in range(2)]
    found = await enlist_many(made.store, made.library, made.racks["r0"], said, time.time())
    names = [one.name for one in found if one is not None]
    assert sorted(await made.words(*names)) == ["new", "ready"]
