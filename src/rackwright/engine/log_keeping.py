"""Logs that racks bring at the same time: kept by one statement, for a commit costs more than the few words of most."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rackwright.core.errors import StoreUnavailable
from rackwright.core.messages import LogChunk
from rackwright.core.views import Views

_Row = tuple[int, int, int, bytes, bool]


class LogKeeper:
    """Keeps pieces of logs in ``views``: what comes while others are written goes together into the next statement."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._fresh: list[tuple[int, _Row]] = []
        self._writing: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def keep(self, rack: int, pieces: Sequence[LogChunk]) -> None:
        """Keep what a rack brings; returns when it is safe. A piece that comes again changes nothing."""
        rows = [(piece.id, piece.attempt, piece.offset, piece.data, piece.last) for piece in pieces]
        self._fresh += [(rack, row) for row in rows]
        if self._next is None:
            self._next = asyncio.create_task(self._write(self._writing))
        try:
            await asyncio.shield(self._next)
        except StoreUnavailable:
            raise
        except Exception:
            # What cannot be kept may have come from another rack.
            await self._views.add_log(rows, racks=[rack] * len(rows))

    async def _write(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._writing, self._next = self._next, None
        fresh, self._fresh = self._fresh, []
        await self._views.add_log([row for _, row in fresh], racks=[rack for rack, _ in fresh])
