"""A simulated boot ROM fetches files by TFTP, also where packets are lost."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rackwright.sim.fleet import tftp

FILES = {"small": b"x" * 10, "whole blocks": b"x" * 2 * tftp.BLOCK, "empty": b""}


class Server(asyncio.DatagramProtocol):
    """Gives FILES; of every packet the first is lost when it is ``deaf``. Without ``modern`` it knows no options."""

    def __init__(self, *, deaf: bool = False, modern: bool = True) -> None:
        self._deaf, self._modern = deaf, modern
        self._heard: set[bytes] = set()
        self._file, self._size = b"", tftp.BLOCK if modern else 512
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._deaf and data not in self._heard:
            self._heard.add(data)
            return
        kind, number = struct.unpack_from("!HH", data)
        if kind == 1:
            name = data[2:].split(b"\0")[0].decode()
            if name not in FILES:
                self._transport.sendto(struct.pack("!HH", 5, 1) + b"no such file\0", addr)
                return
            self._file = FILES[name]
            if self._modern:
                self._transport.sendto(struct.pack("!H", 6) + b"blksize\x001468\0", addr)
                return
            number = 0
        if number * self._size <= len(self._file):
            piece = self._file[number * self._size : (number + 1) * self._size]
            self._transport.sendto(struct.pack("!HH", 3, number + 1) + piece, addr)


@asynccontextmanager
async def serving(**how: bool) -> AsyncIterator[int]:
    """Such a server on loopback; gives its port."""
    made = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Server(**how), local_addr=("127.0.0.1", 0))
    yield made[0].get_extra_info("sockname")[1]
    made[0].close()


@pytest.mark.parametrize("modern", [True, False], ids=["with options", "without"])
@pytest.mark.parametrize("name", FILES)
async def test_all_bytes_of_a_file_come(name: str, modern: bool) -> None:
    async with serving(modern=modern) as port:
        assert await tftp.fetched("127.0.0.1", name, port) == len(FILES[name])


async def test_what_is_lost_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tftp, "PATIENCE", 0.05)
    async with serving(deaf=True) as port:
        assert await tftp.fetched("127.0.0.1", "whole blocks", port) == 2 * tftp.BLOCK


async def test_a_file_that_is_not_there_is_an_error() -> None:
    async with serving() as port:
        with pytest.raises(OSError, match="no such file"):
            await tftp.fetched("127.0.0.1", "other", port)
