"""Redfish (DMTF DSP0266) by ``sushy``. Its calls block, so they run in threads; one session is kept per driver."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import sushy
from sushy.exceptions import AccessError, BadRequestError, InvalidParameterValueError, ResourceNotFoundError, SushyError

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.power import Action, Device, PowerSetting, PowerState

LIMIT = 20.0
"""Seconds for one request."""
CONNECT_LIMIT = 15.0
"""Seconds for the connection and its TLS handshake: the processors of BMCs are slow."""

T = TypeVar("T")

_RESETS: dict[Action, tuple[Any, ...]] = {
    "on": (sushy.ResetType.ON, sushy.ResetType.FORCE_ON),
    "off": (sushy.ResetType.FORCE_OFF,),
    "soft": (sushy.ResetType.GRACEFUL_SHUTDOWN,),
    "cycle": (sushy.ResetType.POWER_CYCLE, sushy.ResetType.FORCE_RESTART),
    "reset": (sushy.ResetType.FORCE_RESTART,),
}
"""What does it, the best first: a BMC allows some of them only."""
_DEVICES: dict[Device, Any] = {
    "network": sushy.BOOT_SOURCE_TARGET_PXE,
    "disk": sushy.BOOT_SOURCE_TARGET_HDD,
    "setup": sushy.BOOT_SOURCE_TARGET_BIOS_SETUP,
    "none": sushy.BOOT_SOURCE_TARGET_NONE,
}


class RedfishPower:
    """One system of one Redfish service. ``address`` is its URL (https where no scheme is said); options: ``system``
    (its path; needed where there are several), ``verify`` (true, false, or the path of a CA file), ``boot`` (``http``:
    network means UEFI HTTP boot)."""

    def __init__(self, setting: PowerSetting) -> None:
        self._setting = setting
        address = setting.address if "://" in setting.address else f"https://{setting.address}"
        self._where = address
        self._base = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        self._service: Any = None
        self._one = threading.Lock()

    async def state(self) -> PowerState:
        """See the port."""
        said = await self._do(lambda system: system.power_state)
        if said in (sushy.PowerState.ON, sushy.PowerState.POWERING_ON):
            return "on"
        return "off" if said in (sushy.PowerState.OFF, sushy.PowerState.POWERING_OFF) else "unknown"

    async def act(self, action: Action) -> str:
        """See the port. A machine that is off is switched on where it is to be cycled: BMCs refuse that."""

        def switch(system: Any) -> None:
            off = system.power_state == sushy.PowerState.OFF
            if off and action in ("off", "soft"):
                return
            wanted = _RESETS["on" if off and action in ("cycle", "reset") else action]
            allowed = system.get_allowed_reset_system_values() or set(wanted)
            kind = next((kind for kind in wanted if kind in allowed), wanted[0])
            system.reset_system(kind)

        await self._do(switch)
        return ""

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """See the port."""
        target = _DEVICES[device]
        if device == "network" and self._setting.options.get("boot") == "http":
            target = sushy.BOOT_SOURCE_TARGET_UEFI_HTTP
        enabled = sushy.BOOT_SOURCE_ENABLED_ONCE if once else sushy.BOOT_SOURCE_ENABLED_CONTINUOUS
        if device == "none":
            enabled = sushy.BOOT_SOURCE_ENABLED_DISABLED
        mode = {None: None, True: sushy.BOOT_SOURCE_MODE_UEFI, False: sushy.BOOT_SOURCE_MODE_BIOS}[uefi]

        def choose(system: Any) -> None:
            # Not every BMC lets the mode be set; those that do not are in the right one already.
            said = mode if system.boot.get("mode") not in (None, mode) else None
            system.set_system_boot_options(target, enabled=enabled, mode=said)

        await self._do(choose)

    async def describe(self) -> dict[str, Any]:
        """See the port."""
        return await self._do(_described)

    async def set_bios(self, settings: dict[str, Any]) -> None:
        """See the port."""

        def ask(system: Any) -> None:
            try:
                bios = system.bios
            except SushyError as error:
                raise Permanent("the BMC offers no BIOS settings", where=self._where) from error
            strange = sorted(set(settings) - set(bios.attributes or {}))
            if strange:
                raise Permanent(f"the BIOS has no settings {', '.join(strange)}", where=self._where)
            bios.set_attributes(settings, apply_time=sushy.ApplyTime.ON_RESET)

        await self._do(ask)

    async def close(self) -> None:
        """See the port."""
        self._service = None

    async def _do(self, work: Callable[[Any], T]) -> T:
        """Run ``work`` on the system as it is now, in a thread, and put errors into our words."""
        try:
            async with asyncio.timeout(4 * LIMIT):
                return await asyncio.to_thread(self._locked, work)
        except TimeoutError:
            raise Retryable(f"the BMC took more than {4 * LIMIT:g} s", where=self._where) from None
        except AccessError as error:
            self._service = None
            raise Permanent(
                f"the BMC refuses us: {error}", where=self._where, mend="check its user and password"
            ) from error
        except ResourceNotFoundError as error:
            raise Permanent(
                f"the BMC does not know this: {error}", where=self._where, mend="check options.system"
            ) from error
        except (BadRequestError, InvalidParameterValueError) as error:
            raise Permanent(f"the BMC cannot do this: {error}", where=self._where) from error
        except (SushyError, OSError) as error:
            self._service = None
            mend = "check the BMC's address and cable"
            raise Retryable(f"the BMC did not do as asked: {error}", where=self._where, mend=mend) from error

    def _locked(self, work: Callable[[Any], T]) -> T:
        with self._one:
            system = self._system()
            system.refresh(force=True)
            return work(system)

    def _system(self) -> Any:
        if self._service is None:
            verify = self._setting.options.get("verify", True)
            self._service = sushy.Sushy(
                self._base,
                username=self._setting.user or None,
                password=self._setting.password or None,
                verify=verify,
                server_side_retries=1,
                server_side_retries_delay=1,
                read_timeout=LIMIT,
                connect_timeout=CONNECT_LIMIT,
            )
        path = self._setting.options.get("system")
        if path:
            return self._service.get_system(path)
        systems = self._service.get_system_collection().get_members()
        if len(systems) != 1:
            names = ", ".join(system.path for system in systems) or "none"
            raise Permanent(
                f"the BMC has {len(systems)} systems: {names}", where=self._where, mend="say options.system"
            )
        return systems[0]


def _described(system: Any) -> dict[str, Any]:
    said = {
        "maker": system.manufacturer,
        "model": system.model,
        "serial": system.serial_number,
        "uuid": system.uuid,
        "bios_version": system.bios_version,
    }
    found: dict[str, Any] = {name: value for name, value in said.items() if value}
    try:
        found["bios"] = dict(system.bios.attributes or {})
    except SushyError:
        found["bios"] = {}
    firmware = {}
    for controller in system.managers:
        firmware[controller.name or controller.identity] = controller.firmware_version
    found["firmware"] = {name: version for name, version in firmware.items() if version}
    return found
