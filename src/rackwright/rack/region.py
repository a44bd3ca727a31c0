"""The region, as the machines' side of a rack sees it: it enlists strangers, hears what was seen, and has images."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from rackwright.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, RackwrightError, Retryable
from rackwright.core.images import Manifest
from rackwright.core.machine_messages import Register
from rackwright.rack.client import trust
from rackwright.rack.http import HttpClient
from rackwright.rack.together import Together

patience = 30.0
"""Seconds for an answer, and between two pieces of a file."""

AT_ONCE = 32
"""Strangers in one request: each tells its inventory."""

_FAULTS: dict[int, type[RackwrightError]] = {
    400: InvalidInput, 401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Conflict, 413: InvalidInput,
    422: InvalidInput,
}  # fmt: skip


_Answer = TypeVar("_Answer")


class Enlisted(msgspec.Struct, frozen=True, kw_only=True):
    """Who a stranger is from now on."""

    id: int
    name: str


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one node: ``facts`` by path; whether its own system runs (None: that is not said); and how many
    seconds ago it was heard of last (None: it was not)."""

    node: str
    facts: dict[str, Any] = {}
    alive: bool | None = None
    seen: float | None = None


class Observations(msgspec.Struct, frozen=True):
    """The body of one report."""

    items: Sequence[Observation]


class Registers(msgspec.Struct, frozen=True):
    """The body with which strangers are enlisted."""

    items: Sequence[Register]


class Rest:
    """The bytes of a file from ``offset`` to its end."""

    def __init__(self, offset: int, response: httpx.Response | None) -> None:
        self.offset = offset
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, as they come. Raises ``Retryable`` when they break off."""
        if self._response is None:
            return
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx.HTTPError as error:
            raise _away(error, str(self._response.url)) from error


class Region:
    """Speaks for the rack ``name`` to the api at ``url``. Use as an async context.

    Each request is one try. It raises ``Retryable`` for what may pass, and for what the api refuses ``InvalidInput``,
    ``NotFound``, ``Conflict`` or ``NotAllowed``.
    """

    def __init__(self, url: str, name: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        self._http = HttpClient(url, {**headers, "Content-Type": "application/json"}, trust)
        self._files = httpx.AsyncClient(headers=headers, timeout=patience, trust_env=False, verify=trust())
        self._strangers = Together(self._enlist, AT_ONCE)
        self._url = url.rstrip("/")
        self._rack = f"/api/v1/racks/{quote(name, safe='')}"

    async def __aenter__(self) -> Region:
        """Nothing is opened before the first request."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        self._http.close()
        await self._files.aclose()

    async def enlist(self, register: Register) -> Enlisted:
        """Make a stranger a node; the same machine gets the same answer again. Strangers that come at the same time go
        in one request; one with which something is wrong asks again alone, and is told what."""
        found = await self._strangers.one(register)
        if found is None:
            found = msgspec.convert(await self._post(f"{self._rack}/enlist", register), Enlisted)
        return found

    async def _enlist(self, registers: Sequence[Register]) -> Sequence[Enlisted | None]:
        try:
            answer = await self._post(f"{self._rack}/enlist:batch", Registers(registers))
        except (InvalidInput, NotFound):
            # Together they may be too large, or the region may be of an older version.
            return [None] * len(registers)
        return msgspec.convert(answer["items"], list[Enlisted | None])

    async def observed(self, items: Sequence[Observation]) -> None:
        """Tell what was seen."""
        await self._post(f"{self._rack}/observed", Observations(items))

    async def manifest(self, name: str) -> Manifest:
        """The newest image of this name, or the one with this digest."""
        return await self._ask("GET", f"{self._rack}/images/{quote(name, safe='')}", None, Manifest)

    @asynccontextmanager
    async def image_file(self, sha256: str, offset: int) -> AsyncIterator[Rest]:
        """A file of an image from ``offset`` on, or from its beginning where the api does not do that."""
        url = f"{self._url}{self._rack}/images/files/{sha256}"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            async with self._files.stream("GET", url, headers=headers) as response:
                if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    yield Rest(offset, None)
                    return
                if response.status_code >= httpx.codes.BAD_REQUEST:
                    _check(response.status_code, await response.aread(), url)
                partial = response.status_code == httpx.codes.PARTIAL_CONTENT
                yield Rest(offset if partial else 0, response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _away(error, url) from error

    async def _post(self, path: str, body: msgspec.Struct) -> Any:
        return await self._ask("POST", path, msgspec.json.encode(body), dict)

    async def _ask(self, method: str, path: str, body: bytes | None, kind: type[_Answer]) -> _Answer:
        url = f"{self._url}{path}"
        try:
            response = await self._http.request(method, path, body, patience=patience)
        except (OSError, ValueError) as error:
            raise _away(error, url) from error
        _check(response.status_code, response.content, url)
        return _decoded(response.content, kind, url)


def _check(status: int, content: bytes, url: str) -> None:
    if status < httpx.codes.BAD_REQUEST:
        return
    what, mend = _detail(status, content)
    raise _FAULTS.get(status, Retryable)(what, where=url, mend=mend)


def _detail(status: int, content: bytes) -> tuple[str, str]:
    """What a problem document says (RFC 9457), or the beginning of whatever came instead."""
    try:
        problem = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return f"HTTP {status}: {content[:200].decode(errors='replace')}", ""
    parts = [str(problem[key]) for key in ("where", "detail") if problem.get(key)]
    return "; ".join(parts) or str(problem.get("title", f"HTTP {status}")), str(problem.get("mend", ""))


def _decoded(content: bytes, kind: type[_Answer], url: str) -> _Answer:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Retryable(f"the answer makes no sense: {error}", where=url, mend="is this the api's URL?") from error


def _away(error: Exception, url: str) -> Retryable:
    reason = str(error) or type(error).__name__
    return Retryable(f"the api cannot be reached: {reason}", where=url, mend="is it running?")
