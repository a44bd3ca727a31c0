"""News from the store, listened to once for each process and told on to every request that waits for some."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator

import structlog

from rackwright.core.errors import StoreUnavailable
from rackwright.core.ports import Store

CHANNELS = ("work", "plan", "event", "served", "rack")
_PAUSE = 1.0
"""Seconds before the store is asked again after it went away."""

log = structlog.get_logger()


class Bell:
    """Rings when there are news; a request waits for it. It may ring for nothing: who hears it looks for himself."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake who waits, or who will wait next."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring, at most ``seconds``; the rings until now are then heard. Gives whether there was one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._event.wait()
        rang = self._event.is_set()
        self._event.clear()
        return rang


class News:
    """Fans the store's news out. ``stop`` rings every bell at once, so that waiting requests end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bells: dict[tuple[str, str | None], set[Bell]] = defaultdict(set)
        self._hearers: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self.stopping = False

    @contextlib.contextmanager
    def watch(self, channel: str, payload: str | None = None) -> Iterator[Bell]:
        """A bell for news of a channel; with ``payload``, only for those that carry just that."""
        bell, key = Bell(), (channel, payload)
        if self.stopping:
            bell.ring()
        self._bells[key].add(bell)
        try:
            yield bell
        finally:
            self._bells[key].discard(bell)
            if not self._bells[key]:
                del self._bells[key]

    def hear(self, channel: str, hearer: Callable[[], None]) -> None:
        """Call ``hearer`` with every piece of news of a channel, and whenever some may have been lost."""
        self._hearers[channel].append(hearer)

    def awaited(self, channel: str) -> list[str]:
        """For news of a channel with which payloads somebody waits."""
        return [payload for known, payload in self._bells if known == channel and payload is not None]

    def tell(self, channel: str, payload: str) -> None:
        """Ring the bells for a piece of news of which the store has said nothing."""
        self._tell(channel, payload)

    def stop(self) -> None:
        """The process ends: ring every bell."""
        self.stopping = True
        self._ring_all()

    async def run(self) -> None:
        """Listen until cancelled. While the store is away nothing rings; once it is back every bell does."""
        while True:
            try:
                async with self._store.listen(*CHANNELS) as news:
                    self._ring_all()
                    async for channel, payload in news:
                        self._tell(channel, payload)
            except StoreUnavailable as error:
                log.warning("news lost", why=error.what)
            await asyncio.sleep(_PAUSE)

    def _tell(self, channel: str, payload: str) -> None:
        for hearer in self._hearers.get(channel, ()):
            hearer()
        for key in ((channel, payload), (channel, None)):
            for bell in tuple(self._bells.get(key, ())):
                bell.ring()

    def _ring_all(self) -> None:
        for hearers in self._hearers.values():
            for hearer in hearers:
                hearer()
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()
