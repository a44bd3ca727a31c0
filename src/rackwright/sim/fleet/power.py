"""The power driver of simulated machines: their BMCs, without a protocol between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.power import Action, Device, PowerFactory, PowerSetting, PowerState
from rackwright.sim.fleet.machine import Machine

NAME = "simulated"
"""In ``desired.power.driver``; the address is the machine's number."""


class SimulatedPower:
    """See ``core.power.PowerDriver``."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def state(self) -> PowerState:
        """Whether it is on."""
        return "on" if self._machine.is_on else "off"

    async def act(self, action: Action) -> str:
        """Switch it."""
        fate = self._machine.fate("power")
        if fate.seconds:
            await asyncio.sleep(fate.seconds)
        if fate.ending == "failed":
            raise Permanent("the BMC refuses: the simulator wanted it so", where=f"sim{self._machine.number}")
        if fate.ending != "ok":
            raise Retryable("the BMC is silent: the simulator wanted it so", where=f"sim{self._machine.number}")
        switch = {
            "on": self._machine.on, "off": self._machine.off, "soft": self._machine.press,
            "cycle": self._machine.cycle, "reset": self._machine.reset,
        }[action]  # fmt: skip
        await switch()
        return ""

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """What it boots next."""
        await self._machine.boot_from(device if device in ("disk", "network") else None, once=once)

    async def describe(self) -> dict[str, Any]:
        """What there is to tell."""
        shape = self._machine.shape
        return {"manufacturer": "Rackwright", "model": shape.name, "bios": {}}

    async def set_bios(self, settings: dict[str, Any]) -> None:
        """Its BIOS has no settings."""
        raise Permanent("a simulated machine has no BIOS settings", where=f"sim{self._machine.number}")

    async def close(self) -> None:
        """There is no session."""


def driver(machines: Mapping[int, Machine]) -> PowerFactory:
    """The driver for these machines, by their numbers."""

    def made(setting: PowerSetting) -> SimulatedPower:
        machine = machines.get(int(setting.address)) if setting.address.isdigit() else None
        if machine is None:
            raise Permanent(f"there is no simulated machine {setting.address!r} here", where="desired.power")
        return SimulatedPower(machine)

    return made
