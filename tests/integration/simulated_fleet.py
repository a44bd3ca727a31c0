"""`rackwright sim` with a region of its own, as a test speaks to it."""

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

from rackwright.cli.settings import read_settings
from rackwright.sim.fleet import makeup

SEED = 11
PATIENCE = 600.0


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
async def simulated(data: Path, nodes: int, racks: int, *more: str) -> AsyncIterator[Sim]:
    """A simulator in which nothing takes time by itself, and whose region is ready to be asked."""
    size = ("--nodes", str(nodes), "--racks", str(racks), "--seed", str(SEED), "--instant", "--patience", "0")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rackwright", "sim", "--up", "--data", str(data), *size, *more, "-o", "json"),
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
            await process.communicate()


def named(number: int) -> str:
    """What the region calls a machine that has made itself known."""
    return f"m-{makeup.mac(SEED, number).replace(':', '')}"
