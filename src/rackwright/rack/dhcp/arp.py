"""Who on a wire has an IPv4 address, and telling everybody that it is here now (RFC 826, RFC 5227)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator

LISTEN = 0.5
"""Seconds in which the one who has an address answers."""

_ARP = 0x0806
_FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_ETHERNET, _IPV4 = 1, 0x0800
_ASKS, _ANSWERS = 1, 2
_EVERYBODY, _NOT_KNOWN, _NOBODY = b"\xff" * 6, bytes(6), bytes(4)


async def other_with(address: str, interface: str) -> str:
    """The Ethernet address of another machine on this interface's wire that has the address; empty: none has. Raises
    OSError when the interface cannot be used. Needs the right to send raw packets."""
    wanted, loop = ipaddress.IPv4Address(address).packed, asyncio.get_running_loop()
    with _opened(interface) as (opened, own):
        opened.send(_frame(own, _NOBODY, wanted))
        ours = await asyncio.to_thread(_own_addresses)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LISTEN):
                while True:
                    found = answerer(await loop.sock_recv(opened, 2048), wanted)
                    if found and found not in ours:
                        return found
    return ""


def announce(address: str, interface: str) -> None:
    """Tell everybody on the wire that the address is at this interface now. Raises OSError."""
    packed = ipaddress.IPv4Address(address).packed
    with _opened(interface) as (opened, own):
        opened.send(_frame(own, packed, packed))


@contextlib.contextmanager
def _opened(interface: str) -> Iterator[tuple[socket.socket, bytes]]:
    """A socket for ARP on an interface, and the interface's Ethernet address."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as opened:
        opened.setblocking(False)
        opened.bind((interface, _ARP))
        yield opened, opened.getsockname()[4]


def _frame(own: bytes, sender: bytes, wanted: bytes) -> bytes:
    return _FRAME.pack(_EVERYBODY, own, _ARP, _ETHERNET, _IPV4, 6, 4, _ASKS, own, sender, _NOT_KNOWN, wanted)


def answerer(frame: bytes, wanted: bytes) -> str:
    """Who says in this frame that it has the wanted address; empty: nobody."""
    if len(frame) < _FRAME.size:
        return ""
    _, _, kind, _, _, _, _, operation, who, sender, _, _ = _FRAME.unpack_from(frame)
    return who.hex(":") if (kind, operation, sender) == (_ARP, _ANSWERS, wanted) else ""


def _own_addresses() -> set[str]:
    """The Ethernet addresses of this machine: with two interfaces on one wire it answers itself."""
    found = set()
    for interface in os.listdir("/sys/class/net"):
        with contextlib.suppress(OSError), open(f"/sys/class/net/{interface}/address", encoding="ascii") as file:
            found.add(file.read().strip())
    return found
