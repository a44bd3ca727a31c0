"""Connections of the lean HTTP client: one request at a time on each, kept open, capped in number."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import deque
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlsplit

import httptools
import msgspec

from rackwright.core.errors import InvalidInput

SWEEP = 0.25
"""How often overdue requests are looked for, in seconds: cheaper than a timer for each request."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent again when a kept connection turns out to be closed (RFC 9110, section 9.2.2)."""


class HttpFailed(Exception):
    """The answer is no HTTP, too long, or cut off."""


class Closed(HttpFailed):
    """The connection was closed before an answer began."""


class Origin(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


def parse_url(url: str) -> tuple[Origin, str, str]:
    """Split a URL into where it leads, the text of its Host header, and path and query. Raises InvalidInput."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise InvalidInput(f"this is no URL: {error}", where=url, mend="give http://HOST[:PORT]/PATH") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InvalidInput("this is no URL of HTTP", where=url, mend="give http://HOST[:PORT]/PATH")
    tls = parts.scheme == "https"
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
    )
    return Origin(host, port or (443 if tls else 80), tls), parts.netloc.rpartition("@")[2], path


class Answer:
    """An answer: ``status``, ``headers`` as they came, ``body``."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.body)

    def header(self, name: str) -> str:
        """The first value of a header, empty if there is none."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), "")


class Connection(asyncio.Protocol):
    """One connection; ``answer`` is the future of the request that is under way on it."""

    def __init__(self, most_bytes: int) -> None:
        self.answer: asyncio.Future[Answer] | None = None
        self.deadline = 0.0
        self.used = False
        self.open = False
        self._most_bytes = most_bytes
        self._parser: Any = None
        self._transport: asyncio.Transport | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._received = 0
        self._whole_head = False
        self._head_only = False
        self._keep = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other side took the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def send(self, request: bytes, method: str, answer: asyncio.Future[Answer]) -> None:
        """Send one request; its answer comes in the future."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self.answer = answer
        self._received = 0
        self._whole_head = False
        self._head_only = method == "HEAD"
        self._headers, self._body = [], []
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.answer is None:
            # Nobody asked: what comes now cannot be told from the next answer.
            self.close()
            return
        self._received += len(data)
        if self._received > self._most_bytes:
            self._fail(HttpFailed(f"the answer is longer than {self._most_bytes} bytes"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(HttpFailed(f"this is no HTTP: {error}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header was read."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """All headers were read."""
        self._whole_head = True
        if self._head_only:
            # The parser waits for a body that never comes: the connection cannot be used again.
            self._keep = False
            self._done()
            self.close()

    def on_body(self, data: bytes) -> None:
        """A part of the body was read."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The whole answer was read."""
        if self._parser.get_status_code() < 200:
            # Interim answers (RFC 9110, section 15.2): the real one follows.
            self._headers, self._whole_head = [], False
            return
        self._keep = self._parser.should_keep_alive()
        self._done()

    def eof_received(self) -> None:
        """The other side will send no more; the transport closes itself."""
        return

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; an answer that has no length ends with it (RFC 9112, section 6.3)."""
        self.open = False
        if self.answer is None:
            return
        if error is None and self._whole_head and not _has_length(self._headers):
            self._done()
        elif self._received:
            self._fail(HttpFailed("the connection was closed within an answer"))
        else:
            self._fail(error or Closed("the connection was closed before an answer began"))

    def close(self) -> None:
        """Drop the connection at once; what is under way on it fails."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        # The parser holds the connection, and the connection the parser.
        self._parser = None

    def give_up(self) -> None:
        """The request took too long."""
        self._fail(TimeoutError("no whole answer in time"))

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self.open and self._keep

    def _done(self) -> None:
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            answer.set_result(Answer(self._parser.get_status_code(), self._headers, body))

    def _fail(self, error: Exception) -> None:
        answer, self.answer = self.answer, None
        self.close()
        if answer is not None and not answer.done():
            answer.set_exception(error)


def _has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in headers)


class Pool:
    """Connections to all origins together; a request that finds none free waits, first come, first served."""

    def __init__(self, *, connections: int, timeout: float, tls: ssl.SSLContext | None, most_bytes: int) -> None:
        self._room = connections
        self._timeout = timeout
        self._tls = tls
        self._most_bytes = most_bytes
        self._idle: dict[Origin, list[Connection]] = {}
        self._known: set[Connection] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def exchange(self, origin: Origin, request: bytes, method: str) -> Answer:
        """Send a request, give its answer. A kept connection that was closed meanwhile is replaced, once."""
        loop = self._loop
        if loop is None:
            loop = self._begin()
        connection = self._take(origin) or await self._open(origin)
        while True:
            connection.deadline = loop.time() + self._timeout
            answer: asyncio.Future[Answer] = loop.create_future()
            try:
                connection.send(request, method, answer)
                return await answer
            except (Closed, ConnectionError):
                if not connection.used or method not in SAFE:
                    raise
            except asyncio.CancelledError:
                # Its answer may still come: the connection is spent.
                connection.answer = None
                connection.close()
                raise
            finally:
                self._give_back(origin, connection)
            connection = await self._open(origin)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._known:
            connection.close()
        self._known.clear()
        self._idle.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._loop = None

    def _take(self, origin: Origin) -> Connection | None:
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.open:
                connection.used = True
                return connection
            self._forget(connection)
        return None

    async def _open(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        while self._room <= 0:
            if self._drop_idle():
                break
            await self._turn(loop)
            kept = self._take(origin)
            if kept is not None:
                return kept
        self._room -= 1
        try:
            async with asyncio.timeout(self._timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._most_bytes),
                    origin.host,
                    origin.port,
                    ssl=(self._tls or _default_tls()) if origin.tls else None,
                )
        except BaseException:
            self._room += 1
            self._wake()
            raise
        self._known.add(connection)
        return connection

    async def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()
            raise

    def _drop_idle(self) -> bool:
        """Make room by closing a kept connection to somewhere else."""
        for kept in self._idle.values():
            if kept:
                self._forget(kept.pop())
                return True
        return False

    def _give_back(self, origin: Origin, connection: Connection) -> None:
        if connection.reusable:
            kept = self._idle.get(origin)
            if kept is None:
                kept = self._idle[origin] = []
            kept.append(connection)
        else:
            self._forget(connection)
        if self._waiting:
            self._wake()

    def _forget(self, connection: Connection) -> None:
        connection.close()
        self._known.discard(connection)
        self._room += 1

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _begin(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(SWEEP, self._sweep)
        return self._loop

    def _sweep(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        for connection in [each for each in self._known if each.answer is not None and each.deadline < now]:
            connection.give_up()
        self._sweeper = self._loop.call_later(SWEEP, self._sweep)


@functools.cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context()
