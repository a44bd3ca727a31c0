"""Requests by HTTP/1.1 (RFC 9112) to one server, on connections that are kept: what a rack says to its region.

A rack says thousands of small things a minute, and a process may hold many racks. So a request takes little more than
its own bytes: one write, and a parser in C (httptools) for the answer. Redirects, cookies and proxies are nothing that
it knows.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

PORTS = {"http": 80, "https": 443}
KEPT = 4
"""Connections without a request that are kept at most."""
UNHEARD = 30
"""Seconds without a sign of the other host after which a connection is dead, also while an answer is waited for."""


class Response(NamedTuple):
    """What was answered; the names of headers are in small letters."""

    status_code: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The content, as far as it is text."""
        return self.content.decode(errors="replace")


class HttpClient:
    """Speaks to the server of ``url`` (``http`` or ``https``; its path begins all paths). ``headers`` go with every
    request; ``trust`` gives whom HTTPS trusts. Close it at the end."""

    def __init__(self, url: str, headers: Mapping[str, str], trust: Callable[[], ssl.SSLContext]) -> None:
        self._url = url
        self._headers = headers
        self._trust = trust
        self._free: list[_Connection] = []
        self._all: set[_Connection] = set()

    def close(self) -> None:
        """End all connections."""
        for connection in list(self._all):
            connection.end()

    async def request(self, method: str, path: str, body: bytes | None = None, *, patience: float) -> Response:
        """Ask once; ``patience``: seconds for all of it. Raises OSError for everything that is not an answer, also
        TimeoutError, which is one."""
        async with asyncio.timeout(patience):
            connection = await self._connection()
            answer: Response | None = None
            try:
                answer = await connection.ask(self._spelled(method, path, body))
            finally:
                # Whoever is cancelled leaves an answer behind that nobody reads: nothing more is asked there.
                if answer is not None and connection.open and len(self._free) < KEPT:
                    self._free.append(connection)
                else:
                    connection.end()
        return answer

    async def _connection(self) -> _Connection:
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        parts = urlsplit(self._url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise OSError(f"{self._url!r} is no URL of an api")
        secure = self._trust() if parts.scheme == "https" else None
        made = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._all), parts.hostname, parts.port or PORTS[parts.scheme], ssl=secure
        )
        return made[1]

    def _spelled(self, method: str, path: str, body: bytes | None) -> bytes:
        parts = urlsplit(self._url)
        lines = [f"{method} {parts.path.rstrip('/')}{path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}"]
        lines += [f"{name}: {value}" for name, value in self._headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + (body or b"")


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time; ``among`` holds it while it is there."""

    def __init__(self, among: set[_Connection]) -> None:
        self._among = among
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self.open = False

    async def ask(self, request: bytes) -> Response:
        """Send a request and wait for its answer."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._pieces = {}, []
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def end(self) -> None:
        """Hang up."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # ---- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = cast(asyncio.Transport, transport)
        _watch_over(transport.get_extra_info("socket"))
        self._among.add(self)
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, be it amid an answer or not."""
        self.open = False
        self._among.discard(self)
        self._fail(str(exc) if exc else "the connection was closed before the answer was whole")

    def data_received(self, data: bytes) -> None:
        """A piece of an answer, or of what nobody has asked for."""
        if self._parser is None or self._answer is None or self._answer.done():
            self.end()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"the answer is no HTTP: {error}")
            self.end()

    # ---- the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """A piece of its content."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:
            # An interim answer: the real one follows.
            self._headers, self._pieces = {}, []
            return
        self.open = self.open and self._parser.should_keep_alive()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Response(status, self._headers, b"".join(self._pieces)))

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(why))


def _watch_over(opened: socket.socket) -> None:
    """Let the kernel find out when the other host is gone (tcp(7)); nobody else notices while an answer is awaited."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, UNHEARD // 2),
        (socket.TCP_KEEPINTVL, UNHEARD // 6),
        (socket.TCP_KEEPCNT, 3),
        (socket.TCP_USER_TIMEOUT, UNHEARD * 1000),
    ):
        opened.setsockopt(socket.IPPROTO_TCP, option, value)
