"""Plain TCP: connections, and what comes back on them."""

from __future__ import annotations

import asyncio

from rackwright.load.scenario import Scenario


class TcpConnect(Scenario):
    """Tcp.connect: opens a connection and closes it."""

    async def run(self, host: str, port: int, within: float = 10.0) -> None:
        """Connect within ``within`` seconds."""
        with self.atomic("tcp.connect"):
            async with asyncio.timeout(within):
                _, writer = await asyncio.open_connection(host, port)
        writer.close()


class TcpExchange(Scenario):
    """Tcp.exchange: sends bytes and waits for an answer."""

    async def run(self, host: str, port: int, send: str = "", expect: str = "", within: float = 10.0) -> None:
        """Send text; the answer must hold the text ``expect``, or anything at all if that is empty."""
        wanted = expect.encode()
        async with asyncio.timeout(within):
            with self.atomic("tcp.connect"):
                reader, writer = await asyncio.open_connection(host, port)
            try:
                with self.atomic("tcp.exchange"):
                    writer.write(send.encode())
                    await self._wait_for(reader, wanted)
            finally:
                writer.close()

    async def _wait_for(self, reader: asyncio.StreamReader, wanted: bytes) -> None:
        got = b""
        while not got or wanted not in got:
            piece = await reader.read(65_536)
            self.check(bool(piece), f"the connection was closed after {got[-200:]!r}")
            # What is looked for may lie across two pieces; more than that is not kept.
            got = got[-len(wanted) :] + piece if wanted else piece
