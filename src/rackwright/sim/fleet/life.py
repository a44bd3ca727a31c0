"""What goes on in a machine of a fleet from power to power: it asks its rack what to boot, and its agent lives.

It speaks to the door as iPXE and the agent do (``core.machine_messages``). While it is off, or has a system installed
that has nothing to do, no task of the loop is taken by it, only a timer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from rackwright.core.machine_messages import (
    AgentTask,
    Ended,
    PhoneHome,
    Poll,
    Register,
    Registered,
    System,
    Work,
)
from rackwright.sim.fleet import makeup
from rackwright.sim.fleet.actions import done
from rackwright.sim.fleet.machine import Machine

VERSION = "sim"
AGAIN = 5.0
"""Seconds after which a machine asks again what to boot, as boot scripts say."""
SHORTEST, LONGEST = 0.5, 15.0
"""Seconds between tries of an agent to reach its rack."""
GONE = frozenset({401, 403, 404, 410})
"""Answers after which an agent registers anew."""

_SAID = re.compile(r"\brackwright\.(token|request|system)=(\S+)")

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class Booted(msgspec.Struct, frozen=True, kw_only=True):
    """What the rack has told it to boot."""

    system: System
    request: str = ""
    token: str = ""


class FleetLife:
    """The life of a machine that was just switched on."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.rack = machine.rack
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: dict[tuple[int, int], Callable[[], None]] = {}
        self._known = 0
        """Attempts that it was ever given."""
        self._facts: dict[str, Any] = {}
        self._stop = self.rack.begin(self._begin())

    def end(self) -> None:
        """The power is cut: nothing is said any more."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._stop()
        for stop in self._running.values():
            stop()

    # ---- from power to a system

    async def _begin(self) -> None:
        if not await self._step("firmware"):
            return
        booted = await self._boot()
        if not await self._step("start"):
            return
        self._tell(f"started {booted.system}")
        if booted.system == "installed":
            await self._home(booted)
        registered = await self._register(booted)
        await self._live(booted, registered)

    async def _step(self, step: str) -> bool:
        """Take the time of a step; False when it never ends."""
        fate = self.machine.fate(step)
        if fate.seconds:
            await asyncio.sleep(fate.seconds)
        return fate.ending == "ok"

    async def _boot(self) -> Booted:
        """Ask until there is something to boot."""
        machine, device = self.machine, self.machine.boots_from()
        while True:
            if device == "disk" and machine.disk:
                return self._installed()
            seed, number = machine.seed, machine.number
            who = f"mac={makeup.mac(seed, number)}&serial={makeup.serial(seed, number)}"
            platform = "efi" if makeup.firmware(seed, number) == "uefi" else "pcbios"
            answer = await self.rack.door.ask("GET", f"/boot/ipxe?{who}&firmware={platform}")
            script = answer.body.decode(errors="replace")
            said = dict(_SAID.findall(script))
            if "system" in said:
                return Booted(system=said["system"], request=said.get("request", ""), token=said.get("token", ""))
            if "sanboot" in script and machine.disk:
                return self._installed()
            self._tell("asked again what to boot")
            await asyncio.sleep(AGAIN)

    def _installed(self) -> Booted:
        return Booted(system="installed", request=self.machine.disk, token=self.machine.token)

    # ---- a system, and its agent

    async def _home(self, booted: Booted) -> None:
        machine = self.machine
        said = PhoneHome(
            request=booted.request, hostname=machine.hostname, boot_id=machine.boot_id,
            os={"id": "simulated", "version": "1", "name": "Simulated 1", "kernel": "0.0"},
        )  # fmt: skip
        await self._until_heard("/agent/home", said, dict[str, Any])

    async def _register(self, booted: Booted) -> Registered:
        machine, seed = self.machine, self.machine.seed
        said = Register(
            macs=machine.macs, boot_mac=machine.macs[0], serial=makeup.serial(seed, machine.number),
            uuid=str(makeup.identity(seed, machine.number)), firmware=makeup.firmware(seed, machine.number),
            system=booted.system, request=booted.request, boot_id=machine.boot_id, version=VERSION,
            inventory=makeup.inventory(seed, machine.number),
        )  # fmt: skip
        machine.token = booted.token
        registered: Registered = await self._until_heard("/agent/register", said, Registered)
        machine.token = registered.token
        self._tell("registered")
        return registered

    async def _live(self, booted: Booted, registered: Registered) -> None:
        """Ask for work. One that nobody wanted anything of is switched off; one that is installed speaks up from time
        to time."""
        if booted.system == "installed":
            self._rest()
            return
        idle = 0.0
        while True:
            idle = idle + registered.heartbeat if not await self._poll(registered.heartbeat) else 0.0
            if idle > self.rack.patience and not booted.request and not self._running:
                self._tell("switched off by a person")
                await self.machine.off()

    def _rest(self) -> None:
        if self.rack.beat and not self._over:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.rack.beat, self._wake)

    def _wake(self) -> None:
        self._stop = self.rack.begin(self._beat())

    async def _beat(self) -> None:
        await self._poll(0.0)
        self._rest()

    async def _poll(self, wait: float) -> bool:
        """Ask for work once, and begin it; True when there was or is some."""
        facts, self._facts = self._facts, {}
        poll = Poll(boot_id=self.machine.boot_id, running=tuple(self._running), wait=wait, facts=facts)
        answer = await self._post("/agent/poll", poll)
        work = _decoded(answer.body, Work) if answer.status == 200 else None
        if work is None:
            self._facts = {**facts, **self._facts}
            self._tell(f"poll answered {answer.status}")
            await asyncio.sleep(SHORTEST)
            return False
        for id, attempt in work.cancel:
            self._running.pop((id, attempt), _nothing)()
        for task in work.tasks:
            if (task.id, task.attempt) not in self._running:
                self._running[task.id, task.attempt] = self.rack.begin(self._carry_out(task))
        return bool(work.tasks or self._running)

    async def _carry_out(self, task: AgentTask) -> None:
        machine = self.machine
        fate = machine.fate(task.action)
        if fate.seconds:
            await asyncio.sleep(fate.seconds)
        if fate.ending == "silent":
            return
        if fate.ending == "ok":
            outcome = done(machine, task)
            self._facts |= outcome.seen
            ended = Ended(id=task.id, attempt=task.attempt, outcome="ok", facts=outcome.facts)
            self._tell(f"{task.action} ok")
        else:
            ended = Ended(id=task.id, attempt=task.attempt, outcome=fate.ending, reason="the simulator wanted it so")
        await self._until_heard("/agent/result", ended, dict[str, Any])
        self._running.pop((task.id, task.attempt), None)
        if fate.ending == "ok" and task.action in ("reboot", "kexec"):
            await machine.cycle()
        elif fate.ending == "ok" and task.action == "poweroff":
            await machine.off()

    # ---- words

    async def _until_heard(self, path: str, said: msgspec.Struct, kind: Any) -> Any:
        """Say it until the rack has taken it."""
        pause = SHORTEST
        while True:
            answer = await self._post(path, said)
            heard = _decoded(answer.body, kind) if answer.status == 200 else None
            if heard is not None:
                return heard
            self._tell(f"{path} answered {answer.status}")
            await asyncio.sleep(pause)
            pause = min(LONGEST, pause * 1.5)

    async def _post(self, path: str, said: msgspec.Struct) -> Any:
        return await self.rack.door.ask("POST", path, msgspec.json.encode(said), self.machine.token)

    def _tell(self, what: str) -> None:
        self.rack.tally[what] += 1


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError:
        return None


def _nothing() -> None:
    """There is nothing to end."""
