"""How a simulated machine comes from power to its script: what it says by DHCP, and what it does with the answers."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from rackwright.core.dhcp_packet import ACK, Message
from rackwright.core.machine_messages import Registered
from rackwright.sim.fleet import makeup
from rackwright.sim.fleet.chances import Chances, read
from rackwright.sim.fleet.door import Answer, Taken
from rackwright.sim.fleet.firmware import options
from rackwright.sim.fleet.life import FleetLife
from rackwright.sim.fleet.machine import Machine, Rack
from rackwright.sim.fleet.way import ByDhcp, Straight, filled, identity
from rackwright.sim.fleet.wire import Question

MAC = bytes.fromhex("0e1000000001")
SCRIPT = """#!ipxe
kernel --name kernel http://10.0.1.1:8480/assets/aa initrd=ramdisk rackwright.system=discovery || goto failed
initrd --name ramdisk http://10.0.1.1:8480/assets/bb || goto failed
"""


class Door:
    """Gives one script, and files of ten bytes; notes what it was asked for."""

    def __init__(self, script: str = SCRIPT, status: int = 200) -> None:
        self.asked: list[str] = []
        self._script, self._status = script, status

    async def ask(self, method: str, target: str, body: bytes = b"", token: str = "") -> Answer:
        self.asked.append(target)
        return Answer(200, self._script.encode())

    async def take(self, target: str) -> Taken:
        self.asked.append(target)
        return Taken(self._status, 10)


class HastyDoor(Door):
    """That of a rack which is about to end: no poll waits."""

    async def ask(self, method: str, target: str, body: bytes = b"", token: str = "") -> Answer:
        await super().ask(method, target)
        assert len(self.asked) < 1000, "nobody else comes to word"
        if target == "/agent/register":
            return Answer(200, msgspec.json.encode(Registered(node="n1", token="T", heartbeat=10.0, clock=0.0)))
        return Answer(200, b"{}" if target == "/agent/poll" else SCRIPT.encode())


class Wire:
    """Gives every machine the same answer to each question that is not lost; None: nobody answers."""

    def __init__(self, url: str | None) -> None:
        self.questions: list[Message] = []
        self._url = url

    async def lease(self, question: Message, goes: Question) -> Message | None:
        self.questions.append(question)
        if not await goes() or self._url is None:
            return None
        return Message(ACK, question.transaction, question.mac, reply=True, options={67: self._url.encode()})


def machine(door: Door, wire: Wire | None, *steps: str, fetched: Any = "nothing") -> Machine:
    """One that is off."""
    way: Any = Straight(door) if wire is None else ByDhcp(wire, door, loads=False)
    rack = Rack(
        name="r1", door=door, way=way, chances=Chances(1, read(steps, {})), tally=Counter(), begin=_never,
        fetched=fetched,
    )  # fmt: skip
    return Machine(1, rack, FleetLife)


def _never(work: Coroutine[Any, Any, None]) -> Callable[[], None]:
    work.close()
    return lambda: None


@pytest.mark.parametrize(("firmware", "code"), [("bios", 0), ("uefi", 7)])
def test_firmware_says_its_architecture_and_identity(firmware: Any, code: int) -> None:
    known = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    said = options("firmware", firmware, known, MAC)
    assert said[93] == bytes([0, code])
    assert said[60] == f"PXEClient:Arch:{code:05}:UNDI:003016".encode()
    assert said[97].hex() == "0033221100554477668899aabbccddeeff", "as SMBIOS has it"
    assert 77 not in said


def test_ipxe_says_that_it_is_ipxe_and_a_system_says_nothing_of_boot() -> None:
    known = makeup.identity(1, 1)
    assert options("ipxe", "uefi", known, MAC)[77] == b"iPXE"
    assert not {60, 93, 97, 77} & options("system", "uefi", known, MAC).keys()


async def test_a_machine_asks_twice_and_then_at_the_url_that_it_was_told() -> None:
    door, wire = Door(), Wire("http://10.0.1.1:8480/boot/T/ipxe?mac=${netX/mac}&firmware=${platform}")
    one = machine(door, wire)
    assert await one.rack.way.script(one) == SCRIPT
    assert [77 in question.options for question in wire.questions] == [False, True]
    assert len({question.transaction for question in wire.questions}) == 2
    platform = {"uefi": "efi", "bios": "pcbios"}[makeup.firmware(1, 1)]
    assert door.asked == [f"/boot/T/ipxe?mac={one.macs[0]}&firmware={platform}"]


@pytest.mark.parametrize("steps", [(), ("dhcp=failed=1",)], ids=["nobody answers", "all is lost"])
async def test_a_machine_that_is_given_no_address_has_no_script(steps: tuple[str, ...]) -> None:
    door = Door()
    one = machine(door, Wire(None if not steps else "http://10.0.1.1:8480/boot/T/ipxe"), *steps)
    assert await one.rack.way.script(one) == ""
    assert door.asked == []
    assert one.rack.tally["DHCP given up"] == 1


def test_every_setting_that_racks_leave_to_ipxe_is_filled() -> None:
    one = machine(Door(), None)
    url = "?mac=${netX/mac}&serial=${serial:uristring}&uuid=${uuid}&firmware=${platform}"
    assert "$" not in filled(url, identity(one))


@pytest.mark.parametrize(("fetched", "count"), [("nothing", 0), ("boot", 20), ("images", 20)])
async def test_kernel_and_ramdisk_are_fetched_where_machines_do(fetched: Any, count: int) -> None:
    door = Door()
    one = machine(door, None, fetched=fetched)
    booted = await FleetLife(one).booted()
    assert booted.system == "discovery"
    assert one.rack.tally["bytes booted"] == count
    assert door.asked[1:] == (["/assets/aa", "/assets/bb"] if count else [])


async def test_a_machine_whose_polls_are_answered_at_once_lets_others_go_on() -> None:
    door, tasks = HastyDoor(), list[asyncio.Task[None]]()

    def begin(work: Coroutine[Any, Any, None]) -> Callable[[], None]:
        tasks.append(asyncio.create_task(work))
        return lambda: None

    one = machine(door, None)
    one.rack.begin = begin
    await one.on()
    for _ in range(20):
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert tasks[0].cancelled()
    assert 2 < door.asked.count("/agent/poll") < 25
