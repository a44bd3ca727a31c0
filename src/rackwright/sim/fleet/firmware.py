"""What a machine says of itself when it asks for an address: its firmware, then iPXE, then the system on its disk.

Options by RFC 2132; those of network boot by RFC 4578 and the Preboot Execution Environment 2.1, section 2.4; iPXE's
own by https://ipxe.org/howto/dhcpd.
"""

from __future__ import annotations

import uuid
from typing import Literal

from rackwright.sim.shape import Firmware

Voice = Literal["firmware", "ipxe", "system"]
"""Who of a machine asks."""

ARCHITECTURES: dict[Firmware, int] = {"bios": 0, "uefi": 7}
"""Values of option 93."""

PARAMETERS, LONGEST, VENDOR, CLIENT, USER = 55, 57, 60, 61, 77
ARCHITECTURE, INTERFACE, IDENTITY, IPXE = 93, 94, 97, 175
"""Codes of options."""

_WANTED_TO_BOOT = bytes((1, 3, 6, 12, 13, 15, 17, 28, 43, 54, 60, 66, 67, *range(128, 136)))
_WANTED_TO_RUN = bytes((1, 3, 6, 12, 15, 26, 28, 51, 54, 58, 59))
_UNDI_3_16 = bytes((1, 3, 16))
_IPXE_1_21 = bytes((0xEB, 3, 1, 21, 1))


def options(voice: Voice, firmware: Firmware, identity: uuid.UUID, mac: bytes) -> dict[int, bytes]:
    """The options of a question, by code."""
    if voice == "system":
        return {PARAMETERS: _WANTED_TO_RUN, CLIENT: b"\x01" + mac}
    code = ARCHITECTURES[firmware]
    said = {
        PARAMETERS: _WANTED_TO_BOOT,
        LONGEST: (1472).to_bytes(2, "big"),
        VENDOR: f"PXEClient:Arch:{code:05}:UNDI:003016".encode(),
        ARCHITECTURE: code.to_bytes(2, "big"),
        INTERFACE: _UNDI_3_16,
        # As SMBIOS has it: the first three fields begin with their last byte.
        IDENTITY: b"\x00" + identity.bytes_le,
    }
    return said | {USER: b"iPXE", IPXE: _IPXE_1_21} if voice == "ipxe" else said
