"""A machine at the end of a wire that asks for an IPv6 address (RFC 8415)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import socket
import struct
import time
from collections.abc import AsyncIterator

from rackwright.sim.namespaces import entered
from tests.integration.dhcp_wire import Wire, inside, wire

PATIENCE = 60.0
"""Seconds for an answer."""

SOLICIT, ADVERTISE, REQUEST, REPLY = 1, 2, 3, 7
CLIENT, SERVER, IA_NA, IA_ADDRESS, ELAPSED = 1, 2, 3, 5, 8

_AGAIN = 1.0
"""Seconds until it asks again."""

_NOBODY = "fe80::7"
"""A link-local address that does not follow from an Ethernet address."""

_transactions = itertools.count(1)


@contextlib.asynccontextmanager
async def line6() -> AsyncIterator[Wire]:
    """A wire with IPv6: the rack is fd00:77::1/64."""
    with wire() as made:
        made.within("ip", "address", "add", "fd00:77::1/64", "dev", "rack0", "nodad")
        made.beyond("ip", "address", "add", f"{_NOBODY}/64", "dev", "machine0", "nodad")
        # Until duplicate address detection is over, the rack's own link-local address cannot be used.
        while "tentative" in made.shown("ip", "-6", "address", "show", "dev", "rack0"):
            await asyncio.sleep(0.05)
        async with inside(made.rack):
            yield made


async def given(line: Wire, mac: str, *, source: str = _NOBODY, wanted: str = "", patience: float = PATIENCE) -> str:
    """The address that a machine asks for and is given; empty: none. It calls itself by ``mac`` and asks from the
    address ``source``, for what is ``wanted`` or else what it is offered."""
    return await asyncio.to_thread(_given, line, mac, source, wanted, patience)


def link_local(mac: str) -> str:
    """The link-local address that follows from an Ethernet address (RFC 4291, A)."""
    data = bytes.fromhex(mac.replace(":", ""))
    return str(
        ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + bytes([data[0] ^ 2]) + data[1:3] + b"\xff\xfe" + data[3:])
    )


def _given(line: Wire, mac: str, source: str, wanted: str, patience: float) -> str:
    with entered(line.machine), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"machine0")
        asking.bind((source, 546, 0, socket.if_nametoindex("machine0")))
        hint = _option(IA_ADDRESS, ipaddress.IPv6Address(wanted).packed + bytes(8)) if wanted else b""
        association = _option(IA_NA, struct.pack("!III", 1, 0, 0) + hint)
        offered = _asked(asking, SOLICIT, mac, association, patience)
        if not offered:
            return ""
        if not wanted:
            association = _option(IA_NA, offered[IA_NA])
        answered = _asked(asking, REQUEST, mac, _option(SERVER, offered[SERVER]) + association, patience)
        address = _options(answered[IA_NA][12:]).get(IA_ADDRESS, b"") if answered else b""
        return str(ipaddress.IPv6Address(address[:16])) if address else ""


def _asked(asking: socket.socket, kind: int, mac: str, more: bytes, patience: float) -> dict[int, bytes]:
    """The options of what is answered; none when nobody does."""
    client = struct.pack("!HH", 3, 1) + bytes.fromhex(mac.replace(":", ""))
    until = time.monotonic() + patience
    while time.monotonic() < until:
        beginning = struct.pack("!I", kind << 24 | next(_transactions))
        message = beginning + _option(CLIENT, client) + more + _option(ELAPSED, bytes(2))
        asking.sendto(message, ("ff02::1:2", 547, 0, socket.if_nametoindex("machine0")))
        asking.settimeout(_AGAIN)
        with contextlib.suppress(TimeoutError):
            while True:
                answer = asking.recv(2048)
                # What is answered late is not for this question.
                if answer[1:4] == beginning[1:]:
                    return _options(answer[4:])
    return {}


def _option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        code, length = struct.unpack_from("!HH", data)
        found[code] = data[4 : 4 + length]
        data = data[4 + length :]
    return found
