"""What anybody wants to be told, as one process knows it: so that moves cost nothing more while nobody wants them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rackwright.core.hooks import Wants

LONGEST = 1.0
"""Seconds for which the answer counts; so long may a new subscription take until it counts."""


class Wanted:
    """The events that there are subscriptions for, each with the deployments that they are bound to."""

    def __init__(self) -> None:
        self.events: Wants = {}
        self._until = 0.0

    @property
    def old(self) -> bool:
        """True when it has to be asked again."""
        return time.monotonic() >= self._until

    def learn(self, pairs: Iterable[tuple[str, int | None]]) -> None:
        """Take a new answer: pairs of event and deployment. Of nodes a process does not know whose members they are:
        their events count for all."""
        found: dict[str, set[int] | None] = {}
        for event, deployment in pairs:
            within = found.setdefault(event, set())
            if deployment is None or event.startswith("node."):
                found[event] = None
            elif within is not None:
                within.add(deployment)
        self.events = {event: None if within is None else frozenset(within) for event, within in found.items()}
        self._until = time.monotonic() + LONGEST

    def forget(self) -> None:
        """Ask again next time."""
        self._until = 0.0
