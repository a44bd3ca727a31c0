"""IPMI 2.0 over LAN by ``ipmitool``, which speaks to what BMCs there really are (pyghmi's client does not).

The password goes by the environment, so it is in no list of processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from typing import Any

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.power import Action, Device, PowerSetting, PowerState

LIMIT = 20.0
"""Seconds for one command."""
PORT = 623
_WORDS: dict[Action, str] = {"on": "on", "off": "off", "soft": "soft", "cycle": "cycle", "reset": "reset"}
_DEVICES: dict[Device, str] = {"network": "pxe", "disk": "disk", "setup": "bios", "none": "none"}
_REFUSED = re.compile(
    r"HMAC is invalid|unauthorized|RAKP 2|no supported cipher|Invalid user|invalid data field|Invalid command",
    re.IGNORECASE,
)
"""What ipmitool says where trying again is of no use."""


class IpmiPower:
    """One BMC. ``address`` is host or host:port; options: ``cipher`` (suite, default 17, else 3 for old BMCs),
    ``privilege`` (default ADMINISTRATOR)."""

    def __init__(self, setting: PowerSetting) -> None:
        self._setting = setting
        host, _, port = (
            setting.address.rpartition(":") if setting.address.count(":") == 1 else (setting.address, "", "")
        )
        self._command = [
            # Only with -v it tells a wrong password from a BMC that is silent.
            *("ipmitool", "-v", "-I", "lanplus", "-H", host.strip("[]"), "-p", port or str(PORT), "-N", "2", "-R", "2"),
            *("-U", setting.user, "-L", str(setting.options.get("privilege", "ADMINISTRATOR")), "-E"),
        ]
        if "cipher" in setting.options:
            self._command += ["-C", str(setting.options["cipher"])]

    async def state(self) -> PowerState:
        """See the port."""
        said = (await self._run("chassis", "power", "status")).lower()
        if "power is on" in said:
            return "on"
        return "off" if "power is off" in said else "unknown"

    async def act(self, action: Action) -> str:
        """See the port. A machine that is off is switched on where it is to be cycled: BMCs refuse that."""
        if action in ("cycle", "reset") and await self.state() == "off":
            action = "on"
        await self._run("chassis", "power", _WORDS[action])
        return ""

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """See the port."""
        options = [word for word, wanted in (("persistent", not once), ("efiboot", uefi)) if wanted]
        said = [f"options={','.join(options)}"] if options and device != "none" else []
        await self._run("chassis", "bootdev", _DEVICES[device], *said)

    async def describe(self) -> dict[str, Any]:
        """See the port: the controller's own words."""
        said = _pairs(await self._run("mc", "info"))
        names = {"Manufacturer Name": "maker", "Product Name": "model", "Firmware Revision": "firmware"}
        return {"ipmi": said.get("IPMI Version", "")} | {
            ours: said[theirs] for theirs, ours in names.items() if said.get(theirs)
        }

    async def set_bios(self, settings: dict[str, Any]) -> None:
        """IPMI has no way to do so."""
        raise Permanent(
            "IPMI cannot set BIOS settings", where=self._setting.address, mend="use Redfish for this machine"
        )

    async def close(self) -> None:
        """Nothing is held."""

    async def _run(self, *words: str) -> str:
        where = self._setting.address
        if shutil.which("ipmitool") is None:
            raise Permanent("there is no ipmitool on the rack's host", where=where, mend="apt-get install ipmitool")
        environment = {"PATH": os.environ.get("PATH", "/usr/bin"), "IPMI_PASSWORD": self._setting.password}
        process = await asyncio.create_subprocess_exec(
            *self._command, *words, env=environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LIMIT):
                out, err = await process.communicate()
        except TimeoutError:
            raise Retryable(f"the BMC did not answer within {LIMIT:g} s", where=where, mend=_MEND) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            raise _failure(" ".join(words), (out + err).decode(errors="replace"), where)
        return out.decode(errors="replace")


_MEND = "check the BMC's address and cable"


def _failure(command: str, said: str, where: str) -> Permanent | Retryable:
    lines = [line.strip(" >") for line in said.splitlines() if line.strip(" >")]
    text = f"the BMC did not carry out `{command}`: {'; '.join(lines[-2:]) or 'it said nothing'}"
    if _REFUSED.search(said):
        return Permanent(text, where=where, mend="check user and password of the BMC, and what it can do")
    return Retryable(text, where=where, mend=_MEND)


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and value.strip():
            found.setdefault(name.strip(), value.strip())
    return found
