"""A simulated fleet, or the part of it that is in this process: racks, their machines, and what ties them together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, Literal, TypeVar

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from rackwright.cli.client import Client
from rackwright.commands import sim_site
from rackwright.commands.machines import power_drivers
from rackwright.commands.sim_ground import far_end
from rackwright.commands.sim_owner import Owner
from rackwright.commands.sim_rack import Servers, SimulatedRack
from rackwright.drivers.jig.script import ScriptJig
from rackwright.drivers.jig.script_inside import InsideScripts
from rackwright.rack.door.server import opened
from rackwright.rack.rack import RackSetting
from rackwright.sim.bmc import Account, Bmc
from rackwright.sim.bmc_house import BmcHouse
from rackwright.sim.fleet import makeup
from rackwright.sim.fleet import power as fleet_power
from rackwright.sim.fleet.chances import Chances
from rackwright.sim.fleet.door import Door, HttpDoor, OpenDoor
from rackwright.sim.fleet.life import FleetLife
from rackwright.sim.fleet.machine import Fetched, Knocking, Machine, Rack, Way
from rackwright.sim.fleet.way import ByDhcp, Straight
from rackwright.sim.fleet.wire import Wire
from rackwright.sim.shape import BmcKind

OPENED_AT_ONCE = 20
"""Racks that are made known or started at the same time. Thousands that ask for everything at once would be all that
the region does for many seconds."""

OPENED = 20.0
"""Seconds for which the next racks wait until the region has told these what they serve: it may be away."""

KNOCKING = 256
"""Machines that wait for their racks at the same time: more would only wait longer, and ask again."""

KNOCKED = 20.0
"""Seconds for which others wait for them: some may never get through."""

ENDING = 3.0
"""Seconds in which racks end in order. Thousands that say their last words at the same time would take minutes."""

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class FleetSetting:
    """A fleet: so many machines on so many racks, and of those racks the part ``part`` of ``parts``; what happens to
    them (``chances``); whether they reach their racks over ``http`` (the port is the doors') and ask for addresses by
    ``dhcp``, and which files they really fetch (bytes of each); which protocol their BMCs speak; seconds between two
    words of installed systems' agents; machines switched on for the first time in a second."""

    nodes: int
    racks: int
    chances: Chances
    data: Path
    part: int = 1
    parts: int = 1
    http: bool = False
    dhcp: bool = False
    fetched: Fetched = "nothing"
    file_size: int = 0
    door_port: int = 8480
    bmc: BmcKind | Literal["inside"] = "inside"
    bmc_port: int = 8443
    beat: float = 10.0
    patience: float = 30.0
    pace: float = 200.0
    capacity: int = 64

    def own_racks(self) -> range:
        """The numbers of the racks that are here, from 1 up."""
        return range(self.part, self.racks + 1, self.parts)

    def address(self, rack: int) -> IPv4Interface:
        """The rack's own in its network."""
        return sim_site.address(rack, len(self.machines_of(rack)))

    def door(self, rack: int) -> str:
        """Where the rack's door is, if it is one on the network."""
        return str(self.address(rack).ip) if self.dhcp else door_address(rack)

    def machines_of(self, rack: int) -> range:
        """The numbers of a rack's machines, from 1 up. The first racks have more where it is uneven."""
        size, more = divmod(self.nodes, self.racks)
        first = (rack - 1) * size + min(rack - 1, more)
        return range(first + 1, first + 1 + size + (rack <= more))


@dataclass
class Fleet:
    """What is there of it."""

    setting: FleetSetting
    client: Client
    tally: Counter[str] = field(default_factory=Counter)
    machines: dict[int, Machine] = field(default_factory=dict)
    knocking: Knocking = field(default_factory=Knocking)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(OPENED_AT_ONCE))
    """For what is said to the region by operators."""
    _going: set[asyncio.Task[None]] = field(default_factory=set)
    _over: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be there: racks work, and their machines are off."""
        setting = self.setting
        owner = Owner(self.client, self.threads, self.power_of, sim_site.SYSTEM)
        scripts = InsideScripts(str(setting.data / "scripts"), ScriptJig(str(setting.data / "processes")))
        await scripts.open()
        if setting.part == 1:
            await self._said(sim_site.bring_images, self.client, setting.file_size)
        drivers = {**power_drivers(), fleet_power.NAME: fleet_power.driver(self.machines)}
        async with AsyncExitStack() as stack:
            stack.callback(self.threads.shutdown)
            racks: list[SimulatedRack] = []
            apps: dict[str, ASGIApp] = {}
            async for number, token in self._in_turn(racks):
                rack = SimulatedRack(self._rack_setting(number, token), drivers, scripts, owner.heard, self._servers())
                racks.append(rack)
                apps[setting.door(number)] = app = await stack.enter_async_context(rack.running())
                door = await self._door(stack, number, app)
                self._furnish(number, door, self._way(stack, number, door))
            if setting.http or setting.dhcp:
                sockets = [listening(address, setting.door_port) for address in apps]
                await stack.enter_async_context(opened(ByAddress(apps), *sockets))
            if setting.bmc != "inside":
                await self._open_bmcs(stack)
            telling = asyncio.create_task(owner.run())
            stack.callback(telling.cancel)
            stack.push_async_callback(self._all_off)
            try:
                yield
            finally:
                _end(racks)

    async def switch_on(self) -> None:
        """Give every machine power that has none, some each second, as they are put into their racks. While many wait
        for their racks, no more are: the region has a pace of its own."""
        for number, machine in enumerate(self.machines.values(), 1):
            if not machine.starts:
                await machine.on()
            if number % max(1, round(self.setting.pace / 10)) == 0:
                await asyncio.sleep(0.1)
                await self._let_in()

    async def _let_in(self) -> None:
        """Wait until few wait for their racks."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KNOCKED):
                while self.knocking.count >= KNOCKING:
                    await asyncio.sleep(0.1)

    def power_of(self, mac: str) -> dict[str, Any] | None:
        """How the machine with this Ethernet address is switched; None: it is not here."""
        setting, number = self.setting, int.from_bytes(bytes.fromhex(mac.replace(":", ""))[2:], "big")
        if number not in self.machines or makeup.mac(setting.chances.seed, number) != mac:
            return None
        if setting.bmc == "inside":
            return {"driver": fleet_power.NAME, "address": str(number)}
        where, account = f"{bmc_address(number)}:{setting.bmc_port}", self._account(number)
        who = {"user": account.user, "password": account.password}
        if setting.bmc == "redfish":
            return {"driver": "redfish", "address": f"https://{where}", "options": {"verify": False}, **who}
        return {"driver": "ipmi", "address": where, **who}

    def standing(self) -> dict[str, int]:
        """How many machines there are, are on, and have a system."""
        machines = self.machines.values()
        return {
            "machines": len(machines),
            "on": sum(machine.is_on for machine in machines),
            "installed": sum(bool(machine.disk) for machine in machines),
        }

    async def _in_turn(self, racks: Sequence[SimulatedRack]) -> AsyncIterator[tuple[int, str]]:
        """The racks that are here and their tokens, to be started: the next ones once the region has told those before
        (``racks``) what they serve."""
        own = self.setting.own_racks()
        for first in range(0, len(own), OPENED_AT_ONCE):
            await self._told(racks[-OPENED_AT_ONCE:])
            some = own[first : first + OPENED_AT_ONCE]
            for number, token in zip(some, await asyncio.gather(*map(self._admitted, some)), strict=True):
                yield number, token

    async def _told(self, racks: Sequence[SimulatedRack]) -> None:
        """Wait until the region has told these racks what they serve; not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPENED):
                for rack in racks:
                    await rack.told.wait()

    async def _admitted(self, number: int) -> str:
        """The token of a rack, which the region knows then."""
        tokens = self.setting.data / "tokens"
        tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
        count = len(self.setting.machines_of(number))
        return await self._said(sim_site.admit, self.client, tokens, number, count)

    async def _said(self, what: Callable[..., T], *words: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(what, *words))

    def _rack_setting(self, number: int, token: str) -> RackSetting:
        name = sim_site.rack_name(number)
        data = os.path.join(self.setting.data, "racks", name)
        os.makedirs(data, mode=0o700, exist_ok=True)
        return RackSetting(
            name=name, api=self.client.server, token=token, data=data, capacity=self.setting.capacity, drain=2.0
        )

    async def _open_bmcs(self, stack: AsyncExitStack) -> None:
        """Let every machine have a BMC that speaks its protocol, at an address of its own."""
        bmcs = {bmc_address(number): Bmc(machine, self._account(number)) for number, machine in self.machines.items()}
        port = self.setting.bmc_port
        house = BmcHouse(bmcs, self.setting.data, ipmi_port=port, redfish_port=port)
        stack.push_async_callback(house.close)
        await house.open()

    def _account(self, number: int) -> Account:
        return Account(user="operator", password=makeup.password(self.setting.chances.seed, number))

    async def _door(self, stack: AsyncExitStack, number: int, app: ASGIApp) -> Door:
        setting = self.setting
        if not (setting.http or setting.dhcp):
            return OpenDoor(app)
        door = HttpDoor(f"http://{setting.door(number)}:{setting.door_port}")
        stack.push_async_callback(door.close)
        return door

    def _servers(self) -> Servers | None:
        setting = self.setting
        return Servers(setting.door_port, tftp=setting.fetched != "nothing") if setting.dhcp else None

    def _way(self, stack: AsyncExitStack, number: int, door: Door) -> Way:
        if not self.setting.dhcp:
            return Straight(door)
        wire = Wire(far_end(sim_site.rack_name(number)))
        stack.callback(wire.close)
        return ByDhcp(wire, door, loads=self.setting.fetched != "nothing")

    def _furnish(self, number: int, door: Door, way: Way) -> None:
        setting = self.setting
        rack = Rack(
            name=sim_site.rack_name(number), door=door, way=way, chances=setting.chances, tally=self.tally,
            begin=self._begin, beat=setting.beat, patience=setting.patience, fetched=setting.fetched,
            knocking=self.knocking,
        )  # fmt: skip
        for machine in setting.machines_of(number):
            self.machines[machine] = Machine(machine, rack, FleetLife, "ipmi" if setting.bmc == "ipmi" else "redfish")

    def _begin(self, work: Coroutine[Any, Any, None]) -> Callable[[], None]:
        if self._over:
            # Racks that end may switch machines on to the last: nothing goes on in them any more.
            work.close()
            return _nothing
        task = asyncio.create_task(work)
        self._going.add(task)
        task.add_done_callback(self._ended)

        def end() -> None:
            task.cancel()

        return end

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._going.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a simulated machine broke", exc_info=task.exception())

    async def _all_off(self) -> None:
        self._over = True
        for machine in self.machines.values():
            await machine.off()
        if self._going:
            await asyncio.wait(set(self._going))


def _nothing() -> None:
    """There is nothing to end."""


def _end(racks: Sequence[SimulatedRack]) -> None:
    """Let all racks begin to end, in order at first."""
    for rack in racks:
        rack.stop()
        asyncio.get_running_loop().call_later(ENDING, rack.hurry)


class ByAddress:
    """Gives each request to the application of the address at which it came in."""

    def __init__(self, apps: dict[str, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on one request."""
        await self._apps[scope["server"][0]](scope, receive, send)


def door_address(rack: int) -> str:
    """The loopback address of a rack's door."""
    return f"127.80.{rack >> 8}.{rack & 255}"


def bmc_address(machine: int) -> str:
    """The loopback address of a machine's BMC."""
    return f"127.{81 + (machine >> 16)}.{machine >> 8 & 255}.{machine & 255}"


def listening(address: str, port: int) -> socket.socket:
    """A socket for a door."""
    return socket.create_server((address, port), backlog=128)
