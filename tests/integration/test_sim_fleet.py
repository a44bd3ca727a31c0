"""`rackwright sim` with a region of its own: machines on three racks, and what becomes of them by seed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rackwright.cli.settings import read_settings
from rackwright.sim.fleet import makeup
from rackwright.sim.fleet.chances import Chances, read

RACKS, SEED = 3, 11
FAILS = ("reboot=failed=0.5",)
TRIES = 2
"""Of the task os-restart."""
PATIENCE = 120.0

pytestmark = pytest.mark.slow


@dataclass
class Sim:
    """A simulator that runs, and the region that it began."""

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    nodes: int

    async def machines(self) -> dict[str, str]:
        """The words of all machines, by name."""
        answer = await self.client.get("/nodes", params={"machines": "true", "limit": 500})
        return {node["name"]: node["word"] for node in answer.json()["items"]}

    async def told(self) -> list[str]:
        """Wait until all are known, and what their owner says of them is too; gives their names."""
        async with asyncio.timeout(PATIENCE):
            while len(names := sorted(await self.machines())) < self.nodes:
                await asyncio.sleep(0.2)
            for name in names:
                while "desired.os" not in (await self.client.get(f"/nodes/{name}")).json()["facts"]:
                    await asyncio.sleep(0.2)
        return names

    async def say(self, verb: str, names: list[str]) -> None:
        """Say a verb that nothing speaks against."""
        answers = (await self.client.post("/nodes:batch", json={"verb": verb, "names": names})).json()["items"]
        assert [answer for answer in answers if answer["error"]] == []

    async def until(self, there: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """Wait for what the words of the machines must be; gives them."""
        async with asyncio.timeout(PATIENCE):
            while not there(words := await self.machines()):
                assert self.process.returncode is None
                await asyncio.sleep(0.2)
        return words

    async def ended(self) -> dict[str, Any]:
        """End it; what it tells then."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = await asyncio.wait_for(self.process.communicate(), PATIENCE)
        assert self.process.returncode == 0
        told: dict[str, Any] = json.loads(said.splitlines()[-1])
        return told


@asynccontextmanager
async def simulated(data: Path, nodes: int, *more: str) -> AsyncIterator[Sim]:
    """A simulator whose region is ready to be asked."""
    size = ("--nodes", str(nodes), "--racks", str(RACKS), "--seed", str(SEED), "--instant", "--patience", "0")
    steps = [word for step in FAILS for word in ("--step", step)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rackwright", "sim", "--up", "--data", str(data), *size, *steps, *more, "-o", "json"),
        env={name: value for name, value in os.environ.items() if not name.startswith("RACKWRIGHT_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while not (data / "region" / "client.toml").exists():
                assert process.returncode is None
                await asyncio.sleep(0.2)
        settings = read_settings(None, None, {"RACKWRIGHT_DATA": str(data / "region")})
        headers = {"Authorization": f"Bearer {settings.token}"}
        url = f"{settings.server}/api/v1"
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE) as client:
            yield Sim(process, client, nodes)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def named(number: int) -> str:
    """What the region calls a machine that has made itself known."""
    return f"m-{makeup.mac(SEED, number).replace(':', '')}"


def reboots(number: int) -> list[str]:
    """How a machine's restarts will end, until one is well or no more are tried."""
    chances = Chances(SEED, read(FAILS, {}))
    endings: list[str] = []
    while len(endings) < TRIES and "ok" not in endings:
        endings.append(chances.fate(number, "reboot", len(endings)).ending)
    return endings


INSIDE = ()
WIRED = ("--http", "--door-port", "18480", "--bmc", "redfish", "--bmc-port", "18443")


@pytest.mark.parametrize(("nodes", "way"), [(50, INSIDE), (10, WIRED)], ids=["inside", "http and redfish"])
async def test_machines_become_known_and_deployed_and_those_fail_that_the_seed_says(
    tmp_path: Path, nodes: int, way: tuple[str, ...]
) -> None:
    tries = {named(number): reboots(number) for number in range(1, nodes + 1)}
    bad = {name for name, endings in tries.items() if endings[-1] == "failed"}
    assert 0 < len(bad) < nodes
    async with simulated(tmp_path, nodes, *way) as sim:
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
