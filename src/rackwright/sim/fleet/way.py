"""The ways by which machines of a rack come to their boot scripts: straight to the door, or by DHCP as real ones do."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from rackwright.core.dhcp_packet import Message
from rackwright.sim.fleet import makeup, tftp
from rackwright.sim.fleet.door import Door
from rackwright.sim.fleet.firmware import Voice, options
from rackwright.sim.fleet.machine import Machine
from rackwright.sim.fleet.wire import Question, discover

BOOT_FILE = 67
"""Code of an option."""
PLATFORMS = {"uefi": "efi", "bios": "pcbios"}
"""What iPXE calls the firmware."""


class Straight:
    """Machines know where the door is, and need no address to ask there."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def script(self, machine: Machine) -> str:
        """See the port."""
        who = identity(machine)
        target = f"/boot/ipxe?mac={who['netX/mac']}&serial={who['serial']}&firmware={who['platform']}"
        answer = await self._door.ask("GET", target)
        return answer.body.decode(errors="replace")

    async def address(self, machine: Machine) -> bool:
        """See the port."""
        return True


class Leases(Protocol):
    """Who gives addresses (``wire.Wire``)."""

    async def lease(self, question: Message, goes: Question) -> Message | None:
        """What was acknowledged to who asks this; None: nothing."""


class ByDhcp:
    """Machines ask for an address on the wire: their firmware, then iPXE, which is told where its script is. With
    ``loads`` the firmware really fetches iPXE by TFTP."""

    def __init__(self, wire: Leases, door: Door, *, loads: bool) -> None:
        self._wire = wire
        self._door = door
        self._loads = loads
        self._asked = 0

    async def script(self, machine: Machine) -> str:
        """See the port."""
        given = await self._leased(machine, "firmware")
        if given is None or not await self._loaded(machine, given):
            return ""
        given = await self._leased(machine, "ipxe")
        url = filled(_boot_file(given), identity(machine)) if given is not None else ""
        if not url.startswith("http://"):
            machine.rack.tally["was not told what to boot"] += 1
            return ""
        parts = urlsplit(url)
        answer = await self._door.ask("GET", f"{parts.path}?{parts.query}")
        return answer.body.decode(errors="replace")

    async def address(self, machine: Machine) -> bool:
        """See the port."""
        return await self._leased(machine, "system") is not None

    async def _leased(self, machine: Machine, voice: Voice) -> Message | None:
        seed, number = machine.seed, machine.number
        mac = bytes.fromhex(machine.macs[0].replace(":", ""))
        said = options(voice, makeup.firmware(seed, number), makeup.identity(seed, number), mac)
        self._asked += 1
        transaction = zlib.crc32(f"{seed}/{number}/{machine.starts}/{voice}".encode()) ^ self._asked
        tally = machine.rack.tally

        async def goes() -> bool:
            arrives = await machine.takes("dhcp") == "ok"
            tally["DHCP questions" if arrives else "DHCP questions lost"] += 1
            return arrives

        given = await self._wire.lease(discover(transaction, mac, said), goes)
        tally["DHCP acknowledged" if given is not None else "DHCP given up"] += 1
        return given

    async def _loaded(self, machine: Machine, given: Message) -> bool:
        """Fetch what the firmware is to start."""
        if not self._loads:
            return True
        try:
            count = await tftp.fetched(given.server, _boot_file(given) or given.file)
        except OSError:
            machine.rack.tally["TFTP broke off"] += 1
            return False
        machine.rack.tally["bytes by TFTP"] += count
        return True


def identity(machine: Machine) -> Mapping[str, str]:
    """What iPXE knows of its machine, by the names of its settings (https://ipxe.org/cfg)."""
    seed, number = machine.seed, machine.number
    return {
        "netX/mac": makeup.mac(seed, number),
        "serial": makeup.serial(seed, number),
        "serial:uristring": makeup.serial(seed, number),
        "uuid": str(makeup.identity(seed, number)),
        "platform": PLATFORMS[makeup.firmware(seed, number)],
    }


def filled(url: str, known: Mapping[str, str]) -> str:
    """A URL with iPXE's settings in their places."""
    for name, value in known.items():
        url = url.replace(f"${{{name}}}", value)
    return url


def _boot_file(given: Message) -> str:
    return given.options.get(BOOT_FILE, b"").decode("latin-1").rstrip("\0") or given.file
