"""The processes of the product: what each says of itself again and again, and the port that keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

BEAT = 5.0
"""Seconds between two beats of a process."""
LOST_AFTER = 15.0
"""Seconds without a beat after which a process counts as lost; for a rack, whose beats come with its leases, the time
is ``RACK_LOST_AFTER``."""
RACK_LOST_AFTER = 45.0
FORGET_AFTER = 600.0
"""Seconds after which a lost process is no longer told of."""
ENDED_FOR = 60.0
"""Seconds for which the end of a process is remembered, so that a late beat of it does not bring it back."""

TIMED_QUEUES = ("plan", "lease", "hook", "job", "node_task", "barrier")
"""Queues of which it is known since when things wait in them. Of node tasks and barriers it is not written down: there
it is known since when the first in line is the same (see ``Transaction.look_at_heads``)."""

ServiceState = Literal["running", "draining", "ended"]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process: an id of its own, its kind (api, conductor, rack, serializer, jobs), its name among those, and where
    it runs since when (seconds since the epoch)."""

    id: str
    kind: str
    name: str
    host: str
    pid: int
    version: str
    started_at: float


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of itself: that it is there, how it is, and what it measured. ``number`` grows with each
    beat, so that an older one that comes later changes nothing; ``loop_lag`` is the longest time in seconds by which
    its loop came late since the beat before; ``sample`` is a JSON list of ``Family``."""

    process: Process
    number: int
    state: ServiceState = "running"
    loop_lag: float = 0.0
    sample: bytes = b"[]"


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A process as people see it: the last it said, and when that was. ``state`` is running, draining or lost."""

    kind: str
    name: str
    host: str
    pid: int
    version: str
    state: str
    started_at: float
    seen_at: float
    loop_lag: float


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One number of a metric: its name in full, its labels, its value."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric as Prometheus knows it: name, help, type (gauge, counter, histogram), and its numbers."""

    name: str
    help: str
    type: str
    points: list[Point]


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """What waits: its name, how much of it (counted up to a limit), and the seconds for which the oldest has waited;
    None when nothing waits, and where that is not known."""

    name: str
    depth: int
    oldest: float | None = None

    @property
    def timed(self) -> bool:
        """Whether it is known since when things wait."""
        return self.name in TIMED_QUEUES


class QueueErrands(Protocol):
    """The part of the store's port that is about what waits."""

    async def look_at_heads(self) -> None:
        """Note which node task is the first in line in each rack, and how far each open barrier has come. What is the
        same as at the last look keeps the time since when."""


class Roster(Protocol):
    """Which processes there are, and what waits for them. Every method may raise StoreUnavailable."""

    async def beat(self, beats: Sequence[Beat]) -> None:
        """Keep these beats, all in one statement, and forget processes that were lost or have ended long ago."""

    async def services(self) -> list[ServiceView]:
        """All processes that have not ended, by kind, host and name."""

    async def samples(self) -> list[tuple[ServiceView, list[Family]]]:
        """What the processes that are neither lost nor ended have measured."""

    async def queues(self) -> list[Queue]:
        """What waits: plans to be computed, node tasks that may run, barriers to be woken, leases to be reaped,
        messages of hooks to be delivered, jobs to be done."""


def service_state(kind: str, state: str, age: float) -> str:
    """The word for a process that was last heard of ``age`` seconds ago."""
    return "lost" if age > (RACK_LOST_AFTER if kind == "rack" else LOST_AFTER) else state
