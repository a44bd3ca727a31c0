"""The machine's own BMC through the kernel's IPMI driver: its address, and its users.

Commands are those of the IPMI 2.0 specification: Get Device ID (20.1), Get LAN Configuration Parameters (23.2), Set
User Access (22.26), Set User Name (22.28), Set User Password (22.30), Get User Name (22.29). The requests of the driver
are in linux/ipmi.h.
"""

from __future__ import annotations

import array
import fcntl
import os
import select
import struct
from contextlib import suppress
from typing import Any

DEVICE = "dev/ipmi0"
APPLICATION, TRANSPORT = 0x06, 0x0C
PRIVILEGES = {"callback": 1, "user": 2, "operator": 3, "administrator": 4}
_SEND, _RECEIVE = 0x8028690D, 0xC030690B
"""IPMICTL_SEND_COMMAND, IPMICTL_RECEIVE_MSG_TRUNC on 64-bit machines."""
_SECONDS = 5.0


class Unwilling(Exception):
    """There is no BMC, or it does not do as asked."""


class Bmc:
    """The BMC behind one device file."""

    def __init__(self, path: str = "/" + DEVICE) -> None:
        try:
            self._file = os.open(path, os.O_RDWR)
        except OSError as error:
            raise Unwilling(f"{path}: {error.strerror} (is there a BMC, and the kernel's IPMI driver?)") from None
        self._next = 0

    def __enter__(self) -> Bmc:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def ask(self, function: int, command: int, data: bytes = b"") -> bytes:
        """Send a command, wait for its answer; gives what follows the completion code. Raises Unwilling."""
        self._next += 1
        address = array.array("B", struct.pack("ihBx", 0x0C, 0x0F, 0))
        body = array.array("B", data)
        message = struct.pack("BBH4xQ", function, command, len(data), body.buffer_info()[0] if data else 0)
        request = struct.pack("QI4xq", address.buffer_info()[0], len(address), self._next) + message
        fcntl.ioctl(self._file, _SEND, request)
        if not select.select([self._file], [], [], _SECONDS)[0]:
            raise Unwilling(f"the BMC did not answer command {command:#04x} within {_SECONDS:g} s")
        answer = self._receive()
        if answer[0]:
            raise Unwilling(f"the BMC refused command {command:#04x} with code {answer[0]:#04x}")
        return answer[1:]

    def _receive(self) -> bytes:
        address, body = array.array("B", bytes(32)), array.array("B", bytes(256))
        message = struct.pack("BBH4xQ", 0, 0, len(body), body.buffer_info()[0])
        head = struct.pack("i4xQI4xq", 0, address.buffer_info()[0], len(address), 0)
        told = bytearray(head + message)
        fcntl.ioctl(self._file, _RECEIVE, told, True)
        (length,) = struct.unpack_from("H", told, len(head) + 2)
        return body.tobytes()[:length]


def inventory(root: str = "/") -> dict[str, Any] | None:
    """Address, MAC and firmware of the BMC; None when the machine shows none."""
    path = os.path.join(root, DEVICE)
    if not os.path.exists(path):
        return None
    about: dict[str, Any] = {}
    try:
        with Bmc(path) as bmc:
            told = bmc.ask(APPLICATION, 0x01)
            about["firmware"] = f"{told[2] & 0x7F}.{told[3]:02x}"
            for channel in (1, 2, 8):
                with suppress(Unwilling):
                    about |= _network(bmc, channel)
                    break
    except (Unwilling, OSError, IndexError) as error:
        about["fault"] = str(error)
    return about


def _network(bmc: Bmc, channel: int) -> dict[str, Any]:
    def parameter(number: int) -> bytes:
        return bmc.ask(TRANSPORT, 0x02, bytes((channel, number, 0, 0)))[1:]

    source = {1: "static", 2: "dhcp", 3: "firmware"}.get(parameter(4)[0] & 0x0F, "unknown")
    address = ".".join(str(byte) for byte in parameter(3)[:4])
    return {"channel": channel, "address": address, "mac": parameter(5)[:6].hex(":"), "source": source}


def set_user(bmc: Bmc, name: str, password: str, slot: int, channel: int, privilege: str) -> int:
    """Have a user with this password who may log in over the LAN; gives its slot. ``slot`` 0: the user's own, or the
    first free one. Raises Unwilling."""
    secret = password.encode()
    if not name or len(name.encode()) > 16 or not secret or len(secret) > 20:
        raise Unwilling("a BMC takes names of 1 to 16 bytes and passwords of 1 to 20")
    slot = slot or _slot(bmc, name)
    bmc.ask(APPLICATION, 0x45, bytes([slot]) + name.encode().ljust(16, b"\0"))
    bmc.ask(APPLICATION, 0x47, bytes([slot | 0x80, 2]) + secret.ljust(20, b"\0"))
    bmc.ask(APPLICATION, 0x43, bytes([0x90 | channel, slot, PRIVILEGES[privilege], 0]))
    bmc.ask(APPLICATION, 0x47, bytes([slot, 1]))
    return slot


def _slot(bmc: Bmc, name: str) -> int:
    """Slot 1 is the nameless user of the specification; 2 is often the maker's own."""
    most = bmc.ask(APPLICATION, 0x44, bytes([1, 1]))[0] & 0x3F
    free = 0
    for slot in range(2, most + 1):
        try:
            taken = bmc.ask(APPLICATION, 0x46, bytes([slot])).rstrip(b"\0")
        except Unwilling:
            taken = b""
        if taken == name.encode():
            return slot
        if not taken and not free and slot > 2:
            free = slot
    if not free:
        raise Unwilling("all users of the BMC are taken (name the slot of one that may be replaced)")
    return free
