"""Addresses that go along with the work: who has them, and who gives way."""

from __future__ import annotations

import asyncio
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.served import Network
from rackwright.rack import carrying
from rackwright.rack.carrying import RECENT, Carrying, pause
from rackwright.rack.dhcp import arp
from rackwright.rack.seat import Seat

NETWORKS = (
    Network(cidr="10.77.0.0/24", address="10.77.0.1", interface="rack0"),
    Network(cidr="10.88.0.0/24", address="10.77.0.1", interface="rack0", relayed=True),
    Network(cidr="10.99.0.0/24", address="10.99.0.1"),
)
HERE = ("10.77.0.1/24", "rack0")


class Ground:
    """A host and its wire, as the commands and questions find them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has: set[tuple[str, str]] = set()
        self.others: list[str] = [""]
        """Who else answers for an address: at one look after the other, the last for ever."""
        self.announced = self.looks = 0
        monkeypatch.setattr(carrying, "_ip", self._ip)
        monkeypatch.setattr(carrying, "EVERY", 0.01)
        monkeypatch.setattr(arp, "other_with", self._other_with)
        monkeypatch.setattr(arp, "announce", self._announce)

    async def _ip(self, verb: str, address: str, interface: str, *more: str) -> str:
        change = self.has.add if verb == "replace" else self.has.discard
        change((address, interface))
        return ""

    async def _other_with(self, address: str, interface: str) -> str:
        self.looks += 1
        return self.others.pop(0) if len(self.others) > 1 else self.others[0]

    def _announce(self, address: str, interface: str) -> None:
        self.announced += 1


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Ground:
    return Ground(monkeypatch)


@pytest.fixture
def seat(tmp_path: Path) -> Seat:
    made = Seat(str(tmp_path / "seat-held"))
    made.take(0.0)
    return made


async def carried(ground: Ground, seat: Seat) -> int:
    """Carry for some looks; gives how often an address has come."""
    arrived: list[None] = []
    running = asyncio.create_task(Carrying(seat, lambda: NETWORKS).run(lambda: arrived.append(None)))
    async with asyncio.timeout(60):
        while ground.looks < 5:
            await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
    return len(arrived)


async def test_the_address_of_a_network_that_names_its_interface_comes_once_and_leaves_with_the_work(
    ground: Ground, seat: Seat
) -> None:
    seen: list[set[tuple[str, str]]] = []
    task = asyncio.create_task(carried(ground, seat))
    while not ground.has:
        await asyncio.sleep(0)
    seen.append(set(ground.has))
    assert await task == 1
    assert (seen, ground.has, ground.announced, seat.held) == ([{HERE}], set(), 1, True)


async def test_who_is_not_sure_gives_way_to_a_host_that_has_the_address(ground: Ground, seat: Seat) -> None:
    ground.others = ["52:54:00:00:00:02"]
    assert await carried(ground, seat) == 0
    assert (ground.has, seat.held) == (set(), False)


async def test_of_two_that_are_not_sure_the_one_that_looks_later_stays(ground: Ground, seat: Seat) -> None:
    ground.others = ["52:54:00:00:00:02", ""]
    assert await carried(ground, seat) == 1
    assert seat.held


@given(younger=st.floats(0, RECENT - 20), more=st.floats(20, 1e6), chances=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_of_two_that_are_not_sure_the_one_stays_that_has_heard_of_the_region_later(
    younger: float, more: float, chances: tuple[float, float]
) -> None:
    assert pause(younger, chances[0]) > pause(younger + more, chances[1])
    assert 0 <= pause(math.inf, chances[0]) <= carrying.EVERY


async def test_who_has_the_regions_word_stays_and_says_where_the_address_is(ground: Ground, seat: Seat) -> None:
    seat.take(60.0)
    ground.others = ["52:54:00:00:00:02"]
    assert await carried(ground, seat) == 1
    assert seat.held
    assert ground.announced > 1


def test_only_an_answer_for_the_wanted_address_counts() -> None:
    def frame(operation: int, sender: bytes) -> bytes:
        head = struct.pack("!6s6sHHHBBH", b"\xff" * 6, b"RTHOST", 0x0806, 1, 0x0800, 6, 4, operation)
        return head + b"\x52\x54\0\0\0\2" + sender + bytes(10)

    wanted = bytes([10, 77, 0, 1])
    assert arp.answerer(frame(2, wanted), wanted) == "52:54:00:00:00:02"
    assert [arp.answerer(each, wanted) for each in (frame(1, wanted), frame(2, bytes(4)), b"short")] == [""] * 3
