"""Agents in processes of their own, for tests of loads over many hosts, and a target that counts."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.schedule import Closed, Open, Stage
from rackwright.load.distributed.fleet import Fleet
from rackwright.load.distributed.keys import AgentKeys, ControllerKeys, pair
from rackwright.load.generators import Ears, Load
from rackwright.load.merging import add_whole
from rackwright.load.words import Work

CODE = '''
import asyncio
import os
import time

from rackwright.load.scenario import Scenario


class Own(Scenario):
    """Waits a little."""

    async def run(self, seconds: float = 0.01, slow: int = 0) -> None:
        await self.sleep(1.0 if self.iteration == slow else seconds)


class Visit(Scenario):
    """Tells a target its number, and stays a little."""

    async def run(self, port: int, seconds: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"%d\\n" % self.iteration)
        await self.sleep(seconds)
        writer.write_eof()
        await reader.read()
        writer.close()
'''

SILENCE = 2.0
"""Seconds after which an agent is lost here."""


class Heard:
    """What a load told."""

    def __init__(self) -> None:
        self.seconds: list[Second] = []
        self.started: list[int] = []
        self.proofs: list[str] = []
        self.on_proof: Callable[[str], None] = lambda reason: None
        self.first = asyncio.Event()

    @property
    def ears(self) -> Ears:
        return Ears(self._take, lambda number, at: self.started.append(number), self._prove)

    @property
    def whole(self) -> Part:
        parts: dict[str, Part] = {}
        for second in self.seconds:
            add_whole(parts, second)
        return parts.get(WHOLE) or Part()

    def count(self, of: Callable[[Second], int]) -> int:
        return sum(of(second) for second in self.seconds)

    def _take(self, second: Second) -> None:
        self.seconds.append(second)
        self.first.set()

    def _prove(self, reason: str) -> None:
        self.proofs.append(reason)
        self.on_proof(reason)


class Ground:
    """Keys, a fleet, a scenario, and agents that end with the test."""

    def __init__(self, folder: Path, keys: tuple[ControllerKeys, AgentKeys], fleet: Fleet, said: list[str]) -> None:
        self.folder = folder
        self.controller_keys, self.agent_keys = keys
        self.fleet = fleet
        self.said = said
        self.agents: list[Process] = []
        self.scenario = folder / "elsewhere" / "own.py"
        self.scenario.parent.mkdir()
        self.scenario.write_text(CODE)

    async def start(self, name: str, *more: str, keys: AgentKeys | None = None, processes: int = 1) -> Process:
        file = self.folder / f"{name}.key"
        file.write_bytes(msgspec.json.encode(keys or self.agent_keys))
        file.chmod(0o600)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rackwright", "load-agent", "--controller", self.fleet.address, "--keys", str(file),
            "--name", name, "--processes", str(processes), "--data", str(self.folder / name), *more, stderr=PIPE,
        )  # fmt: skip
        self.agents.append(process)
        return process

    def load(self, schedule: Open | Closed, kind: str = "Own", **more: Any) -> tuple[Load, Heard]:
        heard = Heard()
        more.setdefault("folder", "")
        work = Work(scenario=f"{self.scenario}:{kind}", schedule=schedule, **more)
        return self.fleet.load(work, heard.ears), heard

    async def end(self) -> None:
        for process in self.agents:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        # What they have left in the pipe is read too: only then do their transports close.
        for process in self.agents:
            try:
                async with asyncio.timeout(60):
                    await process.communicate()
            except TimeoutError:
                process.kill()
                await process.communicate()


@asynccontextmanager
async def opened(folder: Path, names: Sequence[str] = (), silence: float = SILENCE) -> AsyncIterator[Ground]:
    """A fleet that agents may come to; those that a test started end with it."""
    keys, said = pair(), list[str]()
    fleet = Fleet(
        keys[0], bind="tcp://127.0.0.1:*", folder=folder / "run", silence=silence, names=names, say=said.append
    )
    async with fleet:
        here = Ground(folder, keys, fleet, said)
        try:
            yield here
        finally:
            await here.end()


class Target:
    """Counts who visits it: their numbers, how many at once, and how many at most."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.present = self.most = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One visit."""
        self.present += 1
        self.most = max(self.most, self.present)
        try:
            self.numbers.append(int(await reader.readline()))
            await reader.read()
        finally:
            self.present -= 1
            writer.close()


@asynccontextmanager
async def target() -> AsyncIterator[Target]:
    """One that listens."""
    made = Target()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, backlog=1000)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def steady(rate: float, seconds: float) -> Open:
    """A steady rate; starts may be very late, for the machine may be slow, and those that are missed are told apart."""
    return Open(stages=(Stage(seconds, rate),), max_lag=60.0)


async def carry_out(load: Load) -> None:
    """Run it; whatever happens, it ends."""
    async with asyncio.timeout(90):
        await load.run()
