"""A rack's disk that is really full: what was answered is still answered, the trouble has a name, and it goes on once
there is room."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from rackwright.core.dhcp import Answers, Host
from rackwright.core.errors import Retryable
from rackwright.core.served import Network
from rackwright.rack.dhcp.kea import Kea
from rackwright.rack.image_room import Room
from rackwright.rack.images import ImageCache
from tests.acceptance.troublemakers import empty, fill, small_disk
from tests.integration.dhcp_wire import Wire, inside, require, wire
from tests.integration.door_world import FakeRegion
from tests.integration.test_rack_serving import LOOPBACK, Region, Written, has_applied_all, serves

DATA = bytes(range(256)) * 4096
MAC, STRANGER = "52:54:00:00:00:07", "52:54:00:00:00:99"
NETWORK = Network(cidr="10.77.0.0/24", address="10.77.0.1", dynamic=("10.77.0.100", "10.77.0.199"))
N7 = Host(7, "n7", (MAC,), "10.77.0.7", "t7")
ANSWERS = Answers(networks=(NETWORK,), hosts={7: N7}, interfaces={"10.77.0.1": "rack0"})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    with small_disk(tmp_path / "disk") as has_one:
        if not has_one:
            pytest.skip("needs root: it mounts a small disk")
        yield tmp_path / "disk"


@pytest.fixture
async def line() -> AsyncIterator[Wire]:
    require("kea-dhcp4")
    with wire() as made:
        async with inside(made.rack):
            yield made


@pytest.fixture
async def region() -> AsyncIterator[Region]:
    async with Region() as made:
        assert isinstance(made, Region)
        await made.begin(LOOPBACK)
        yield made


async def test_a_replica_that_cannot_be_written_is_told_and_brought_to_now_once_there_is_room(
    region: Region, disk: Path
) -> None:
    server = Written()
    async with serves(region, disk, server):
        await has_applied_all(region)
        fill(disk)
        before = server.host()
        await region.put("node", "n7", "desired.address", "10.77.0.70")
        assert "replica cannot be written" in await trouble(region, is_there=True)
        assert server.host() == before
        empty(disk)
        await has_applied_all(region)
        assert await trouble(region, is_there=False) == ""
        host = server.host()
        assert host is not None
        assert host.address == "10.77.0.70"


async def trouble(region: Region, *, is_there: bool) -> str:
    """What the rack says that is wrong, once something is, or nothing is."""
    async with asyncio.timeout(60):
        while bool(said := (await region.progress()).report.get("trouble", "")) != is_there:
            await asyncio.sleep(0.05)
    return str(said)


async def test_an_image_is_not_had_on_a_full_disk_and_had_once_there_is_room(disk: Path) -> None:
    region, sha256 = FakeRegion(), hashlib.sha256(DATA).hexdigest()
    region.files[sha256] = DATA
    cache = ImageCache(str(disk), region)
    # It keeps more free for the rack than this disk has.
    cache.room = Room(str(disk), len(DATA), reserve=0)
    fill(disk)
    with pytest.raises(Retryable, match="No space left"):
        await cache.file(sha256)
    assert "No space left" in cache.state()["trouble"]
    empty(disk)
    assert hashlib.sha256(Path(await cache.file(sha256)).read_bytes()).hexdigest() == sha256


async def test_kea_answers_nodes_with_its_lease_file_on_a_full_disk(line: Wire, disk: Path) -> None:
    kea = Kea(str(disk))
    await kea.answer(ANSWERS)
    assert await line.lease(MAC) == "10.77.0.7"
    fill(disk)
    assert (await line.ipxe(MAC))["address"] == "10.77.0.7"
    given = [await line.lease(MAC), await line.lease(STRANGER)]
    with pytest.raises(Retryable, match="No space left"):
        await kea.answer(structs.replace(ANSWERS, hosts={7: structs.replace(N7, address="10.77.0.70")}), {7})
    assert (await line.ipxe(MAC))["address"] == "10.77.0.7", given
    empty(disk)
    await kea.answer(structs.replace(ANSWERS, hosts={7: structs.replace(N7, address="10.77.0.70")}), {7})
    assert await line.lease(MAC) == "10.77.0.70"
    await kea.close()
