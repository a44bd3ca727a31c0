"""The image cache on a small or full disk, what it fetches before it is asked, and its budget of bytes a second."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import Retryable
from rackwright.core.served import Delta, ServedNode, ServedRack
from rackwright.rack import image_room, images, stocking
from rackwright.rack.bandwidth import Bandwidth
from rackwright.rack.images import ImageCache
from rackwright.rack.replica import Replica
from rackwright.rack.stocking import Stocking, wanted_images
from tests.integration.door_world import FakeRegion, World, world

DATA = bytes(range(256)) * 4096
Disk = namedtuple("Disk", "f_bavail f_frsize")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def parts(region: FakeRegion, count: int, size: int = 1000) -> list[str]:
    """So many files of the region; gives their digests."""
    data = [bytes([number]) * size for number in range(count)]
    region.files |= {digest(each): each for each in data}
    return [digest(each) for each in data]


def aged(folder: Path, sha256: str, hours: int) -> None:
    path = folder / sha256
    os.utime(path, ns=(time.time_ns() - hours * 3600 * 10**9, path.stat().st_mtime_ns))


@pytest.fixture
def region() -> FakeRegion:
    made = FakeRegion()
    made.files[digest(DATA)] = DATA
    return made


async def test_a_file_that_is_being_read_is_never_removed(tmp_path: Path, region: FakeRegion) -> None:
    first, second, third = parts(region, 3)
    cache = ImageCache(str(tmp_path), region, limit=2500)
    for hours, sha256 in ((3, first), (2, second)):
        await cache.file(sha256)
        aged(tmp_path, sha256, hours)
    with cache.reading(first):
        await cache.file(third)
        assert files_in(tmp_path) == {first, third}
    aged(tmp_path, third, 1)
    await cache.file(second)
    assert files_in(tmp_path) == {second, third}


async def test_what_machines_will_ask_for_stays_longest(tmp_path: Path, region: FakeRegion) -> None:
    first, second, third = parts(region, 3)
    cache = ImageCache(str(tmp_path), region, limit=2500)
    cache.room.wanted = frozenset([first])
    for hours, sha256 in ((3, first), (2, second)):
        await cache.file(sha256)
        aged(tmp_path, sha256, hours)
    await cache.file(third)
    assert files_in(tmp_path) == {first, third}


async def test_what_a_given_up_fetch_left_behind_counts_and_goes_first(tmp_path: Path, region: FakeRegion) -> None:
    (first,) = parts(region, 1)
    left = tmp_path / f"{'0' * 64}.part"
    left.write_bytes(b"x" * 2000)
    cache = ImageCache(str(tmp_path), region, limit=2500)
    os.utime(left, ns=(0, left.stat().st_mtime_ns))
    await cache.file(first)
    assert files_in(tmp_path) == {first}


async def test_a_full_disk_is_freed_of_what_is_used_least(
    tmp_path: Path, region: FakeRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = parts(region, 2)
    cache = ImageCache(str(tmp_path), region)
    await cache.file(first)
    taken = image_room.RESERVE + 1500

    def disk(path: str) -> Disk:
        return Disk(taken - sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file()), 1)

    monkeypatch.setattr(os, "statvfs", disk)
    await cache.file(second)
    assert files_in(tmp_path) == {second}
    assert "trouble" not in cache.state()


async def test_a_disk_that_is_full_of_other_things_is_told_of_left_alone_and_used_again(
    tmp_path: Path, region: FakeRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ImageCache(str(tmp_path), region)
    free = [image_room.RESERVE + 1000]
    monkeypatch.setattr(os, "statvfs", lambda _: Disk(free[0], 1))
    with pytest.raises(Retryable, match="No space left"):
        await cache.file(digest(DATA))
    assert files_in(tmp_path) == set()
    assert "No space left" in cache.state()["trouble"]
    free[0] += len(DATA)
    assert Path(await cache.file(digest(DATA))).read_bytes() == DATA
    assert "trouble" not in cache.state()


async def test_a_file_that_is_removed_before_it_is_opened_may_be_asked_for_again(
    tmp_path: Path, region: FakeRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def removed(sha256: str) -> str:
        return str(tmp_path / sha256)

    async with world(tmp_path, region) as here:
        with monkeypatch.context() as patch:
            patch.setattr(here.images, "file", removed)
            answer = await here.http.get(f"/assets/{digest(DATA)}")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await here.http.get(f"/assets/{digest(DATA)}")).content == DATA


async def test_the_state_tells_what_is_fetched(tmp_path: Path, region: FakeRegion) -> None:
    region.slow = 0.05
    cache = ImageCache(str(tmp_path), region, limit=10**9)
    told: list[dict[str, object]] = []
    cache.changed = lambda: told.append(cache.state())
    await cache.file(digest(DATA))
    await asyncio.sleep(0)
    assert msgspec.json.encode(told[0]).count(digest(DATA).encode()) == 1
    assert told[-1] == {"files": 1, "bytes": len(DATA), "limit": 10**9}


async def test_a_budget_holds_for_all_who_read(tmp_path: Path, region: FakeRegion) -> None:
    async with world(tmp_path, region) as here:
        url = f"/assets/{digest(DATA)}"
        await here.http.get(url)
        here.images.to_machines.rate = 4 * len(DATA)
        began = time.monotonic()
        answers = await asyncio.gather(*(here.http.get(url) for _ in range(4)))
        assert {answer.content == DATA for answer in answers} == {True}
        assert time.monotonic() - began > 0.5


async def test_who_gives_up_has_still_paid() -> None:
    bandwidth = Bandwidth(1000.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bandwidth.take(1000)
    began = time.monotonic()
    await bandwidth.take(1)
    assert time.monotonic() - began > 0.5


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-9", 206, DATA[:10]),
        ("bytes=-10", 206, DATA[-10:]),
        (f"bytes=5-{10**12}", 206, DATA[5:]),
        (f"bytes={len(DATA)}-", 416, b""),
        ("bytes=9-5", 416, b""),
        ("bytes=-", 200, DATA),
        ("bytes=0-1,5-6", 200, DATA),
        ("lines=1-2", 200, DATA),
    ],
)
async def test_ranges_are_answered_as_the_rfc_wants(
    tmp_path: Path, region: FakeRegion, asked: str, status: int, content: bytes
) -> None:
    async with world(tmp_path, region) as here:
        answer = await here.http.get(f"/assets/{digest(DATA)}", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, content)


async def test_a_range_of_another_file_by_now_gets_all_of_it(tmp_path: Path, region: FakeRegion) -> None:
    async with world(tmp_path, region) as here:
        url, part = f"/assets/{digest(DATA)}", "bytes=0-9"
        same = await here.http.get(url, headers={"Range": part, "If-Range": f'"{digest(DATA)}"'})
        other = await here.http.get(url, headers={"Range": part, "If-Range": '"another"'})
    assert (same.status_code, other.status_code) == (206, 200)


async def test_a_connection_serves_file_after_file(tmp_path: Path, region: FakeRegion) -> None:
    async with world(tmp_path, region) as here:
        url = f"/assets/{digest(DATA)}"
        for _ in range(3):
            assert (await here.http.get(url)).content == DATA
            assert (await here.http.head(url)).headers["content-length"] == str(len(DATA))
            assert (await here.http.get("/boot/ipxe", params={"mac": "52:54:00:00:00:01"})).status_code == 200


async def test_a_machine_that_goes_away_amid_a_file_is_no_trouble(tmp_path: Path, region: FakeRegion) -> None:
    big = os.urandom(1 << 20) * 32
    region.files[digest(big)] = big
    async with world(tmp_path, region) as here:
        async with here.http.stream("GET", f"/assets/{digest(big)}") as answer:
            async for _ in answer.aiter_raw():
                break
        assert (await here.http.get(f"/assets/{digest(DATA)}")).content == DATA
        async with asyncio.timeout(60):
            while here.images.room._readers:
                await asyncio.sleep(0.01)


async def test_two_hundred_machines_that_boot_at_once_cost_one_fetch_of_each_file(
    tmp_path: Path, region: FakeRegion
) -> None:
    image = region.image("discovery", kernel=os.urandom(1 << 16), ramdisk=os.urandom(1 << 17))
    region.slow = 0.01

    async def boot(here: World, node: int) -> None:
        script = await here.http.get(f"/boot/{here.token(node)}/ipxe")
        for file in image.files:
            assert f"/assets/{file.sha256}" in script.text
            answer = await here.http.get(f"/assets/{file.sha256}")
            assert digest(answer.content) == file.sha256

    async with world(tmp_path, region) as here:
        nodes = tuple(ServedNode(id=id, name=f"n{id}") for id in range(1, 201))
        await here.replica.apply(Delta(after=1, generation=2, nodes=nodes))
        await asyncio.gather(*(boot(here, node.id) for node in nodes))
    assert sorted(region.fetched) == sorted((file.sha256, 0) for file in image.files)


def test_what_is_wanted_follows_from_boot_environments_and_the_rack() -> None:
    rack = ServedRack(name="r1", settings={"discovery": "found", "prefetch": {"d2": "debian-12"}})
    wanted = wanted_images(rack, [("", "d1"), ("installer", "")])
    assert wanted.booted == {"found", "installer"}
    assert wanted.whole == {"d1", "d2"}


async def test_images_are_at_hand_before_a_machine_asks(
    tmp_path: Path, region: FakeRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "fresh_for", 0.0)
    monkeypatch.setattr(images, "first_pause", 0.001)
    monkeypatch.setattr(stocking, "again", 0.01)
    region.away = True
    discovery = region.image("discovery", kernel=b"k", ramdisk=b"r", other=b"source")
    disk = region.image("debian", disk=b"debian")
    listed = region.image("listed", disk=b"listed", other=b"more")
    replica, cache = Replica(str(tmp_path / "replica")), ImageCache(str(tmp_path / "images"), region)
    plan = Bootenv(kind="install", request="q", method="image", installs=disk.digest)
    node = ServedNode(id=1, name="n1", bootenv=plan)
    rack = ServedRack(
        name="r1", settings={"prefetch": {listed.digest: "listed"}, "bandwidth": {"region": 10**9, "machines": 5}}
    )
    running = asyncio.create_task(Stocking(replica, cache).run())
    try:
        await replica.apply(Delta(after=-1, generation=1, full=True, rack=rack, nodes=(node,)))
        await asyncio.sleep(0.05)
        region.away = False
        booted = [file.sha256 for file in discovery.files if file.part != "other"]
        expected = {*booted, *(file.sha256 for image in (disk, listed) for file in image.files)}
        async with asyncio.timeout(60):
            while files_in(tmp_path / "images") != expected:
                await asyncio.sleep(0.01)
        assert (cache.from_region.rate, cache.to_machines.rate) == (10**9, 5)
        assert cache.room.wanted == expected
    finally:
        running.cancel()
        await asyncio.wait({running})
        replica.close()
