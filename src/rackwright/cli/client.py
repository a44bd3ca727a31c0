"""A thin client of the api: JSON in and out, problems as errors, lists page by page, streams line by line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import httpx

from rackwright.cli.exits import ServerProblem
from rackwright.cli.settings import Settings
from rackwright.core.errors import StoreUnavailable

_TIMEOUT = httpx.Timeout(75.0, connect=5.0)
_UPLOAD = httpx.Timeout(600.0, connect=5.0)
_STREAM = httpx.Timeout(60.0, connect=5.0)


class Client:
    """The api, as one operator sees it. Paths are below ``/api/v1``. Every method may raise ServerProblem, or
    StoreUnavailable when the api cannot be reached."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self.server = settings.server
        self._http = httpx.Client(
            base_url=f"{settings.server}/api/v1",
            headers={"Authorization": f"Bearer {settings.token}", "Accept": "application/json"},
            timeout=_TIMEOUT,
            transport=transport,
            # Loopback and own networks: proxies of the environment are for the web.
            trust_env=False,
        )

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def at(self, server: str) -> Client:
        """The same operator, who reaches the same api by another URL."""
        return Client(dataclasses.replace(self._settings, server=server))

    def get(self, path: str, **query: Any) -> Any:
        """Read something."""
        return self._ask("GET", path, query=query)

    def post(self, path: str, body: Any) -> Any:
        """Make something, or ask for something to be done."""
        return self._ask("POST", path, body=body)

    def put(self, path: str, body: Any) -> Any:
        """The answer to a PUT of a JSON body."""
        return self._ask("PUT", path, body=body)

    def has(self, path: str) -> bool:
        """Whether something is there; it is not fetched."""
        try:
            self._send(self._http.build_request("HEAD", path))
        except ServerProblem as problem:
            if problem.status == httpx.codes.NOT_FOUND:
                return False
            raise
        return True

    def upload(self, path: str, pieces: Iterator[bytes], size: int) -> Any:
        """Send a file as it comes, ``size`` bytes in all."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        request = self._http.build_request("PUT", path, content=pieces, headers=headers, timeout=_UPLOAD)
        return self._send(request).json()

    def patch(self, path: str, body: Any) -> Any:
        """Change something."""
        return self._ask("PATCH", path, body=body)

    def delete(self, path: str) -> None:
        """Delete something."""
        self._ask("DELETE", path)

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        cursor = None
        while True:
            page = self.get(path, **query, cursor=cursor)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def events(self, after: int, deployment: str | None) -> Iterator[dict[str, Any]]:
        """Events above an id as they come, until the stream ends; who wants more goes on from the last id."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        for line in self._lines("/events", headers, {"deployment": deployment}):
            if line.startswith("data:"):
                yield json.loads(line[5:])

    def _lines(self, path: str, headers: dict[str, str], query: dict[str, Any]) -> Iterator[str]:
        with self._streaming(path, headers, query) as response:
            yield from _guarded(response.iter_lines(), self.server)

    def _streaming(self, path: str, headers: dict[str, str], query: dict[str, Any]) -> _Opened:
        request = self._http.build_request("GET", path, params=_given(query), headers=headers, timeout=_STREAM)
        return _Opened(self._send(request, stream=True))

    def _ask(self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        content = {} if body is None else {"json": body}
        response = self._send(self._http.build_request(method, path, params=_given(query or {}), **content))
        return response.json() if response.content else None

    def _send(self, request: httpx.Request, stream: bool = False) -> httpx.Response:
        try:
            response = self._http.send(request, stream=stream)
            if response.is_error:
                response.read()
                raise _problem(response)
        except httpx.HTTPError as error:
            raise _away(self.server, error) from None
        return response


class _Opened:
    """A response whose body is still to come; closed when its block ends."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __enter__(self) -> httpx.Response:
        return self._response

    def __exit__(self, *_: object) -> None:
        self._response.close()


def _guarded(pieces: Iterator[str], server: str) -> Iterator[str]:
    try:
        yield from pieces
    except httpx.HTTPError as error:
        raise _away(server, error) from None


def _given(query: dict[str, Any]) -> dict[str, str]:
    words = {True: "true", False: "false"}
    return {
        key: words[value] if isinstance(value, bool) else str(value)
        for key, value in query.items()
        if value is not None
    }


def _away(server: str, error: httpx.HTTPError) -> StoreUnavailable:
    return StoreUnavailable(
        f"the api cannot be reached: {str(error) or type(error).__name__}",
        where=server,
        mend="is it running? start it with `rackwright up`, or name another with --server or RACKWRIGHT_SERVER",
    )


def _problem(response: httpx.Response) -> ServerProblem:
    try:
        said = response.json()
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    return ServerProblem(
        said.get("detail") or f"the api answered {response.status_code} {response.reason_phrase}",
        where=said.get("where", ""),
        mend=said.get("mend", ""),
        status=response.status_code,
        faults=tuple(said.get("faults", ())),
        request_id=said.get("request_id") or response.headers.get("x-request-id", ""),
    )
