"""The full HTTP client, behind the same interface as the lean one: proxies, cookies, HTTP authentication, own trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from rackwright.load.http_connection import Answer


class FullHttp:
    """Requests through httpx; it takes what its client takes (``proxy``, ``verify``, ``auth``, ``cookies``, ...)."""

    def __init__(self, **options: Any) -> None:
        self._client = httpx.AsyncClient(**options)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        json: Any = None,
        follow: bool = False,
        **options: Any,
    ) -> Answer:
        """Send one request. Raises httpx.HTTPError."""
        content = {"content": data} if isinstance(data, str | bytes) else {"data": data}
        got = await self._client.request(
            method, url, headers=headers, json=json, follow_redirects=follow, **content, **options
        )
        return Answer(got.status_code, got.headers.raw, got.content)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()
