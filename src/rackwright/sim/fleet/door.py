"""How the machines of a fleet reach the HTTP door of their rack: over the network, or straight into its application."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import MutableMapping
from typing import Any, NamedTuple, Protocol

import httpx
from starlette.types import ASGIApp

PATIENCE = 60.0
"""Seconds for an answer; polls wait less."""


class Answer(NamedTuple):
    """What the door said; status 0: nothing."""

    status: int
    body: bytes


class Taken(NamedTuple):
    """A file that was fetched: what the door said, and how many bytes have come."""

    status: int
    bytes: int


class Door(Protocol):
    """A rack's door."""

    async def ask(self, method: str, target: str, body: bytes = b"", token: str = "") -> Answer:
        """Ask once; ``target`` is a path with its query. Faults of the connection are an answer with status 0."""

    async def take(self, target: str) -> Taken:
        """Fetch a file and count its bytes; none of them is kept. What breaks off has status 0."""


class HttpDoor:
    """The door of the rack at ``url``. Close it at the end."""

    def __init__(self, url: str) -> None:
        # Doors are plain HTTP: there is nobody to trust, and no list of authorities to read.
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False, verify=nobody)

    async def ask(self, method: str, target: str, body: bytes = b"", token: str = "") -> Answer:
        """See the port."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            response = await self._http.request(method, target, content=body or None, headers=headers)
        except httpx.HTTPError:
            return Answer(0, b"")
        return Answer(response.status_code, response.content)

    async def take(self, target: str) -> Taken:
        """See the port."""
        count = 0
        try:
            async with self._http.stream("GET", target) as response:
                async for piece in response.aiter_raw():
                    count += len(piece)
        except httpx.HTTPError:
            return Taken(0, count)
        return Taken(response.status_code, count)

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()


class OpenDoor:
    """A door in this process: the same application, without a network between."""

    def __init__(self, app: ASGIApp, host: str = "door.invalid") -> None:
        self._app = app
        self._host = host.encode()

    async def ask(self, method: str, target: str, body: bytes = b"", token: str = "") -> Answer:
        """See the port."""
        call = _Call(body)
        try:
            await self._app(self._scope(method, target, body, token), call.receive, call.send)
        except Exception:  # A server would tell its log and answer 500; so does the door's own error handling.
            return Answer(500, b"")
        return Answer(call.status, b"".join(call.pieces))

    async def take(self, target: str) -> Taken:
        """See the port."""
        call = _Count()
        try:
            await self._app(self._scope("GET", target, b"", ""), call.receive, call.send)
        except Exception:  # As above.
            return Taken(500, call.bytes)
        return Taken(call.status, call.bytes)

    def _scope(self, method: str, target: str, body: bytes, token: str) -> dict[str, Any]:
        path, _, query = target.partition("?")
        headers = [(b"host", self._host), (b"content-length", str(len(body)).encode())]
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip


class _Call:
    """One call of an application, by the ASGI specification."""

    def __init__(self, body: bytes) -> None:
        self.status = 0
        self.pieces: list[bytes] = []
        self._body: bytes | None = body

    async def receive(self) -> MutableMapping[str, Any]:
        """The body at once, then nothing more for ever: nobody hangs up."""
        if self._body is None:
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """A piece of the answer."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
        else:
            self.pieces.append(message.get("body", b""))


class _Count(_Call):
    """A call of whose answer only the bytes are counted."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.bytes = 0

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """A piece of the answer."""
        if message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        else:
            await super().send(message)
