"""Carries TCP connections into a lab: the listening socket was made outside, the other end is inside."""

from __future__ import annotations

import asyncio
import contextlib
import socket

PIECE = 65536


class Forward:
    """From a listening socket to an address that this process can reach."""

    def __init__(self, listening: socket.socket, host: str, port: int) -> None:
        self._listening, self._host, self._port = listening, host, port
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Carry from now on."""
        self._server = await asyncio.start_server(self._carry, sock=self._listening)

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            writer.close()
            far_writer.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
