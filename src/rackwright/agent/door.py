"""The rack's door, as its machines see it: JSON by POST, files by GET with ranges (RFC 9110, section 14)."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

PIECE = 1 << 20
"""Bytes that are read at once."""
SMALL = 16 << 20
"""Bytes of the largest JSON answer that is taken."""


class Away(Exception):
    """The door does not answer, or says that it cannot now: the same may succeed later."""


class Refused(Exception):
    """The door does not do as asked; ``status`` is that of HTTP."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(f"the rack answered {status}: {what}")
        self.status = status


class Changed(Exception):
    """The file is no longer the one that was begun."""


class Door:
    """Requests to one door; each has a connection of its own. ``token`` may change while it is used."""

    def __init__(self, url: str, token: str = "", timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.timeout = timeout

    def post(self, path: str, body: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Ask something. ``timeout`` is in seconds of silence. Raises Away or Refused."""
        data = json.dumps(body, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", **self._own(path)}
        connection, response = self._ask("POST", path, data, headers, timeout or self.timeout)
        try:
            said = response.read(SMALL)
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{self.url}: {_said(error)}") from None
        finally:
            connection.close()
        _judge(response.status, said)
        try:
            answer = json.loads(said) if said else {}
        except ValueError:
            raise Away(f"{self.url}{path} gave no JSON; is it a rack's door?") from None
        return answer if isinstance(answer, dict) else {}

    def download(self, url: str, start: int = 0, mark: str = "") -> Iterator[tuple[bytes, int | None, str]]:
        """The bytes of a file from ``start`` on, in pieces: each with the file's whole length, if it is told, and its
        ETag. ``mark`` is the ETag of what was got before. Raises Away when it breaks off, Refused, or Changed."""
        headers = self._own(url)
        if start:
            headers["Range"] = f"bytes={start}-"
        connection, response = self._ask("GET", url, None, headers, self.timeout)
        try:
            skip = _place(response, start)
            total, tag = _length(response), response.getheader("ETag") or ""
            if mark and tag and tag != mark:
                raise Changed(f"{url} is another file than before")
            got = start - skip
            while piece := response.read(PIECE):
                got += len(piece)
                if skip:
                    piece, skip = piece[skip:], max(0, skip - len(piece))
                if piece:
                    yield piece, total, tag
            if total is not None and got < total:
                raise Away(f"{url} broke off at {got} of {total} bytes")
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{url} broke off: {_said(error)}") from None
        finally:
            connection.close()

    def whole(self, url: str) -> str:
        """A URL as it is, or a path of this door as one."""
        return url if "://" in url else f"{self.url}/{url.lstrip('/')}"

    def _own(self, url: str) -> dict[str, str]:
        """The token, for the door only: other hosts are not told it."""
        ours = "://" not in url or url.startswith(self.url + "/")
        return {"Authorization": f"Bearer {self.token}"} if self.token and ours else {}

    def _ask(
        self, method: str, url: str, body: bytes | None, headers: dict[str, str], timeout: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        parts = urllib.parse.urlsplit(self.whole(url))
        if parts.scheme != "http" or not parts.hostname:
            raise Refused(400, f"{self.whole(url)} is no URL of plain HTTP")
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Away(f"{self.whole(url)}: {_said(error)}") from None
        if method == "GET" and response.status not in (200, 206):
            said = response.read(4096)
            connection.close()
            _judge(response.status, said)
            raise Refused(response.status, f"no file at {url}")
        return connection, response


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _judge(status: int, said: bytes) -> None:
    if status < 300:
        return
    text = said[:500].decode(errors="replace").strip()
    if status in (408, 425, 429) or status >= 500:
        raise Away(f"the rack answered {status}: {text}")
    raise Refused(status, text)


def _place(response: http.client.HTTPResponse, start: int) -> int:
    """Bytes to leave out: a server that knows no ranges sends all from the beginning."""
    if not start:
        return 0
    if response.status == 200:
        return start
    first = (response.getheader("Content-Range") or "").removeprefix("bytes ").split("-")[0]
    if first != str(start):
        raise Away(f"the server gave bytes from {first} on, not from {start}")
    return 0


def _length(response: http.client.HTTPResponse) -> int | None:
    """Of the whole file."""
    said = response.getheader("Content-Length")
    if response.status == 206:
        said = (response.getheader("Content-Range") or "").rpartition("/")[2]
    return int(said) if said and said.isdigit() else None
