"""What goes on in a machine of a fleet from power to power: it asks its rack what to boot, and its agent lives.

It speaks to the door as iPXE and the agent do (``core.machine_messages``). While it is off, or has a system installed
that has nothing to do, no task of the loop is taken by it, only a timer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
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
from rackwright.sim.fleet.chances import Outcome
from rackwright.sim.fleet.machine import Machine

VERSION = "sim"
AGAIN = 5.0
"""Seconds after which a machine asks again what to boot, as boot scripts say."""
SHORTEST, LONGEST = 0.5, 15.0
"""Seconds between tries of an agent to reach its rack."""
GONE = frozenset({401, 403, 404, 410})
"""Answers after which an agent registers anew."""

_SAID = re.compile(r"\brackwright\.(token|request|system)=(\S+)")
_FILES = re.compile(r"^(?:kernel|initrd) .*?http://[^/ ]+(/\S+)", re.MULTILINE)
"""What a boot script has iPXE fetch."""

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
        if await self.machine.takes("firmware") != "ok":
            return
        with self.rack.knocking:
            booted = await self.booted()
        if await self.machine.takes("start") != "ok":
            return
        self._tell(f"started {booted.system}")
        if booted.system == "installed":
            await self._home(booted)
        registered = await self._register(booted)
        await self._live(booted, registered)

    async def booted(self) -> Booted:
        """Ask until there is something to boot, and fetch it."""
        machine, device = self.machine, self.machine.boots_from()
        while True:
            if device == "disk" and machine.disk:
                return self._installed()
            script = await self.rack.way.script(machine)
            said = dict(_SAID.findall(script))
            if "system" in said and await self._fetched(script):
                return Booted(system=said["system"], request=said.get("request", ""), token=said.get("token", ""))
            if "sanboot" in script and machine.disk:
                return self._installed()
            self._tell("asked again what to boot")
            await asyncio.sleep(AGAIN)

    async def _fetched(self, script: str) -> bool:
        """Fetch the kernel and the ramdisks that a script names, where machines do; False when that broke off."""
        if self.rack.fetched == "nothing":
            return True
        return all([await self._taken(path, "bytes booted", "fetch") for path in _FILES.findall(script)])

    async def _taken(self, path: str, what: str, step: str = "") -> bool:
        if step and await self.machine.takes(step) != "ok":
            return False
        taken = await self.rack.door.take(path)
        self.rack.tally[what] += taken.bytes
        if taken.status != httpx.codes.OK:
            self._tell(f"a file was answered {taken.status}")
        return taken.status == httpx.codes.OK

    def _installed(self) -> Booted:
        return Booted(system="installed", request=self.machine.disk, token=self.machine.token)

    # ---- a system, and its agent

    async def _home(self, booted: Booted) -> None:
        machine = self.machine
        while not await self.rack.way.address(machine):
            await asyncio.sleep(AGAIN)
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
        with self.rack.knocking:
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
        if not work.tasks:
            # A rack that ends answers at once, and without a network between nobody else would come to word.
            await asyncio.sleep(0)
        return bool(work.tasks or self._running)

    async def _carry_out(self, task: AgentTask) -> None:
        machine = self.machine
        ended = await self._ended(task, await machine.takes(task.action))
        await self._until_heard("/agent/result", ended, dict[str, Any])
        self._running.pop((task.id, task.attempt), None)
        if ended.outcome == "ok" and task.action in ("reboot", "kexec"):
            await machine.cycle()
        elif ended.outcome == "ok" and task.action == "poweroff":
            await machine.off()

    async def _ended(self, task: AgentTask, ending: Outcome) -> Ended:
        """Do what a task asks for, if fate has it end well."""
        reason = "the simulator wanted it so"
        if ending == "ok" and not await self._has_image(task):
            ending, reason = "retryable", "the image broke off"
        if ending != "ok":
            return Ended(id=task.id, attempt=task.attempt, outcome=ending, reason=reason)
        outcome = done(self.machine, task)
        self._facts |= outcome.seen
        self._tell(f"{task.action} ok")
        return Ended(id=task.id, attempt=task.attempt, outcome="ok", facts=outcome.facts)

    async def _has_image(self, task: AgentTask) -> bool:
        """Fetch the image that is to be written, where machines do."""
        if task.action != "write-image" or self.rack.fetched != "images":
            return True
        return await self._taken(f"/assets/{task.parameters['sha256']}", "bytes of images")

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
