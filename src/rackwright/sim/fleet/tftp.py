"""Fetching a file by TFTP as boot ROMs do: RFC 1350, with the block size of RFC 2348."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any

BLOCK = 1468
"""Bytes that fit into an Ethernet frame."""
PATIENCE = 2.0
"""Seconds until the last packet is sent again."""
TRIES = 5

_READ, _DATA, _ACK, _ERROR, _OPTIONS = 1, 3, 4, 5, 6
_USUAL_BLOCK = 512
_HEAD = struct.Struct("!HH")


async def fetched(host: str, name: str, port: int = 69) -> int:
    """The bytes of a file that have come; none of them is kept. Raises OSError when it is not there, or breaks off."""
    loop = asyncio.get_running_loop()
    transport, transfer = await loop.create_datagram_endpoint(lambda: _Transfer(host, port, name), family=2)
    try:
        return await transfer.through()
    finally:
        transport.close()


class _Transfer(asyncio.DatagramProtocol):
    """One file. The server answers from a port of its own, to which all further packets go."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._peer: tuple[str, int] = (host, port)
        self._last = struct.pack("!H", _READ) + b"\0".join(
            (name.encode(), b"octet", b"blksize", str(BLOCK).encode(), b"")
        )
        self._block, self._size, self._bytes = 0, _USUAL_BLOCK, 0
        self._came = asyncio.Event()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there: ask."""
        self._transport = transport
        self._say(self._last)

    async def through(self) -> int:
        """Wait for the end; what is not answered is said again."""
        silent = 0
        while not self._ended.done():
            self._came.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._came.wait()
            silent = 0 if self._came.is_set() else silent + 1
            if silent >= TRIES:
                raise TimeoutError(f"TFTP: {self._peer[0]} says nothing")
            if silent:
                self._say(self._last)
        return self._ended.result()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """A packet has come."""
        if len(data) < _HEAD.size or self._ended.done():
            return
        kind, number = _HEAD.unpack_from(data)
        self._peer = (str(addr[0]), addr[1])
        self._came.set()
        if kind == _ERROR:
            self._ended.set_exception(OSError(f"TFTP: {data[4:].rstrip(bytes(1)).decode(errors='replace')}"))
        elif kind == _OPTIONS:
            self._size = BLOCK
            self._acknowledge(0)
        elif kind == _DATA:
            self._take(number, len(data) - _HEAD.size)

    def error_received(self, exc: Exception) -> None:
        """The network refuses: nobody listens there."""
        if not self._ended.done():
            self._ended.set_exception(OSError(f"TFTP: {exc}"))
        self._came.set()

    def _take(self, number: int, count: int) -> None:
        """Of a block that came twice only the acknowledgement is repeated."""
        if number == (self._block + 1) & 0xFFFF:
            self._block, self._bytes = number, self._bytes + count
            if count < self._size:
                self._ended.set_result(self._bytes)
        self._acknowledge(number)

    def _acknowledge(self, number: int) -> None:
        self._say(_HEAD.pack(_ACK, number))

    def _say(self, packet: bytes) -> None:
        self._last = packet
        self._transport.sendto(packet, self._peer)
