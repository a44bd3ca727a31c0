"""Which token is which rack's: remembered, for racks ask again and again."""

from __future__ import annotations

import hmac
import time

from rackwright.api.news import News
from rackwright.core.views import Views

REMEMBERED = 600.0
"""Seconds. A rack's token never changes; it ends with the rack, of which there are news at once. When some may have
been lost, all is forgotten."""


class RackTokens:
    """Tells racks by the SHA-256 of their tokens. Only what fits is remembered: whoever is refused is looked up."""

    def __init__(self, views: Views, news: News) -> None:
        self._views = views
        self._known: dict[str, tuple[float, int, bytes]] = {}
        news.hear("rack", self._known.clear)

    async def rack(self, name: str, secret: bytes) -> int | None:
        """The id of the rack of this name, if this is its secret."""
        until, id, known = self._known.get(name, (0.0, 0, b""))
        if time.monotonic() < until and hmac.compare_digest(known, secret):
            return id
        found = await self._views.rack_secret(name)
        # An unknown rack and a wrong token get the same answer: names are not given away.
        if found is None or not hmac.compare_digest(found[1], secret):
            return None
        self._known[name] = (time.monotonic() + REMEMBERED, *found)
        return found[0]
