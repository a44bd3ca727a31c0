"""`rackwright sim` with a region of its own: machines on three racks, and what becomes of them by seed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.sim.fleet.chances import Chances, read
from tests.integration.simulated_fleet import SEED, named, simulated

RACKS = 3
FAILS = ("reboot=failed=0.5",)
TRIES = 2
"""Of the task os-restart."""

pytestmark = pytest.mark.slow


def reboots(number: int) -> list[str]:
    """How a machine's restarts will end, until one is well or no more are tried."""
    chances = Chances(SEED, read(FAILS, {}))
    endings: list[str] = []
    while len(endings) < TRIES and "ok" not in endings:
        endings.append(chances.fate(number, "reboot", len(endings)).ending)
    return endings


INSIDE = ()
WIRED = ("--http", "--door-port", str(free_port()), "--bmc", "redfish", "--bmc-port", str(free_port()))


@pytest.mark.parametrize(("nodes", "way"), [(50, INSIDE), (10, WIRED)], ids=["inside", "http and redfish"])
async def test_machines_become_known_and_deployed_and_those_fail_that_the_seed_says(
    tmp_path: Path, nodes: int, way: tuple[str, ...]
) -> None:
    tries = {named(number): reboots(number) for number in range(1, nodes + 1)}
    bad = {name for name, endings in tries.items() if endings[-1] == "failed"}
    assert 0 < len(bad) < nodes
    steps = [word for step in FAILS for word in ("--step", step)]
    async with simulated(tmp_path, nodes, RACKS, *steps, *way) as sim:
        known = await sim.told()
        await sim.say("commission", known)
        words = await sim.until(lambda words: "commissioning" not in words.values())
        assert set(words.values()) == {"ready"}
        await sim.say("deploy", known)
        words = await sim.until(lambda words: "deploying" not in words.values())
        assert {name for name, word in words.items() if word == "failed-deployment"} == bad
        assert {name for name, word in words.items() if word == "deployed"} == tries.keys() - bad
        told = await sim.ended()
    assert told["machines"] == told["installed"] == nodes
    assert told["happened"]["reboot failed"] == sum(endings.count("failed") for endings in tries.values())


async def test_a_simulator_ends_soon_though_its_racks_are_amid_their_work(tmp_path: Path) -> None:
    async with simulated(tmp_path, 30, RACKS, "--step", "inventory=silent=1") as sim:
        await sim.say("commission", await sim.told())
        await sim.until(lambda words: set(words.values()) == {"commissioning"})
        told = await asyncio.wait_for(sim.ended(), 120)
    assert told["machines"] == 30
