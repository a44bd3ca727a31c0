"""No BMC at all: a person goes there and presses the button."""

from __future__ import annotations

from typing import Any

from rackwright.core.errors import Permanent
from rackwright.core.power import Action, Device, PowerSetting, PowerState

_TOLD: dict[Action, str] = {
    "on": "switch it on",
    "off": "cut its power",
    "soft": "shut it down",
    "cycle": "switch it off and on again",
    "reset": "press its reset button",
}


class ManualPower:
    """A machine that only people can switch. ``address`` may say where it stands."""

    def __init__(self, setting: PowerSetting) -> None:
        self._place = setting.address

    async def state(self) -> PowerState:
        """Nobody knows."""
        return "unknown"

    async def act(self, action: Action) -> str:
        """What the person is to do."""
        return f"{_TOLD[action]} ({self._place})" if self._place else _TOLD[action]

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """Nothing: such a machine is set to boot from the network first, once for all."""

    async def describe(self) -> dict[str, Any]:
        """Nothing is known."""
        return {}

    async def set_bios(self, settings: dict[str, Any]) -> None:
        """Only a person can."""
        raise Permanent("this machine has no BMC: its BIOS is set by hand", where=self._place)

    async def close(self) -> None:
        """Nothing is held."""
