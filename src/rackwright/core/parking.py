"""Parked attempts: a jig has begun something that goes on by itself (a reboot, a call-back, a person's hands).

The node task stays in transition, so that nothing else runs on its scope, but no process holds it: it outlives the
rack's and any conductor's. It ends by an event, by the facts that it awaits, or at its deadline, and then fails.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

import msgspec

from rackwright.core.messages import Result

LONGEST = 30 * 86400.0
"""Seconds that an attempt may be parked."""


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that waits. ``result`` is what the jig gave with it: its facts are put once it ends well."""

    node_task: int
    attempt: int
    scope: int
    deadline: float
    """Seconds since the epoch."""
    awaits: dict[str, Any] = {}
    """Facts of its scope, or places inside them, that end the wait when all are there; null: with any value."""
    result: Result

    def ended(self, *, failed: str | None = None) -> Result:
        """Its result: it ended well, or ``failed`` for this reason."""
        if failed is None:
            return msgspec.structs.replace(self.result, outcome="ok", reason="")
        return msgspec.structs.replace(self.result, outcome="failed", reason=failed, facts={}, node_facts={})

    def overdue(self) -> Result:
        """Its result when its deadline has come."""
        return self.ended(failed=f"it was parked until its deadline and nothing came: {self.result.reason}")


class ParkingErrands(Protocol):
    """The part of the store's port that is about parked attempts. One counts only as long as its node task is in
    transition with its attempt and held by nobody."""

    async def park(self, parked: Sequence[Parked]) -> None:
        """Keep these, in place of what is kept of their node tasks."""

    async def parked(self, ids: Collection[int]) -> list[Parked]:
        """Those of these node tasks that are parked now, by id."""

    async def overdue(self, now: float, limit: int) -> list[Parked]:
        """At most ``limit`` of those that are parked and whose deadline has come, by id."""

    async def answered(self, limit: int) -> list[Parked]:
        """At most ``limit`` of those that are parked and whose facts are all there, by id."""

    async def clear_parked(self) -> int:
        """Drop what no longer counts; gives how many."""
