"""Telling listeners: shared by both stores, so that a thousand listeners cost one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator


class Subscription(AsyncIterator[tuple[str, str]]):
    """News for one listener. What it has not fetched yet is kept once each: a slow listener costs no more memory than
    there are different pieces of news."""

    def __init__(self, channels: Collection[str]) -> None:
        self._channels = frozenset(channels)
        self._pending: dict[tuple[str, str], None] = {}
        self._some = asyncio.Event()

    def tell(self, channel: str, payload: str) -> None:
        """Keep a piece of news if it is of a channel that the listener wants."""
        if channel in self._channels:
            self._pending[channel, payload] = None
            self._some.set()

    async def __anext__(self) -> tuple[str, str]:
        while not self._pending:
            self._some.clear()
            await self._some.wait()
        oldest = next(iter(self._pending))
        del self._pending[oldest]
        return oldest


class Board:
    """Everybody who listens."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def tell(self, channel: str, payload: str) -> None:
        """Give a piece of news to all who want it."""
        for subscription in self._subscriptions:
            subscription.tell(channel, payload)

    @contextlib.contextmanager
    def subscribed(self, channels: Collection[str]) -> Iterator[Subscription]:
        """Listen to channels as long as the block lasts."""
        subscription = Subscription(channels)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
