"""Router advertisements that say that there is no router (RFC 4861, 4.2): iPXE waits 13 s at every boot for one.

They carry no prefix and a lifetime of zero, so nobody takes an address or a way from them. Where the rack has a network
with IPv6 they say that DHCPv6 gives the addresses (RFC 4861, flag M).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Collection

import structlog

from rackwright.core.dhcp import Answers

EVERY = 5.0
"""Seconds between two that nobody asked for."""

_ALL_NODES, _ALL_ROUTERS = "ff02::1", "ff02::2"
_SOLICITATION, _ADVERTISEMENT = 133, 134
# Type, code, checksum (the kernel's), hop limit, flags, lifetime, reachable time, retransmission time.
_SAID = struct.Struct("!BBHBBHII")
_MANAGED = 0x80
_ICMP6_FILTER = 1

log = structlog.get_logger()


class Advertising:
    """Advertises on the interfaces of the networks, and at once when a machine asks."""

    name = "router advertisements"

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        """By interface and flags."""

    async def answer(self, answers: Answers, changed: Collection[int] | None = None) -> None:
        """See the protocol."""
        managed = {interface for network, interface in answers.present(6) if not network.proxy}
        present = {interface for network, interface in answers.present() if not network.relayed}
        wanted = {(interface, _MANAGED if interface in managed else 0) for interface in present}
        for said in [said for said, task in self._tasks.items() if said not in wanted or task.done()]:
            await self._end(said)
        for said in wanted - self._tasks.keys():
            self._tasks[said] = asyncio.create_task(_advertise(*said))

    async def close(self) -> None:
        """See the protocol."""
        for said in list(self._tasks):
            await self._end(said)

    async def _end(self, said: tuple[str, int]) -> None:
        task = self._tasks.pop(said)
        task.cancel()
        await asyncio.wait({task})


async def _advertise(interface: str, flags: int) -> None:
    try:
        with contextlib.closing(_opened(interface)) as opened:
            await _go_on(opened, _SAID.pack(_ADVERTISEMENT, 0, 0, 64, flags, 0, 0, 0))
    except OSError as error:
        log.warning("no router advertisements", interface=interface, reason=str(error))


async def _go_on(opened: socket.socket, said: bytes) -> None:
    loop = asyncio.get_running_loop()
    while True:
        # Without a carrier, or before the interface has an address of its own, it cannot be sent; it will be soon.
        with contextlib.suppress(OSError):
            opened.sendto(said, (_ALL_NODES, 0))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY):
                await loop.sock_recv(opened, 2048)


def _opened(interface: str) -> socket.socket:
    """A socket that hears the machines' solicitations on an interface and nothing else."""
    opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        heard = bytearray(b"\xff" * 32)
        # A set bit keeps a type out; the filter is an array of 32-bit words in the machine's own order.
        word, bit = divmod(_SOLICITATION, 32)
        (kept,) = struct.unpack_from("=I", heard, word * 4)
        struct.pack_into("=I", heard, word * 4, kept & ~(1 << bit))
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(heard))
        number = socket.if_nametoindex(interface)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, number)
        # Hosts take an advertisement only with this hop limit (RFC 4861, 6.1.2).
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        group = socket.inet_pton(socket.AF_INET6, _ALL_ROUTERS) + struct.pack("=I", number)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    except OSError:
        opened.close()
        raise
    return opened
