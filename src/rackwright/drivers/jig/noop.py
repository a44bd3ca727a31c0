"""The jig that does nothing: for tests, for trials of a catalog, and for tasks that only set facts."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Outcome, Work
from rackwright.drivers.jig.surroundings import parameters_as


class NoopParameters(msgspec.Struct, frozen=True):
    """``delay`` in seconds; the reason of a failure in ``fail``, of one that may pass in ``retry``."""

    facts: dict[str, Any] = {}
    node_facts: dict[str, dict[str, Any]] = {}
    delay: float = 0.0
    fail: str = ""
    retry: str = ""


class NoopJig:
    """Waits, then fails or gives facts, as its parameters say."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    async def open(self) -> None:
        """Nothing is ever left behind."""

    async def run(self, work: Work) -> Outcome:
        """Do as the parameters say."""
        given = parameters_as(NoopParameters, work)
        await asyncio.sleep(given.delay)
        if given.fail:
            raise Permanent(given.fail)
        if given.retry:
            raise Retryable(given.retry)
        return Outcome(facts=given.facts, node_facts=given.node_facts)

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is ever kept."""
