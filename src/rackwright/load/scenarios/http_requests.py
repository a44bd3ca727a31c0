"""HTTP requests, whose status is looked at. Arguments are those of Rally's scenarios of these names."""

from __future__ import annotations

import random
from typing import Any

from rackwright.load.full_http import FullHttp
from rackwright.load.http_connection import Answer
from rackwright.load.scenario import Scenario

LEAN = frozenset({"headers", "data", "json", "allow_redirects"})
"""Options that the lean client understands; any other one brings in the full one."""
CLIENT = frozenset({"verify", "cert", "cookies", "proxies", "auth"})
"""Options that belong to a client, not to a request."""


class _Checked(Scenario):
    """A request whose answer is looked at."""

    async def request_and_check(self, url: str, method: str, status_code: int, **options: Any) -> None:
        """One atomic action: the request, and the check."""
        with self.atomic(f"http_requests.check_{method.lower()}_request"):
            answer = await self._send(method.upper(), url, options)
            self.check(
                answer.status == status_code,
                f"expected HTTP request code is `{status_code}` actual `{answer.status}`",
            )

    async def _send(self, method: str, url: str, options: dict[str, Any]) -> Answer:
        if not options:
            return await self.http.request(method, url, follow=True)
        follow = options.get("allow_redirects", True)
        data = options.get("data")
        if options.keys() <= LEAN and (data is None or isinstance(data, str | bytes)):
            return await self.http.request(
                method, url, headers=options.get("headers"), data=data or b"", json=options.get("json"), follow=follow
            )
        return await _send_fully(method, url, options, follow)


class CheckRequest(_Checked):
    """HttpRequests.check_request: one request."""

    async def run(self, url: str, method: str, status_code: int, **options: Any) -> None:
        """Send a request and look at the status of its answer."""
        await self.request_and_check(url, method, status_code, **options)


class CheckRandomRequest(_Checked):
    """HttpRequests.check_random_request: one request out of a list."""

    async def run(self, requests: list[dict[str, Any]], status_code: int) -> None:
        """Send one of the requests; it may bring a ``status_code`` of its own."""
        chosen = {"status_code": status_code, **random.choice(requests)}
        await self.request_and_check(**chosen)


async def _send_fully(method: str, url: str, options: dict[str, Any], follow: bool) -> Answer:
    own = {name: value for name, value in options.items() if name in CLIENT}
    proxies = own.pop("proxies", None)
    if proxies:
        own["proxy"] = next(iter(proxies.values()))
    rest = {name: value for name, value in options.items() if name not in CLIENT and name != "allow_redirects"}
    client = FullHttp(**own)
    try:
        return await client.request(method, url, follow=follow, **rest)
    finally:
        await client.close()
