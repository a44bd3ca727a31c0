"""How a machine is switched from afar: what a driver for one kind of BMC must do.

A driver is found by an entry point of the group ``rackwright.power``; its name there is the one in
``desired.power.driver``. The entry point is a ``PowerFactory``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

PowerState = Literal["on", "off", "unknown"]
Action = Literal["on", "off", "soft", "cycle", "reset"]
"""``off`` cuts the power; ``soft`` asks the system to go down; ``cycle`` is off and on; ``reset`` restarts at once."""
Device = Literal["network", "disk", "setup", "none"]


class PowerSetting(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach one machine's BMC: the fact ``desired.power``, with its secret filled in."""

    driver: str
    address: str = ""
    """Host, host:port or URL."""
    user: str = ""
    password: str = ""
    """Never in a fact and never logged: it is kept sealed and opened only for the driver."""
    options: dict[str, Any] = {}
    """What only this driver knows: ``system`` (Redfish path), ``verify`` (TLS), ``cipher``, ``url_on``, ..."""


class PowerDriver(Protocol):
    """One machine's BMC. Calls may take seconds; each is bounded by the driver itself (20 s).

    All raise ``Retryable`` where the BMC is silent, slow or busy, ``Permanent`` where it refuses: a wrong password, an
    unknown system, something that it cannot do. The message says what, where (the BMC's address) and how to mend it.
    """

    async def state(self) -> PowerState:
        """Whether the machine is on, as the BMC says."""

    async def act(self, action: Action) -> str:
        """Switch, and give ''; it may return before the machine has followed: ask ``state``. Where only a person can
        do it, do nothing and give what the person is to do."""

    async def set_boot_device(self, device: Device, *, once: bool, uefi: bool | None) -> None:
        """What it boots next (``once``) or always; ``none`` takes that back. ``uefi`` None: nobody knows yet which
        kind of firmware it has, and its mode stays as it is."""

    async def describe(self) -> dict[str, Any]:
        """What the BMC tells of itself and its machine: maker, model, serial, firmware versions, BIOS settings where
        it gives them (``bios``), sensors (``sensors``)."""

    async def set_bios(self, settings: dict[str, Any]) -> None:
        """Ask for BIOS settings, effective at the next start. ``Permanent`` where the standard gives no way."""

    async def close(self) -> None:
        """Let go of the session."""


PowerFactory = Callable[[PowerSetting], PowerDriver]


class NodePower(msgspec.Struct, frozen=True):
    """How one node is switched, as its rack is told: with the password."""

    node: str
    setting: PowerSetting


class NodePowers(msgspec.Struct, frozen=True):
    """The answer to a rack that asks for its nodes' settings; nodes that nobody can switch are left out."""

    items: list[NodePower] = []


class Switches(Protocol):
    """The power switches of a rack's machines, by the names of nodes. All raise as drivers do."""

    async def state(self, node: str) -> PowerState:
        """See ``PowerDriver``; what was found is told to the region too."""

    async def act(self, node: str, action: Action) -> str:
        """See ``PowerDriver``."""

    async def set_boot_device(self, node: str, device: Device, *, once: bool, uefi: bool | None) -> None:
        """See ``PowerDriver``."""

    async def describe(self, node: str) -> dict[str, Any]:
        """See ``PowerDriver``."""

    async def set_bios(self, node: str, settings: dict[str, Any]) -> None:
        """See ``PowerDriver``."""


class Credentials(Protocol):
    """What a rack knows of its machines' BMCs, with passwords."""

    async def setting(self, node: str) -> PowerSetting:
        """How a node is switched. Raises ``Permanent`` where nobody has said it, ``Retryable`` while the region that
        knows the password is away."""
