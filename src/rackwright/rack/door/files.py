"""A file as an answer: whole or from one byte to another (RFC 9110, section 14), within a budget of bytes a second.

Where the server offers it, the kernel sends the bytes (sendfile(2)), and they never pass through this process.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rackwright.rack.bandwidth import Bandwidth

SENDFILE = "rackwright.sendfile"
"""Name of the ASGI extension; its field ``send`` is a ``Sender``."""

PIECE = 1 << 22
"""Bytes that the kernel is told to send at a time."""
CHUNK = 1 << 20
"""Bytes that are read at a time where the kernel cannot send."""

Sender = Callable[[BinaryIO, int, int], Awaitable[bool]]
"""Sends bytes of a file from an offset on, so many; False: the reader has gone."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class SentFile(Response):
    """The file at ``path``; ``reading`` lasts as long as it is read. A request for more than one range gets all of it,
    as the RFC allows. Raises ``OSError`` before anything is sent when the file cannot be opened."""

    media_type = "application/octet-stream"

    def __init__(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        bandwidth: Bandwidth | None = None,
        reading: AbstractContextManager[object] | None = None,
    ) -> None:
        super().__init__(headers={"Accept-Ranges": "bytes", **(headers or {})}, media_type=self.media_type)
        del self.headers["Content-Length"]
        self._path = path
        self._bandwidth = bandwidth or Bandwidth()
        self._reading = reading or nullcontext()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with self._reading, await asyncio.to_thread(open, self._path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            status, first, beyond = self._wanted(Headers(scope=scope), size)
            self.headers["Content-Length"] = str(beyond - first)
            if status == 206:
                self.headers["Content-Range"] = f"bytes {first}-{beyond - 1}/{size}"
            elif status == 416:
                self.headers["Content-Range"] = f"bytes */{size}"
            await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
            if scope["method"] == "HEAD" or await self._send(file, first, beyond, scope, send):
                await send({"type": "http.response.body", "body": b""})

    def _wanted(self, asked: Headers, size: int) -> tuple[int, int, int]:
        """The status, and from which byte to which (left out) is answered."""
        said = _RANGE.fullmatch(asked.get("range", ""))
        if said is None or said[0] == "bytes=-" or asked.get("if-range") not in (None, self.headers.get("etag")):
            return 200, 0, size
        if not said[1]:
            first, beyond = max(size - int(said[2]), 0), size
        else:
            first, beyond = int(said[1]), min(int(said[2]) + 1, size) if said[2] else size
        return (206, first, beyond) if first < beyond else (416, 0, 0)

    async def _send(self, file: BinaryIO, first: int, beyond: int, scope: Scope, send: Send) -> bool:
        """Send these bytes as the budget allows; False when the reader has gone."""
        sender: Sender | None = scope.get("extensions", {}).get(SENDFILE, {}).get("send")
        while first < beyond:
            count = min(beyond - first, self._bandwidth.slice, PIECE if sender else CHUNK)
            await self._bandwidth.take(count)
            if sender is None:
                chunk = await asyncio.to_thread(os.pread, file.fileno(), count, first)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            elif not await sender(file, first, count):
                return False
            first += count
        return True
