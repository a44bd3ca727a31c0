"""What one simulated machine is made of."""

from __future__ import annotations

import uuid
from typing import Literal

import msgspec

Firmware = Literal["bios", "uefi"]
BmcKind = Literal["ipmi", "redfish"]
Device = Literal["network", "disk"]

MIB = 1024 * 1024
GIB = 1024 * MIB


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One machine as it is bought: nothing here changes while it lives."""

    number: int
    """From 1 up; addresses, serial numbers and names follow from it."""
    name: str
    firmware: Firmware
    bmc: BmcKind
    memory: int = 512
    """MiB."""
    disk_bytes: int = 4 * GIB
    nics: int = 1

    @property
    def serial(self) -> str:
        """The machine's serial number (DMI)."""
        return f"LAB{self.number:05d}"

    @property
    def disk_serial(self) -> str:
        """The serial number of its disk; virtio takes at most 20 characters."""
        return f"DISK{self.number:05d}"

    @property
    def uuid(self) -> uuid.UUID:
        """The machine's UUID (DMI): always the same for a number."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"rackwright.lab.{self.number}")

    def mac(self, nic: int = 0) -> str:
        """The address of a network interface: one that is administered locally."""
        return f"52:54:00:{0x40 + nic:02x}:{self.number >> 8:02x}:{self.number & 255:02x}"

    def tap(self, nic: int = 0) -> str:
        """The name of the host's end of the wire of a network interface."""
        return f"m{self.number}n{nic}"
