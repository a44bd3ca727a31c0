"""A lean HTTP/1.1 client for one load process: RFC 9112 over kept connections, parsed by httptools (llhttp).

It does what a load test needs and no more: GET to PATCH with a body that is known, TLS, answers of known length,
chunked or ended by closing. What else an HTTP client can do (proxies, HTTP/2, cookies), `full_http` does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import urljoin

import msgspec

from rackwright.load.http_connection import Answer, HttpFailed, Origin, Pool, parse_url

CONNECTIONS = 1_000
"""Most connections of one load process, unless it is told otherwise."""
REDIRECTS = 10
ENCODED = 10_000
"""Requests that are kept encoded; most scenarios send the same few."""

_HEADERS = b"\r\nuser-agent: rackwright\r\naccept: */*\r\n"


class Http:
    """Requests over a pool of kept connections.

    Args:
        connections: most connections at once, to all targets; further requests wait for one.
        timeout: seconds for one request, from the moment it has a connection or opens one.
        tls: for https; by default the system's trust, with names checked.
        most_bytes: an answer that is longer fails and its connection is closed.
    """

    def __init__(
        self,
        *,
        connections: int = CONNECTIONS,
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
        most_bytes: int = 64 << 20,
    ) -> None:
        self._pool = Pool(connections=connections, timeout=timeout, tls=tls, most_bytes=most_bytes)
        self._encoded: dict[tuple[str, str], tuple[Origin, bytes]] = {}

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Coroutine[Any, Any, Answer]:
        """GET a page; to be awaited."""
        if headers is not None:
            return self.request("GET", url, headers=headers)
        origin, sent = self._encoded.get(("GET", url)) or self._encode("GET", url)
        return self._pool.exchange(origin, sent, "GET")

    async def post(
        self, url: str, *, headers: Mapping[str, str] | None = None, data: bytes | str = b"", json: Any = None
    ) -> Answer:
        """POST bytes, text, or a value as JSON."""
        return await self.request("POST", url, headers=headers, data=data, json=json)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | str = b"",
        json: Any = None,
        follow: bool = False,
    ) -> Answer:
        """Send one request; ``follow``: and go where redirects lead.

        Raises:
            HttpFailed: for an answer that is no HTTP, too long, or cut off.
            OSError, TimeoutError: when the target cannot be reached, or not in time.
            InvalidInput: for a URL that is none.
        """
        answer = await self._send(method, url, headers, data, json)
        hops = 0
        while follow and answer.status in {301, 302, 303, 307, 308} and answer.header("location"):
            hops += 1
            if hops > REDIRECTS:
                raise HttpFailed(f"{url}: more than {REDIRECTS} redirects")
            url = urljoin(url, answer.header("location"))
            if answer.status == 303 or (answer.status in {301, 302} and method == "POST"):
                method, data, json = "GET", b"", None
            answer = await self._send(method, url, headers, data, json)
        return answer

    async def close(self) -> None:
        """Close every connection."""
        self._pool.close()
        await asyncio.sleep(0)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str] | None, data: bytes | str, json: Any
    ) -> Answer:
        origin, sent = self._encoded.get((method, url)) or self._encode(method, url)
        fields = dict(headers or {})
        body = data.encode() if isinstance(data, str) else data
        if json is not None:
            body = msgspec.json.encode(json)
            fields.setdefault("content-type", "application/json")
        if body or method in {"POST", "PUT", "PATCH"}:
            fields["content-length"] = str(len(body))
        if fields:
            sent = sent[:-2] + _encode_fields(fields) + b"\r\n" + body
        return await self._pool.exchange(origin, sent, method)

    def _encode(self, method: str, url: str) -> tuple[Origin, bytes]:
        if len(self._encoded) >= ENCODED:
            self._encoded.clear()
        origin, host, path = parse_url(url)
        sent = f"{method} {path} HTTP/1.1\r\nhost: {host}".encode("ascii") + _HEADERS + b"\r\n"
        self._encoded[method, url] = origin, sent
        return origin, sent


def _encode_fields(fields: Mapping[str, str]) -> bytes:
    text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    if text.count("\r\n") != len(fields) or text.count("\n") != len(fields):
        raise HttpFailed("a header holds a line break")
    return text.encode("latin-1")
