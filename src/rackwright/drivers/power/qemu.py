"""A virtual machine by its QMP socket (QEMU Machine Protocol).

QEMU runs all the time, with ``-S -no-shutdown``: "off" is a machine that is stopped and freshly reset, so nothing has
to be started to switch it on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.power import Action, Device, PowerSetting, PowerState

LIMIT = 20.0
"""Seconds for one action."""


class QemuPower:
    """One machine. ``address`` is the path of its QMP socket; options: ``network`` and ``disk``, the ids of the devices
    that it boots from (default ``net0`` and ``disk0``)."""

    def __init__(self, setting: PowerSetting) -> None:
        self._socket = setting.address.removeprefix("unix:")
        self._ids = {
            "network": str(setting.options.get("network", "net0")),
            "disk": str(setting.options.get("disk", "disk0")),
        }

    async def state(self) -> PowerState:
        """See the port."""
        async with self._connected() as machine:
            return await _state(machine)

    async def act(self, action: Action) -> str:
        """See the port."""
        async with self._connected() as machine:
            off = await _state(machine) == "off"
            if action == "soft":
                if not off:
                    await machine.execute("system_powerdown")
            elif action == "reset" and not off:
                await machine.execute("system_reset")
            else:
                if action != "on":
                    await machine.execute("stop")
                if action != "on" or off:
                    await machine.execute("system_reset")
                if action != "off":
                    await machine.execute("cont")
        return ""

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """See the port. QEMU has no choice for one start only: it stays until it is set anew."""
        if device == "setup":
            raise Permanent("a virtual machine has no set-up to boot into", where=self._socket)
        first = "network" if device == "none" else device
        async with self._connected() as machine:
            # QEMU refuses a place that is taken, be it by the same device: both go out of the way first.
            other = next(kind for kind in self._ids if kind != first)
            for kind, place in ((other, 8), (first, 9), (other, 1), (first, 0)):
                path = f"/machine/peripheral/{self._ids[kind]}"
                await machine.execute("qom-set", {"path": path, "property": "bootindex", "value": place})

    async def describe(self) -> dict[str, Any]:
        """See the port."""
        async with self._connected() as machine:
            version = cast("dict[str, Any]", await machine.execute("query-version"))["qemu"]
            uuid = cast("dict[str, Any]", await machine.execute("query-uuid"))["UUID"]
        number = f"{version['major']}.{version['minor']}.{version['micro']}"
        return {"maker": "QEMU", "model": number, "uuid": uuid}

    async def set_bios(self, settings: dict[str, Any]) -> None:
        """QEMU has no way to do so."""
        raise Permanent("a virtual machine has no BIOS settings", where=self._socket)

    async def close(self) -> None:
        """Nothing is held."""

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[QMPClient]:
        machine = QMPClient("rackwright")
        try:
            async with asyncio.timeout(LIMIT):
                await machine.connect(self._socket)
                try:
                    yield machine
                finally:
                    await machine.disconnect()
        except ExecuteError as error:
            raise Permanent(f"QEMU refused: {error}", where=self._socket) from error
        except TimeoutError:
            raise Retryable(f"QEMU did not answer within {LIMIT:g} s", where=self._socket) from None
        except (ConnectError, QMPError, OSError) as error:
            mend = "see whether the virtual machine's process runs, and whether the rack may use its socket"
            raise Retryable(f"QEMU cannot be reached: {error}", where=self._socket, mend=mend) from error


async def _state(machine: QMPClient) -> PowerState:
    said = cast("dict[str, Any]", await machine.execute("query-status"))
    return "on" if said["running"] else "off"
