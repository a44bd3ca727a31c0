"""One machine of a fleet: its power, what it boots first, and what is on its disk. What runs on it is in ``life``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Protocol

import msgspec

from rackwright.sim.fleet import makeup
from rackwright.sim.fleet.chances import Chances, Fate, Outcome
from rackwright.sim.fleet.door import Door
from rackwright.sim.shape import GIB, BmcKind, Device, Shape


class Life(Protocol):
    """What goes on in a machine between two switches of its power."""

    def end(self) -> None:
        """The power is cut."""


class Way(Protocol):
    """How machines reach their rack before a system of theirs runs."""

    async def script(self, machine: Machine) -> str:
        """The boot script that a machine is given; empty: none has come, and it begins anew after a while."""

    async def address(self, machine: Machine) -> bool:
        """Let the system on a machine's disk have an address; False: nobody gave one."""


class Knocking:
    """How many machines of a fleet wait for their racks at the same time: for what to boot, or to become known."""

    count = 0

    def __enter__(self) -> None:
        """One more waits."""
        self.count += 1

    def __exit__(self, *_: object) -> None:
        """It waits no more."""
        self.count -= 1


Fetched = Literal["nothing", "boot", "images"]
"""Which files machines really fetch: none, what they boot, or the images that they write too."""


class Rack(msgspec.Struct, kw_only=True):
    """What the machines of one rack share."""

    name: str
    door: Door
    way: Way
    chances: Chances
    tally: Counter[str]
    """What has happened, counted."""
    begin: Callable[[Coroutine[Any, Any, None]], Callable[[], None]]
    """Lets something go on by itself; gives what ends it."""
    beat: float = 0.0
    """Seconds between two words of an installed system's agent; 0: it says nothing by itself."""
    patience: float = 30.0
    """Seconds after which somebody switches a machine off that has made itself known and has nothing to do."""
    fetched: Fetched = "nothing"
    knocking: Knocking = msgspec.field(default_factory=Knocking)


class Machine:
    """A machine, off at first. Its methods are what a BMC and people do to it (``bmc.Switched``)."""

    __slots__ = (
        "_device", "_life", "_once", "_steps", "bmc", "disk", "hostname", "live", "number", "rack", "starts", "token",
    )  # fmt: skip

    def __init__(self, number: int, rack: Rack, live: Callable[[Machine], Life], bmc: BmcKind = "redfish") -> None:
        self.number = number
        self.rack = rack
        self.live = live
        """Begins what goes on in it once it has power."""
        self.bmc: BmcKind = bmc
        self.disk = ""
        """The request of the system that is installed; empty: none."""
        self.hostname = ""
        """Of that system."""
        self.token = ""
        """That the rack has given it."""
        self.starts = 0
        self._life: Life | None = None
        self._device: Device | None = None
        self._once = False
        self._steps: Counter[str] = Counter()

    @property
    def seed(self) -> int:
        """Of its fleet."""
        return self.rack.chances.seed

    @property
    def macs(self) -> tuple[str, ...]:
        """Its Ethernet addresses; it boots from the first."""
        return makeup.macs(self.seed, self.number)

    @property
    def boot_id(self) -> str:
        """Of this start."""
        return f"{makeup.serial(self.seed, self.number)}/{self.starts}"

    @property
    def shape(self) -> Shape:
        """What its BMC tells of it."""
        made = makeup.model(self.seed, self.number)
        return Shape(
            number=self.number,
            name=f"sim{self.number}",
            firmware=makeup.firmware(self.seed, self.number),
            bmc=self.bmc,
            memory=made["memory"] * 1024,
            disk_bytes=made["disks"][0] * GIB,
            nics=made["nics"],
        )

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._life is not None

    @property
    def next_device(self) -> tuple[Device, bool]:
        """What it tries first at the next start, and whether that is for one start only."""
        return self._device or "network", self._once

    def fate(self, step: str) -> Fate:
        """What becomes of its next step of this kind."""
        fate = self.rack.chances.fate(self.number, step, self._steps[step])
        self._steps[step] += 1
        if fate.ending != "ok":
            self.rack.tally[f"{step} {fate.ending}"] += 1
        return fate

    async def takes(self, step: str) -> Outcome:
        """Take the time of its next step of this kind, and tell how it ends. One that is silent never does."""
        fate = self.fate(step)
        ending = fate.ending
        if fate.seconds:
            await asyncio.sleep(fate.seconds)
        while ending == "silent":
            await asyncio.Event().wait()
        return ending

    def boots_from(self) -> Device:
        """What it boots from now; a choice for one start is used up by this."""
        device = self._device or "network"
        if self._once:
            self._device, self._once = None, False
        return device

    async def on(self) -> None:
        """Give it power."""
        if self._life is None:
            self.starts += 1
            self._life = self.live(self)

    async def off(self) -> None:
        """Cut its power."""
        life, self._life = self._life, None
        if life is not None:
            life.end()

    async def cycle(self) -> None:
        """Cut its power and give it again."""
        await self.off()
        await self.on()

    async def reset(self) -> None:
        """Restart it at once."""
        if self.is_on:
            await self.cycle()

    async def press(self) -> None:
        """Press the power button: its system goes down at once."""
        await self.off()

    async def boot_from(self, device: Device | None, *, once: bool) -> None:
        """Set what it tries first."""
        self._device, self._once = device, once and device is not None
