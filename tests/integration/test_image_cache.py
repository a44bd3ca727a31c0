from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

import pytest

from rackwright.core.errors import InvalidInput, NotFound, Retryable
from rackwright.rack import images
from rackwright.rack.images import ImageCache
from tests.integration.door_world import FakeRegion, world

DATA = bytes(range(256)) * 4096


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "first_pause", 0.01)


@pytest.fixture
def region() -> FakeRegion:
    made = FakeRegion()
    made.files[digest(DATA)] = DATA
    return made


async def test_fifty_that_ask_at_once_cost_one_fetch(tmp_path: Path, region: FakeRegion) -> None:
    region.slow = 0.01
    async with world(tmp_path, region) as here:
        url = f"/assets/{digest(DATA)}"
        answers = await asyncio.gather(*(here.http.get(url) for _ in range(50)))
    assert {answer.content == DATA for answer in answers} == {True}
    assert region.fetched == [(digest(DATA), 0)]


async def test_a_range_is_answered_so_that_a_download_goes_on(tmp_path: Path, region: FakeRegion) -> None:
    async with world(tmp_path, region) as here:
        url = f"/assets/{digest(DATA)}"
        answer = await here.http.get(url, headers={"Range": "bytes=1000000-"})
        assert (answer.status_code, answer.content) == (206, DATA[1000000:])
        assert answer.headers["content-range"] == f"bytes 1000000-{len(DATA) - 1}/{len(DATA)}"
        assert (await here.http.get(url, headers={"Range": f"bytes={len(DATA)}-"})).status_code == 416
        assert (await here.http.head(url)).headers["content-length"] == str(len(DATA))


async def test_a_fetch_that_broke_off_goes_on_where_it_ended(tmp_path: Path, region: FakeRegion) -> None:
    region.breaks_after = 5 * 65536
    cache = ImageCache(str(tmp_path), region)
    path = await cache.file(digest(DATA))
    assert Path(path).read_bytes() == DATA
    assert region.fetched == [(digest(DATA), 0), (digest(DATA), 5 * 65536)]


async def test_a_fetch_that_a_former_process_began_goes_on_too(tmp_path: Path, region: FakeRegion) -> None:
    cache = ImageCache(str(tmp_path), region)
    (tmp_path / f"{digest(DATA)}.part").write_bytes(DATA[:3000])
    await cache.file(digest(DATA))
    assert region.fetched == [(digest(DATA), 3000)]


async def test_a_whole_file_that_was_never_checked_is_checked_and_taken(tmp_path: Path, region: FakeRegion) -> None:
    cache = ImageCache(str(tmp_path), region)
    (tmp_path / f"{digest(DATA)}.part").write_bytes(DATA)
    assert Path(await cache.file(digest(DATA))).read_bytes() == DATA


async def test_a_part_with_wrong_bytes_is_thrown_away_and_fetched_anew(tmp_path: Path, region: FakeRegion) -> None:
    cache = ImageCache(str(tmp_path), region)
    (tmp_path / f"{digest(DATA)}.part").write_bytes(b"x" * 3000)
    assert Path(await cache.file(digest(DATA))).read_bytes() == DATA
    assert [offset for _, offset in region.fetched] == [3000, 0]


@pytest.mark.parametrize("damage", [DATA[:5000], DATA[:-1] + b"x", b""])
async def test_a_file_that_was_damaged_in_the_cache_is_fetched_anew(
    tmp_path: Path, region: FakeRegion, damage: bytes
) -> None:
    (tmp_path / digest(DATA)).write_bytes(damage)
    cache = ImageCache(str(tmp_path), region)
    assert Path(await cache.file(digest(DATA))).read_bytes() == DATA


async def test_a_file_that_is_damaged_while_the_rack_runs_is_seen(tmp_path: Path, region: FakeRegion) -> None:
    cache = ImageCache(str(tmp_path), region)
    path = Path(await cache.file(digest(DATA)))
    path.write_bytes(DATA[:100])
    assert Path(await cache.file(digest(DATA))).read_bytes() == DATA
    assert len(region.fetched) == 2


async def test_a_file_that_is_sound_is_not_fetched_again(tmp_path: Path, region: FakeRegion) -> None:
    await ImageCache(str(tmp_path), region).file(digest(DATA))
    region.away = True
    assert Path(await ImageCache(str(tmp_path), region).file(digest(DATA))).read_bytes() == DATA


async def test_bytes_that_are_not_what_their_name_says_are_never_given_out(tmp_path: Path, region: FakeRegion) -> None:
    wrong = digest(b"something else")
    region.files[wrong] = DATA
    with pytest.raises(Retryable, match="other bytes"):
        await ImageCache(str(tmp_path), region).file(wrong)
    assert not (tmp_path / wrong).exists()
    async with world(tmp_path / "rack", region) as here:
        answer = await here.http.get(f"/assets/{wrong}")
    assert answer.status_code == 503


async def test_a_name_that_is_no_digest_is_refused(tmp_path: Path, region: FakeRegion) -> None:
    with pytest.raises(InvalidInput, match="no SHA-256"):
        await ImageCache(str(tmp_path), region).file("../../etc/passwd")


async def test_the_files_that_were_used_least_lately_make_room(tmp_path: Path, region: FakeRegion) -> None:
    parts = [DATA[:1000], DATA[1000:2000] + b"1", DATA[:1000] + b"2"]
    region.files |= {digest(part): part for part in parts}
    cache = ImageCache(str(tmp_path), region, limit=2500)
    for age, part in ((7200, parts[0]), (3600, parts[1])):
        path = await cache.file(digest(part))
        os.utime(path, ns=(time.time_ns() - age * 10**9, os.stat(path).st_mtime_ns))
    for part in (parts[0], parts[2]):
        await cache.file(digest(part))
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {digest(parts[0]), digest(parts[2])}


async def test_a_machine_that_no_longer_waits_does_not_end_the_fetch_of_others(
    tmp_path: Path, region: FakeRegion
) -> None:
    region.slow = 0.02
    cache = ImageCache(str(tmp_path), region)
    impatient = asyncio.create_task(cache.file(digest(DATA)))
    patient = asyncio.create_task(cache.file(digest(DATA)))
    await asyncio.sleep(0.05)
    impatient.cancel()
    assert Path(await patient).read_bytes() == DATA
    assert len(region.fetched) == 1


async def test_a_name_means_the_newest_image_and_the_known_one_while_the_region_is_away(
    tmp_path: Path, region: FakeRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "fresh_for", 0.0)
    first = region.image("discovery", kernel=b"1")
    cache = ImageCache(str(tmp_path), region)
    assert (await cache.manifest("discovery")).digest == first.digest
    second = region.image("discovery", kernel=b"2")
    assert (await cache.manifest("discovery")).digest == second.digest
    region.away = True
    assert (await ImageCache(str(tmp_path), region).manifest("discovery")).digest == second.digest
    with pytest.raises(Retryable):
        await cache.manifest("never-asked")


async def test_an_image_that_is_nowhere_is_not_found(tmp_path: Path, region: FakeRegion) -> None:
    with pytest.raises(NotFound, match="no image 'live'"):
        await ImageCache(str(tmp_path), region).manifest("live")
