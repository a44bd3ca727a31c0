"""A simulated machine is a real QEMU: it is switched, restarts, and boots what was chosen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from rackwright.sim import qemu
from rackwright.sim.machine import Happening, Machine
from rackwright.sim.shape import MIB, Shape

NEEDED = {program: package for program, package in qemu.NEEDED.items() if not program.startswith("/")}
pytestmark = pytest.mark.skipif(bool(qemu.missing(NEEDED)), reason=f"Debian packages are missing: {NEEDED}")

SHAPE = Shape(number=1, name="m1", firmware="bios", bmc="ipmi", memory=64, disk_bytes=64 * MIB, nics=0)
"""Without a network it takes no root."""


@pytest.fixture
def told() -> list[Happening]:
    return []


@pytest.fixture
async def machine(tmp_path: Path, told: list[Happening]) -> AsyncIterator[Machine]:
    made = Machine(SHAPE, tmp_path, told.append)
    await made.make()
    yield made
    await made.off()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_machine_is_off_until_it_is_given_power_and_off_again_without(
    machine: Machine, told: list[Happening]
) -> None:
    assert not machine.is_on
    await machine.on()
    assert machine.is_on
    await machine.on()
    await machine.off()
    assert not machine.is_on
    assert [happening.what for happening in told] == ["on", "start", "off"]


async def test_switching_a_machine_that_is_off_does_nothing(machine: Machine) -> None:
    await machine.off()
    await machine.reset()
    await machine.press()
    assert not machine.is_on


async def test_a_choice_for_one_start_is_used_up_by_it_and_a_reset_counts_as_one_start(
    machine: Machine, told: list[Happening]
) -> None:
    await machine.boot_from("disk", once=True)
    await machine.on()
    await until(lambda: machine.next_device == ("network", False))
    await machine.boot_from("disk", once=True)
    assert machine.next_device == ("disk", True)
    await machine.reset()
    await until(lambda: machine.next_device == ("network", False))
    assert [(one.what, one.device) for one in told if one.what == "start"] == [("start", "disk")] * 2


async def test_a_choice_for_good_stays_and_a_new_one_takes_the_choice_for_one_start_back(machine: Machine) -> None:
    await machine.boot_from("network", once=True)
    await machine.boot_from("disk", once=False)
    await machine.on()
    await machine.cycle()
    assert machine.next_device == ("disk", False)
    assert machine.starts == 2


async def test_a_machine_does_not_outlive_the_process_that_keeps_it(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys, msgspec\nfrom pathlib import Path\n"
        "from rackwright.sim.machine import Machine\nfrom rackwright.sim.shape import Shape\n"
        "async def main():\n"
        "    machine = Machine(msgspec.json.decode(sys.argv[1], type=Shape), Path(sys.argv[2]))\n"
        "    await machine.make()\n    await machine.on()\n    print(machine.pid, flush=True)\n"
        "    await asyncio.sleep(600)\nasyncio.run(main())\n"
    )

    words = [sys.executable, "-c", program, msgspec.json.encode(SHAPE).decode(), str(tmp_path)]
    keeper = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert keeper.stdout is not None
    pid = int(await asyncio.wait_for(keeper.stdout.readline(), 60))
    keeper.kill()
    await keeper.communicate()
    await until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
