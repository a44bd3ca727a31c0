"""A rack follows the region: replica, DHCP, and what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path

import pytest
from msgspec import structs

from rackwright.core.dhcp import Answers, DhcpServer, Host
from rackwright.core.errors import Retryable
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.served import Applied, Delta
from rackwright.core.serving import Serving as Progress
from rackwright.engine import intake, machines, serving
from rackwright.engine.library import CatalogLibrary
from rackwright.rack import serving as rack_serving
from rackwright.rack.client import RackClient
from rackwright.rack.dhcp.kea import Kea
from rackwright.rack.replica import NEVER, Replica
from rackwright.rack.seat import Seat
from rackwright.rack.serving import Serving
from rackwright.store.memory import MemoryStore
from tests.integration.dhcp_wire import inside, require, wire

MAC = "52:54:00:00:00:07"
LOOPBACK = {"cidr": "127.0.0.0/8", "address": "127.0.0.1"}


class Region(RackClient):
    """The region without a wire: the engine on a store in memory. ``away``: nothing reaches it."""

    def __init__(self) -> None:
        super().__init__("http://region.test", "r1", "token")
        self.store = MemoryStore()
        self.away = False
        self.rack = 0

    async def begin(self, network: Mapping[str, object]) -> None:
        """A rack r1 with this network and the node n7."""
        self.rack = await machines.add_rack(self.store, "r1", b"secret")
        await machines.add_nodes(self.store, [machines.NewNode(name="n7", rack="r1", address="10.77.0.7")])
        await self.put("rack", "r1", "desired.rack.networks", [network])
        await self.put("node", "n7", "desired.macs", [MAC])

    async def put(self, kind: str, name: str, path: str, value: object, writer: str = PEOPLE) -> None:
        async with self.store.transaction() as tx:
            scope = (await tx.named(kind, [name]))[name]
        await intake.put_facts(self.store, CatalogLibrary(), [FactWrite(scope.id, path, value, writer)])

    async def served(self, after: int, wait: float) -> Delta:
        """See the client."""
        for _ in range(int(wait / 0.02)):
            self._check_way()
            await serving.begin(self.store, self.rack)
            delta = await serving.delta(self.store, self.rack, after)
            if delta is not None:
                return delta
            await asyncio.sleep(0.02)
        return Delta(after=after, generation=after)

    async def applied(self, applied: Applied) -> None:
        """See the client."""
        self._check_way()
        await serving.applied(self.store, self.rack, applied)

    async def progress(self) -> Progress:
        async with self.store.transaction() as tx:
            return (await tx.serving([self.rack])).get(self.rack, Progress(generation=0))

    def _check_way(self) -> None:
        if self.away:
            raise Retryable("the region is away")


class Written:
    """A DHCP server that only notes what it was told."""

    name = "written"

    def __init__(self) -> None:
        self.told: list[Answers] = []
        self.changed: list[set[int] | None] = []
        self.fault = ""
        self.refused = 0
        self.closed = False

    async def answer(self, answers: Answers, changed: Collection[int] | None = None) -> None:
        """See the protocol."""
        if self.fault:
            self.refused += 1
            raise Retryable(self.fault)
        now = structs.replace(answers, hosts=dict(answers.hosts))
        if not self.told or self.told[-1] != now:
            self.told.append(now)
            self.changed.append(None if changed is None else set(changed))

    async def close(self) -> None:
        """See the protocol."""
        self.closed = True

    def host(self) -> Host | None:
        """What it knows of the one node."""
        return next(iter(self.told[-1].hosts.values()), None) if self.told else None


@contextlib.asynccontextmanager
async def serves(region: Region, folder: Path, server: DhcpServer) -> AsyncIterator[Replica]:
    """A rack's process that serves."""
    replica = Replica(str(folder))
    running = asyncio.create_task(Serving(region, replica, [server], 8480).run())
    try:
        yield replica
    finally:
        running.cancel()
        await asyncio.wait({running})
        replica.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


async def has_applied_all(region: Region) -> None:
    async with asyncio.timeout(60):
        while (now := await region.progress()).applied != now.generation:
            await asyncio.sleep(0.02)


@pytest.fixture
async def region() -> AsyncIterator[Region]:
    async with Region() as made:
        assert isinstance(made, Region)
        await made.begin(LOOPBACK)
        yield made


async def test_a_change_of_an_address_reaches_dhcp_and_is_acknowledged(region: Region, tmp_path: Path) -> None:
    server = Written()
    async with serves(region, tmp_path, server) as replica:
        await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.7")
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.70")
        assert server.told[-1].networks[0].cidr == "127.0.0.0/8"
        await has_applied_all(region)
        assert replica.applied == replica.generation
        assert (await region.progress()).effect is not None


async def test_a_change_of_what_is_booted_does_not_touch_dhcp(region: Region, tmp_path: Path) -> None:
    server = Written()
    async with serves(region, tmp_path, server) as replica:
        await until(lambda: server.host() is not None)
        await has_applied_all(region)
        told = len(server.told)
        activity = {"id": "a1", "verb": "rescue", "env": "rescue"}
        await region.put("node", "n7", "machine.activity", activity, "lifecycle")
        await until(lambda: (node := replica.named("n7")) is not None and node.bootenv.kind == "rescue")
        await has_applied_all(region)
        assert len(server.told) == told


async def test_a_change_names_only_what_has_changed_and_a_storm_of_them_is_told_in_few_rounds(
    region: Region, tmp_path: Path
) -> None:
    await machines.add_nodes(
        region.store,
        [machines.NewNode(name=f"s{n}", rack="r1", address=f"10.78.{n >> 8}.{n & 255}") for n in range(200)],
    )
    server = Written()
    async with serves(region, tmp_path, server):
        await has_applied_all(region)
        begun = len(server.changed)
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        await has_applied_all(region)
        (touched,) = server.changed[begun:]
        assert touched is not None
        assert len(touched) == 1
        rounds = len(server.told)
        for number in range(100):
            await region.put("node", f"s{number}", "desired.address", f"10.79.{number >> 8}.{number & 255}")
        await has_applied_all(region)
        assert {host.address for host in server.told[-1].hosts.values()} >= {"10.79.0.0", "10.79.0.99", "10.78.0.100"}
        assert len(server.told) - rounds < 50
        assert None not in server.changed[begun:]


async def test_a_process_that_stands_by_is_warm_and_answers_as_soon_as_the_seat_is_its_own(
    region: Region, tmp_path: Path
) -> None:
    server, seat = Written(), Seat(str(tmp_path / "held"))
    replica = Replica(str(tmp_path / "r1"))
    serving = Serving(region, replica, [server], 8480)
    running = [asyncio.create_task(work) for work in (serving.follow(), seat.while_held(serving.answer))]
    await until(lambda: replica.named("n7") is not None)
    seat.lose("another one works")
    await region.put("node", "n7", "desired.address", "10.77.0.70")
    await until(lambda: (node := replica.named("n7")) is not None and node.address == "10.77.0.70")
    assert (server.told, replica.applied) == ([], -1)
    seat.take()
    await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.70")
    await has_applied_all(region)
    seat.lose("another one works again")
    await until(lambda: server.closed)
    await region.put("node", "n7", "desired.address", "10.77.0.71")
    await until(lambda: replica.applied < replica.generation)
    assert (node := replica.named("n7")) is not None
    assert node.address == "10.77.0.71"
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    replica.close()


async def test_a_seat_that_is_lost_at_any_moment_of_the_beginning_is_left(region: Region, tmp_path: Path) -> None:
    replica = Replica(str(tmp_path / "r1"))
    for turns in range(12):
        server = Written()
        answering = asyncio.create_task(Serving(region, replica, [server], 8480).answer())
        for _ in range(turns):
            await asyncio.sleep(0)
        answering.cancel()
        await asyncio.wait({answering}, timeout=5)
        assert answering.cancelled(), f"it goes on after {turns} turns of the loop"
        assert server.closed or turns == 0
    replica.close()


async def test_a_removed_node_is_no_longer_answered(region: Region, tmp_path: Path) -> None:
    server = Written()
    async with serves(region, tmp_path, server):
        await until(lambda: server.host() is not None)
        await machines.remove(region.store, "node", "n7")
        await until(lambda: server.host() is None)


async def test_nothing_counts_as_applied_before_dhcp_answers_it(region: Region, tmp_path: Path) -> None:
    server = Written()
    server.fault = "the disk is full"
    async with serves(region, tmp_path, server) as replica:
        await until(lambda: replica.generation > NEVER and server.refused > 0)
        assert replica.applied < replica.generation
        server.fault = ""
        await has_applied_all(region)
        assert server.host() is not None


async def test_a_rack_serves_with_the_region_away_and_after_its_own_start(region: Region, tmp_path: Path) -> None:
    async with serves(region, tmp_path, Written()):
        await has_applied_all(region)
    region.away = True
    server = Written()
    async with serves(region, tmp_path, server):
        await until(lambda: server.host() is not None)
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        region.away = False
        await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.70")
        await has_applied_all(region)


async def test_a_region_restored_from_a_backup_is_followed_again(region: Region, tmp_path: Path) -> None:
    server = Written()
    async with serves(region, tmp_path, server) as replica:
        await has_applied_all(region)
        backup = copy.deepcopy(region.store.tables)
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.70")
        await has_applied_all(region)
        newest = replica.generation
        region.store.tables = backup
        await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.7")
        assert replica.generation < newest
        await has_applied_all(region)


async def test_a_rack_restored_from_an_old_backup_is_brought_to_now(region: Region, tmp_path: Path) -> None:
    async with serves(region, tmp_path / "r1", Written()):
        await has_applied_all(region)
    shutil.copytree(tmp_path / "r1", tmp_path / "backup")
    async with serves(region, tmp_path / "r1", Written()):
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        await has_applied_all(region)
    server = Written()
    async with serves(region, tmp_path / "backup", server):
        await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.70")
        await has_applied_all(region)
    assert server.told[0].hosts[next(iter(server.told[0].hosts))].address == "10.77.0.7"


async def test_a_foreign_dhcp_server_is_told_and_forgotten_when_it_is_gone(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rogue = {"127.0.0.99"}

    async def servers_on(interface: str) -> set[str]:
        return rogue | {"127.0.0.1"}

    monkeypatch.setattr(rack_serving, "servers_on", servers_on)
    monkeypatch.setattr(rack_serving, "LOOK", 0.05)
    monkeypatch.setattr(rack_serving, "LOOK_AGAIN", 0.05)
    server = Written()

    async def told() -> list[str]:
        return list((await region.progress()).report.get("foreign", []))

    async with serves(region, tmp_path, server), asyncio.timeout(60):
        while await told() != ["127.0.0.99"]:
            await asyncio.sleep(0.02)
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        await has_applied_all(region)
        rogue.clear()
        while await told():
            await asyncio.sleep(0.02)


async def test_a_clock_that_is_an_hour_off_is_told_and_changes_nothing_else(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Region, "ahead", -3600.0)
    server = Written()
    async with serves(region, tmp_path, server):
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        await until(lambda: (host := server.host()) is not None and host.address == "10.77.0.70")
        await has_applied_all(region)
        assert (await region.progress()).report["trouble"] == "the rack's clock is -60 min off the region's: set it"


async def test_a_network_without_an_interface_is_told(region: Region, tmp_path: Path) -> None:
    await region.put("rack", "r1", "desired.rack.networks", [{"cidr": "10.99.0.0/24", "address": "10.99.0.1"}])
    async with serves(region, tmp_path, Written()):
        await has_applied_all(region)
        assert "no interface has 10.99.0.1" in (await region.progress()).report["trouble"]


async def test_a_machine_is_answered_by_kea_from_the_facts_with_the_region_away(region: Region, tmp_path: Path) -> None:
    require("kea-dhcp4")
    await region.put("rack", "r1", "desired.rack.networks", [{"cidr": "10.77.0.0/24", "address": "10.77.0.1"}])
    with wire() as line:
        async with inside(line.rack):
            async with serves(region, tmp_path / "r1", Kea(str(tmp_path / "kea"))) as replica:
                await has_applied_all(region)
                offered = await line.ipxe(MAC)
                node = replica.named("n7")
                assert node is not None
                assert offered["address"] == "10.77.0.7"
                assert f"/boot/{replica.token(node)}/ipxe" in offered["67"]
            assert await line.ipxe(MAC) == {}
            region.away = True
            async with serves(region, tmp_path / "r1", Kea(str(tmp_path / "kea"))):
                offered = {}
                while not offered:
                    offered = await line.ipxe(MAC)
                assert offered["address"] == "10.77.0.7"
