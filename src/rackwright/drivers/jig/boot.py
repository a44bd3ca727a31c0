"""The jig ``boot``: waits until the rack answers a machine with what its task wants it to boot.

Parameters: ``request`` (the boot environment's), and ``kind`` where only one will do. What is served is given as the
fact that the task declares, if it declares one: a fact has one writer, and a graph may wait more than once. A task that
restarts the machine comes after it, so that no machine boots what was true before.
"""

from __future__ import annotations

import asyncio

import msgspec

from rackwright.core.bootenv import Kind
from rackwright.core.desk import BootService
from rackwright.core.errors import Retryable
from rackwright.core.jig import Outcome, Work
from rackwright.drivers.jig.surroundings import parameters_as


class BootParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be served."""

    request: str | int
    kind: Kind | None = None


class BootJig:
    """One rack's: ``service`` answers what its machines boot."""

    def __init__(self, service: BootService) -> None:
        self.service = service

    async def open(self) -> None:
        """Nothing is ever left behind."""

    async def run(self, work: Work) -> Outcome:
        """Wait for it."""
        wanted = parameters_as(BootParameters, work)
        claim, request = work.claim, str(wanted.request)
        try:
            async with asyncio.timeout(claim.timeout):
                now = await self.service.served(claim.scope, request, wanted.kind)
        except TimeoutError:
            missing = self.service.missing(claim.scope, request, wanted.kind)
            what = f"rack {work.rack} does not serve this within {claim.timeout:g} s: {missing}"
            raise Retryable(what, where=claim.scope) from None
        return Outcome(facts={path: msgspec.to_builtins(now) for path in claim.writes[:1]})

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept."""
