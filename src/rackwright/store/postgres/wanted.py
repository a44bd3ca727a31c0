"""What anybody wants to be told, as one process knows it: so that moves cost nothing more while nobody wants them."""

from __future__ import annotations

import time
from collections.abc import Iterable

LONGEST = 1.0
"""Seconds for which the answer counts; so long may a new subscription take until it counts."""


class Wanted:
    """The events that there are subscriptions for."""

    def __init__(self) -> None:
        self.events: frozenset[str] = frozenset()
        self._until = 0.0

    @property
    def old(self) -> bool:
        """True when it has to be asked again."""
        return time.monotonic() >= self._until

    def learn(self, events: Iterable[str]) -> None:
        """Take a new answer."""
        self.events = frozenset(events)
        self._until = time.monotonic() + LONGEST

    def forget(self) -> None:
        """Ask again next time."""
        self._until = 0.0
