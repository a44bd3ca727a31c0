"""One simulated machine: a QEMU process while it is on, a folder while it is off.

It is switched as a real one is: power on, power cut, reset, and the power button. Which device it boots is set for the
next start only, or for good. A start is each time that the firmware begins: at power-on and at each reset, also when
the system itself restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from pathlib import Path

import msgspec
from qemu.qmp import EventListener, QMPClient, QMPError

from rackwright.core.errors import Permanent, Retryable
from rackwright.sim import qemu
from rackwright.sim.shape import Device, Firmware, Shape

CONNECT_PATIENCE = 30.0
"""Seconds for QEMU to open its control socket."""
QUIT_PATIENCE = 10.0
"""Seconds for QEMU to end when it is asked to."""
SETTLE = 2.0
"""Seconds in which resets belong together: SeaBIOS resets a machine once more when it was reset while it ran."""
LOOK = 0.02

DEVICES: tuple[Device, ...] = ("network", "disk")
FIRST: dict[Firmware, Device] = {"bios": "network", "uefi": "disk"}
"""What is tried first when nobody has chosen. BIOS asks the network, and the rack says "your disk" where that is
meant. UEFI takes its disk as long as there is a system on it: for the network it has four entries (PXE and HTTP, each
over IPv4 and IPv6), and would try them all for minutes before it went on to the disk."""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the machine did: ``on``, ``off``, ``start`` (the firmware begins; ``device`` is tried first), or a
    mark of its console (see ``console``)."""

    machine: str
    what: str
    at: float
    """Seconds since the epoch."""
    device: str = ""


class Machine:
    """A machine in a folder of its own; ``tell`` hears of all that happens to it."""

    def __init__(self, shape: Shape, folder: Path, tell: Callable[[Happening], None] = lambda happening: None) -> None:
        self.shape, self.folder = shape, folder
        self.starts = 0
        self._tell = tell
        self._always: Device = FIRST[shape.firmware]
        self._once: Device | None = None
        self._choices = 0
        """How often a device was chosen."""
        self._process: Process | None = None
        self._control: QMPClient | None = None
        self._watch: asyncio.Task[None] | None = None
        self._switching = asyncio.Lock()

    async def make(self) -> None:
        """Make the folder with an empty disk and fresh firmware variables, if they are not there."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk = self.folder / "disk.qcow2"
        if not disk.exists():
            await _run(qemu.found("qemu-img"), "create", "-q", "-f", "qcow2", str(disk), str(self.shape.disk_bytes))
        variables = self.folder / "variables.fd"
        if self.shape.firmware == "uefi" and not variables.exists():
            shutil.copyfile(qemu.UEFI_VARIABLES, variables)

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The QEMU process; None while the machine is off."""
        return self._process.pid if self._process is not None and self.is_on else None

    @property
    def next_device(self) -> tuple[Device, bool]:
        """What it tries first at the next start, and whether that is for one start only."""
        return (self._once, True) if self._once else (self._always, False)

    async def boot_from(self, device: Device | None, *, once: bool) -> None:
        """Set what the next start (``once``), or each start, tries first. None takes a choice for one start back."""
        self._choices += 1
        if device is None or once:
            self._once = device
        else:
            self._always, self._once = device, None
        await self._set_order(self._order())

    async def on(self) -> None:
        """Give it power; nothing when it has. Raises Retryable when QEMU does not start."""
        async with self._switching:
            if not self.is_on:
                await self._start()

    async def off(self) -> None:
        """Cut its power; nothing when it has none."""
        async with self._switching:
            await self._cut()

    async def cycle(self) -> None:
        """Cut its power and give it again."""
        async with self._switching:
            await self._cut()
            await self._start()

    async def reset(self) -> None:
        """Restart it at once; nothing when it is off."""
        await self._ask("system_reset")

    async def press(self) -> None:
        """Press the power button: the system, if one listens, goes down; nothing when it is off."""
        await self._ask("system_powerdown")

    async def _start(self) -> None:
        words = qemu.command(self.shape, self.folder, self._order())
        (self.folder / "qmp").unlink(missing_ok=True)
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *words, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._control = await self._connect(self._process)
        self._say("on")
        self._began()
        self._watch = asyncio.create_task(self._live(self._process, self._control))

    async def _cut(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(QUIT_PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._watch is not None:
            await self._watch

    async def _connect(self, process: Process) -> QMPClient:
        """QEMU's control connection. Raises Retryable with what QEMU said when there is none."""
        path, end = self.folder / "qmp", time.monotonic() + CONNECT_PATIENCE
        while process.returncode is None and time.monotonic() < end:
            # A failed try would be told in the log: it is made only when the socket is there.
            if not path.exists():
                await asyncio.sleep(LOOK)
                continue
            control = QMPClient(self.shape.name)
            with contextlib.suppress(QMPError, OSError):
                await control.connect(str(path))
                return control
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        said = (self.folder / "qemu.log").read_text(errors="replace").strip().splitlines()[-3:]
        raise Retryable(f"QEMU does not start: {' / '.join(said) or 'it says nothing'}", where=self.shape.name)

    async def _live(self, process: Process, control: QMPClient) -> None:
        """Follow the machine until its process has ended."""
        with control.listener("RESET") as resets:
            following = asyncio.create_task(self._follow(resets))
            await process.wait()
            following.cancel()
        with contextlib.suppress(Exception):
            await control.disconnect()
        self._control = None
        self._say("off")

    async def _follow(self, resets: EventListener) -> None:
        await self._settle(resets)
        async for _ in resets:
            self._began()
            await self._settle(resets)

    def _began(self) -> None:
        self.starts += 1
        self._say("start", self.next_device[0])

    async def _settle(self, resets: EventListener) -> None:
        """The firmware has begun with the order that was set: the one for later starts comes into its place, unless
        somebody has chosen anew meanwhile."""
        choices = self._choices
        await asyncio.sleep(SETTLE)
        resets.clear()
        if self._once and choices == self._choices:
            self._once = None
            await self._set_order(self._order())

    def _order(self) -> tuple[Device, ...]:
        first = self.next_device[0]
        return (first, *(device for device in DEVICES if device != first))

    async def _set_order(self, order: tuple[Device, ...]) -> None:
        """Change the order of a machine that is on; it counts from the next start."""
        # Two devices may not have the same place at any time: they are taken out of the order first.
        devices = qemu.devices(self.shape)
        for name in devices.values():
            await self._ask("qom-set", path=f"/machine/peripheral/{name}", property="bootindex", value=-1)
        for device, name in devices.items():
            place = qemu.boot_index(device, order)
            await self._ask("qom-set", path=f"/machine/peripheral/{name}", property="bootindex", value=place)

    async def _ask(self, command: str, **arguments: object) -> None:
        """A command to QEMU; nothing when the machine is off, or goes off meanwhile."""
        if self._control is None or not self.is_on:
            return
        try:
            await self._control.execute(command, arguments or None)
        except QMPError as error:
            if self.is_on:
                raise Permanent(f"QEMU refuses {command}: {error}", where=self.shape.name) from error

    def _say(self, what: str, device: str = "") -> None:
        self._tell(Happening(machine=self.shape.name, what=what, at=time.time(), device=device))


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *words, stdin=DEVNULL, stdout=DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise Permanent(f"{words[0]} failed: {said.decode(errors='replace').strip()}")
