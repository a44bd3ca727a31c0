"""`rackwright sim --dhcp`: machines of two racks ask real DHCP servers, load by TFTP and HTTP, and are deployed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.sim.wires import namespaces
from tests.integration.dhcp_wire import require
from tests.integration.simulated_fleet import simulated

NODES, RACKS, SIZE = 6, 2, 2_000_000
BY_DHCP = (
    "--dhcp", "--fetch", "images", "--file-size", str(SIZE), "--door-port", str(free_port()),
    "--step", "dhcp=0-0.1,failed=0.1",
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name: sockets lie far below it."""
    return tmp_path_factory.mktemp("sim")


async def test_machines_of_two_racks_are_led_by_dhcp_from_power_to_their_own_system(folder: Path) -> None:
    require("kea-dhcp4", "dnsmasq")
    if not os.path.isdir("/usr/lib/ipxe"):
        pytest.skip("needs the package ipxe")
    async with simulated(folder, NODES, RACKS, *BY_DHCP) as sim:
        known = await sim.told()
        await sim.say("commission", known)
        words = await sim.until(lambda words: "commissioning" not in words.values())
        assert set(words.values()) == {"ready"}
        await sim.say("deploy", known)
        words = await sim.until(lambda words: "deploying" not in words.values())
        assert set(words.values()) == {"deployed"}
        told = await sim.ended()
    happened = told["happened"]
    assert told["installed"] == NODES
    assert happened["DHCP questions lost"] > 0
    assert happened["DHCP acknowledged"] >= 5 * NODES, "firmware and iPXE of two starts, and the system of the third"
    assert happened["bytes of images"] == NODES * SIZE
    starts = happened["started discovery"]
    assert starts >= 2 * NODES
    assert happened["bytes booted"] == starts * 2 * SIZE, "kernel and ramdisk"
    assert happened["bytes by TFTP"] > 50_000 * starts
    assert f"rackwright-sim-{sim.process.pid}" not in namespaces(), "nothing of its network is left"


@pytest.mark.parametrize("protocol", ["redfish", "ipmi"])
async def test_machines_that_ask_dhcp_are_switched_by_their_bmcs(folder: Path, protocol: str) -> None:
    require("kea-dhcp4", "dnsmasq", *(["ipmitool"] if protocol == "ipmi" else []))
    words = ("--dhcp", "--door-port", "18482", "--bmc", protocol, "--bmc-port", "18443")
    async with simulated(folder, 2, 1, *words) as sim:
        known = await sim.told()
        await sim.say("commission", known)
        states = await sim.until(lambda states: "commissioning" not in states.values())
        told = await sim.ended()
    assert set(states.values()) == {"ready"}
    assert told["happened"]["DHCP acknowledged"] >= 4 * 2, "firmware and iPXE of two starts"
    assert told["happened"]["started discovery"] >= 2 * 2
    assert f"rackwright-sim-{sim.process.pid}" not in namespaces(), "nothing of its network is left"
