"""The process that keeps a lab: its machines, their BMCs, and `rackwright up` with the rack. It runs in the lab's
network namespace; only the socket for the operator comes from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
import structlog

from rackwright.commands import lab_control
from rackwright.commands.lab_forward import Forward
from rackwright.commands.lab_site import RACK, Ground, Lab
from rackwright.commands.logging_setup import configure_logging
from rackwright.commands.supervisor import Child, Program
from rackwright.core.errors import InvalidInput
from rackwright.sim.bmc import Bmc, Faults
from rackwright.sim.bmc_house import BmcHouse
from rackwright.sim.console import ConsoleWatch
from rackwright.sim.machine import Happening, Machine

SITE_PATIENCE = 120.0
"""Seconds for the api to become ready."""
SITE_GRACE = 120.0
"""Seconds for `rackwright up` to end."""

log = structlog.get_logger()


@click.command(hidden=True)
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path), help="The lab's folder.")
@click.option("--listen-fd", required=True, type=int, help="A listening socket from outside, for the api.")
def keep(*, data: Path, listen_fd: int) -> None:
    """Keep a lab until SIGTERM; `rackwright lab up` starts this in the lab's namespace."""
    configure_logging("lab")
    asyncio.run(_keep(Ground(data), socket.socket(fileno=listen_fd)))


async def _keep(ground: Ground, listening: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ground.pid.write_text(str(os.getpid()), encoding="ascii")
    keeper = Keeper(ground, ground.load())
    forward = Forward(listening, "127.0.0.1", keeper.lab.port)
    try:
        await keeper.open()
        await forward.open()
        await stop.wait()
    finally:
        log.info("the lab ends")
        forward.close()
        await keeper.close()
        ground.pid.unlink()


class Keeper:
    """A lab that runs."""

    def __init__(self, ground: Ground, lab: Lab) -> None:
        self.lab = lab
        self._ground = ground
        self._machines = {
            one.shape.name: Machine(one.shape, ground.machines / one.shape.name, self._write_down)
            for one in lab.machines
        }
        self._bmcs = {one.bmc_address: Bmc(self._machines[one.shape.name], one.account) for one in lab.machines}
        self._watches = {
            name: ConsoleWatch(machine.folder / "console.log", partial(self._seen, name))
            for name, machine in self._machines.items()
        }
        self._watching: list[asyncio.Task[None]] = []
        self._house = BmcHouse(self._bmcs, ground.folder)
        self._site: Child | None = None
        self._ready = False
        self._control: asyncio.Server | None = None
        self._answers = {"status": self._status, "power": self._power, "faults": self._faults}

    async def open(self) -> None:
        """Set everything up; all machines are off."""
        for machine in self._machines.values():
            await machine.make()
        self._watching = [asyncio.create_task(watch.run()) for watch in self._watches.values()]
        await self._house.open()
        self._control = await lab_control.serve(self._ground.control, self._answer)
        self._site = Child(self._program())
        await self._site.ready(self._api_answers, SITE_PATIENCE)
        self._ready = True
        log.info("the lab runs", api=self.lab.port)

    async def close(self) -> None:
        """End everything: `rackwright up` first, while the machines are there."""
        if self._site is not None:
            await self._site.end()
        await asyncio.gather(*(machine.off() for machine in self._machines.values()))
        for watching in self._watching:
            watching.cancel()
        await self._house.close()
        if self._control is not None:
            self._control.close()

    def _program(self) -> Program:
        where = ("--data", str(self._ground.site), "--racks", RACK, "--port", str(self.lab.port))
        # The rack's own options have no other way through `up`.
        rack = {"RACKWRIGHT_RACK_MACHINES": "true", "RACKWRIGHT_RACK_DHCP": self.lab.dhcp}
        return Program("site", ("up", *where), rack, grace=SITE_GRACE)

    async def _api_answers(self) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.lab.port}/readyz")).is_success
            except httpx.HTTPError:
                return False

    async def _answer(self, asked: dict[str, Any]) -> Any:
        answer = self._answers.get(asked["what"])
        if answer is None:
            raise InvalidInput(f"the keeper knows nothing of {asked['what']}")
        return await answer(asked)

    async def _status(self, asked: dict[str, Any]) -> Any:
        machines = {
            name: {"on": machine.is_on, "starts": machine.starts, "next": machine.next_device[0], "pid": machine.pid}
            for name, machine in self._machines.items()
        }
        return {"ready": self._ready, "pid": os.getpid(), "machines": machines}

    async def _power(self, asked: dict[str, Any]) -> None:
        machine = self._machines[asked["machine"]]
        acts = {"on": machine.on, "off": machine.off, "reset": machine.reset, "soft": machine.press}
        await acts[asked["action"]]()

    async def _faults(self, asked: dict[str, Any]) -> None:
        one = self.lab.machine(asked["machine"])
        self._bmcs[one.bmc_address].faults = msgspec.convert(asked["faults"], Faults)

    def _seen(self, name: str, mark: str) -> None:
        self._write_down(Happening(machine=name, what=mark, at=time.time()))

    def _write_down(self, happening: Happening) -> None:
        if happening.what == "start":
            self._watches[happening.machine].anew()
        with self._ground.happenings.open("ab") as file:
            file.write(msgspec.json.encode(happening) + b"\n")
