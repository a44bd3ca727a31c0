"""Dynamic addresses that this rack has given are told to the region, so that the next process gives them to nobody
else.

While the region is away they are told later; it hands the rack to nobody meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import structlog

from rackwright.core.errors import Conflict, Retryable
from rackwright.core.leases import Lease, LeaseReport
from rackwright.core.served import Network
from rackwright.rack.client import RackClient, patiently

EVERY = 0.5
"""Seconds between two looks at what was given."""
PATIENCE = 3.0
"""Seconds that a process which begins to work for the rack waits for what others have given."""

log = structlog.get_logger()


class Book(Protocol):
    """Where a DHCP server notes what it gives."""

    def news(self, networks: Collection[Network]) -> dict[str, tuple[str, float]]:
        """What was noted since the last call about dynamic addresses of these networks, by address: the client, and
        until when in seconds since the epoch."""

    def inherit(self, leases: Sequence[Lease], networks: Collection[Network]) -> None:
        """Note what another process has given; the server does not run."""

    def close(self) -> None:
        """Let go of it."""


class Lending:
    """Tells of what is noted in ``books`` as the process on this ``seat``; ``networks`` gives those of the rack."""

    def __init__(
        self, client: RackClient, seat: str, books: Sequence[Book], networks: Callable[[], Collection[Network]]
    ) -> None:
        self._client = client
        self._seat = seat
        self._books = books
        self._networks = networks
        self._untold: dict[str, tuple[str, float]] = {}

    async def others(self) -> Sequence[Lease]:
        """What other processes of the rack have given; nothing when the region does not say it soon."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await patiently("leases", lambda: self._client.leases(self._seat))
        except TimeoutError:
            log.warning("what other processes of the rack have given to strangers is not known")
            return ()

    async def inherit(self, leases: Sequence[Lease]) -> None:
        """Give to nobody else what others have given. No server runs."""
        networks = self._networks()
        for book in self._books:
            try:
                await asyncio.to_thread(book.inherit, leases, networks)
            except (OSError, Retryable) as error:
                log.warning("what others have given cannot be noted, and may be given twice", reason=str(error))

    async def tell(self) -> None:
        """Tell the region of what is given, for ever."""
        try:
            while True:
                await self._read()
                if self._untold:
                    await self._say()
                await asyncio.sleep(EVERY)
        finally:
            for book in self._books:
                book.close()

    async def _read(self) -> None:
        networks = self._networks()
        for book in self._books:
            # What cannot be read now is read at the next look.
            with contextlib.suppress(OSError):
                self._untold |= await asyncio.to_thread(book.news, networks)

    async def _say(self) -> None:
        try:
            await patiently("leases", self._told)
        except Conflict as error:
            log.warning("the region takes no leases of this process", reason=str(error))
            self._untold.clear()

    async def _told(self) -> None:
        now = time.time()
        items = tuple(Lease(address, client, until - now) for address, (client, until) in self._untold.items())
        await self._client.note_leases(LeaseReport(seat=self._seat, items=items))
        self._untold.clear()
