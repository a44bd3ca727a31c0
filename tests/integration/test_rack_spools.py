from __future__ import annotations

import asyncio
import logging
import os
import stat
from pathlib import Path

import pytest

from rackwright.core.messages import Result, Results
from rackwright.rack import logs
from rackwright.rack.client import RackClient
from rackwright.rack.logs import LogShipper
from rackwright.rack.results import ResultSpool, batch_limit
from tests.integration.rack_fake_api import FakeApi


def batch(*numbers: int, incarnation: str = "first") -> Results:
    return Results(incarnation, [Result(id=number, attempt=1, revision=1, outcome="ok") for number in numbers])


def spool(folder: Path) -> ResultSpool:
    loaded = ResultSpool(str(folder))
    loaded.load()
    return loaded


def test_results_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for number in range(12):
        first.keep(batch(number))
    again = spool(tmp_path)
    assert again.held() == [(number, 1) for number in range(12)]
    again.drop([1])
    again.keep(batch(99, incarnation="second"))
    assert spool(tmp_path).held() == [*((number, 1) for number in range(1, 12)), (99, 1)]


def test_batches_of_one_incarnation_go_together_as_far_as_a_request_holds_them(tmp_path: Path) -> None:
    waiting = spool(tmp_path)
    for numbers in ((1, 2), (3,), tuple(range(100, 100 + batch_limit)), (4,)):
        waiting.keep(batch(*numbers))
    waiting.keep(batch(5, incarnation="second"))
    sent = []
    while (oldest := waiting.oldest()) is not None:
        sent.append((oldest[1].incarnation, len(oldest[1].items)))
        waiting.drop(oldest[0])
    assert sent == [("first", 3), ("first", batch_limit), ("first", 1), ("second", 1)]
    assert list(tmp_path.iterdir()) == []


def test_results_are_for_the_owner_only(tmp_path: Path) -> None:
    spool(tmp_path).keep(batch(1))
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_half_a_file_is_put_aside_and_the_rest_is_kept(tmp_path: Path) -> None:
    first = spool(tmp_path)
    first.keep(batch(1))
    first.keep(batch(2))
    (tmp_path / "000000000001.json").write_bytes(b'{"incarn')
    (tmp_path / "000000000003.json.new").write_bytes(b"{")
    assert spool(tmp_path).held() == [(2, 1)]
    assert (tmp_path / "000000000001.json.refused").exists()


def test_a_disk_that_takes_nothing_keeps_results_in_memory(tmp_path: Path) -> None:
    full = spool(tmp_path)
    os.symlink("/dev/full", tmp_path / "000000000001.json.new")
    full.keep(batch(1))
    assert full.held() == [(1, 1)]
    assert spool(tmp_path).held() == []


@pytest.fixture
def quiet() -> None:
    logging.getLogger("httpx").setLevel(logging.WARNING)


async def test_a_large_log_arrives_whole_and_its_file_goes(tmp_path: Path, quiet: None) -> None:
    text = b"".join(b"line %d\n" % number for number in range(300_000))
    async with FakeApi().serving() as api, RackClient(api.url, "r1", "secret") as client:
        shipper = LogShipper(client, str(tmp_path))
        shipper.load()
        shipping = asyncio.create_task(shipper.run())
        large, silent = Path(shipper.path(1, 1)), shipper.path(2, 1)
        large.write_bytes(text)
        assert not Path(silent).exists()
        shipper.end(1, 1)
        shipper.end(2, 1)
        await asyncio.wait_for(shipper.emptied(), 60)
        shipping.cancel()
        assert api.logs == {1: text}
        assert api.last == {1}
        assert list(tmp_path.iterdir()) == []


async def test_a_log_that_begins_when_all_others_were_shipped_arrives_too(tmp_path: Path, quiet: None) -> None:
    async with FakeApi().serving() as api, RackClient(api.url, "r1", "secret") as client:
        shipper = LogShipper(client, str(tmp_path))
        shipper.load()
        shipping = asyncio.create_task(shipper.run())
        for number in (1, 2):
            Path(shipper.path(number, 1)).write_bytes(b"a word\n")
            shipper.end(number, 1)
            await asyncio.wait_for(shipper.emptied(), 10)
        shipping.cancel()
        assert api.logs == {1: b"a word\n", 2: b"a word\n"}


async def test_a_log_that_ends_alone_goes_at_once(tmp_path: Path, quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "longest_pause", 3600.0)
    async with FakeApi().serving() as api, RackClient(api.url, "r1", "secret") as client:
        shipper = LogShipper(client, str(tmp_path))
        shipper.load()
        shipping = asyncio.create_task(shipper.run())
        Path(shipper.path(1, 1)).write_bytes(b"a word\n")
        shipper.end(1, 1)
        async with asyncio.timeout(60):
            while api.last != {1}:
                await asyncio.sleep(0.05)
        shipping.cancel()


async def test_short_logs_that_end_one_after_the_other_go_together(tmp_path: Path, quiet: None) -> None:
    async with FakeApi().serving() as api, RackClient(api.url, "r1", "secret") as client:
        shipper = LogShipper(client, str(tmp_path))
        shipper.load()
        shipping = asyncio.create_task(shipper.run())
        for number in range(1, 11):
            Path(shipper.path(number, 1)).write_bytes(b"a word\n")
            shipper.end(number, 1)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            while len(api.last) < 10:
                await asyncio.sleep(0.05)
        shipping.cancel()
        assert api.log_requests < 5
        assert api.logs == dict.fromkeys(range(1, 11), b"a word\n")
