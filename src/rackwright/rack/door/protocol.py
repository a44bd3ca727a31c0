"""HTTP as uvicorn speaks it, with one more thing that answers may use: the kernel sends a file.

Measured beside nginx on the same files (``benchmarks/boot_storm.py``), see ADR 0032.
"""

from __future__ import annotations

import asyncio
from typing import BinaryIO

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from rackwright.rack.door.files import SENDFILE

STALLED = 300.0
"""Seconds after which a reader that has not taken one piece is given up."""


class DoorProtocol(HttpToolsProtocol):
    """One connection; its requests may be answered by the extension ``SENDFILE``."""

    def on_headers_complete(self) -> None:
        """A request has come; its answer begins in the loop's next turn."""
        super().on_headers_complete()
        # Other loops (uvloop) have no sendfile: there the file passes through this process.
        if isinstance(self.loop, asyncio.BaseEventLoop):
            self.scope["extensions"] = {SENDFILE: {"send": _KernelSender(self.loop, self.cycle)}}


class _KernelSender:
    """Sends pieces of files on the connection of one answer, after its headers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cycle: RequestResponseCycle) -> None:
        self._loop = loop
        self._cycle = cycle

    async def __call__(self, file: BinaryIO, offset: int, count: int) -> bool:
        """Send ``count`` bytes from ``offset`` on; False when the reader has gone, or has not taken them in time."""
        cycle = self._cycle
        try:
            async with asyncio.timeout(STALLED):
                sent = await self._loop.sendfile(cycle.transport, file, offset, count)
        except (ConnectionError, TimeoutError, RuntimeError):
            # RuntimeError: the connection was closed between two pieces.
            sent = 0
        if sent < count:
            cycle.disconnected = True
            cycle.transport.abort()
            return False
        cycle.expected_content_length -= count
        return True
