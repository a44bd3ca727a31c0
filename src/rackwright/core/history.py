"""Looking back: attempts, lanes of time and changes as people read them, and the port through which the store gives
them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from rackwright.core.audit import ChangeView
from rackwright.core.critical_path import Course

END = (1 << 62) - 1
"""An id above all others."""
GOOD_ENDS = ("active", "skipped", "tolerated", "unchanged")
"""Outcomes after which others may go on."""
CAUSES = ("plan.applied", "deployment.resumed", "deployment.retried", "deployment.committed")
"""Kinds of changes that let node tasks of a deployment run."""


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt with all that is kept of it; times are seconds since the epoch. ``at``: when its end was written
    down. ``incarnation``: start of the rack's process that carried it out. ``outputs``: see ``outputs.kept``."""

    id: int
    at: float
    deployment: str
    task: str
    scope: str
    rack: str | None
    incarnation: str | None
    node_task: int
    attempt: int
    outcome: str
    reason: str
    fingerprint: str | None
    """Of the task and its inputs, hexadecimal."""
    outputs: dict[str, Any]
    started_at: float
    ended_at: float


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """What a task did in a window of time: attempts by outcome, how many run now, from when to when (None: it still
    runs), and for how many seconds in all."""

    task: str
    outcomes: dict[str, int]
    running: int
    started_at: float
    ended_at: float | None
    busy: float


class Count(NamedTuple):
    """Attempts of one task with one outcome (None: they run now), counted."""

    task: str
    outcome: str | None
    n: int
    started: float
    ended: float | None
    busy: float


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """One node task of a critical path (see ``critical_path.Step``)."""

    node_task: int
    task: str
    scope: str
    why: str
    waited: float
    ran: float
    started_at: float
    ended_at: float


def lanes(counts: Iterable[Count]) -> list[Lane]:
    """Counts put together by task, in the order in which the tasks began."""
    by_task: dict[str, list[Count]] = {}
    for count in counts:
        by_task.setdefault(count.task, []).append(count)
    found = [_lane(task, counted) for task, counted in by_task.items()]
    return sorted(found, key=lambda lane: (lane.started_at, lane.task))


def _lane(task: str, counts: list[Count]) -> Lane:
    outcomes: dict[str, int] = {}
    for count in counts:
        if count.outcome is not None:
            outcomes[count.outcome] = outcomes.get(count.outcome, 0) + count.n
    running = sum(count.n for count in counts if count.outcome is None)
    return Lane(
        task=task,
        outcomes=dict(sorted(outcomes.items())),
        running=running,
        started_at=min(count.started for count in counts),
        ended_at=None if running else max(count.ended or 0.0 for count in counts),
        busy=sum(count.busy for count in counts),
    )


class History(Protocol):
    """Looking back; none of it locks anything. Lists come the newest first, in pages by their keys."""

    async def changes(
        self, *, deployment: str | None = None, scope: str | None = None, before: int = END, limit: int = 1000
    ) -> list[ChangeView]:
        """Changes with ids below ``before``: all, those of a deployment, or those of a node or rack."""

    async def attempts(
        self,
        scope: str,
        *,
        deployment: str | None = None,
        task: str | None = None,
        before: tuple[float, int] = (1e300, END),
        limit: int = 1000,
    ) -> list[AttemptView]:
        """Attempts on a node, rack or deployment whose (at, id) is below ``before``. NotFound when there is no such
        name."""

    async def lanes(self, deployment: str, since: float, until: float) -> list[Lane]:
        """What ran in a window of time, by task in the order in which they began."""

    async def last_run_began(self, deployment: str) -> float:
        """When the change was asked for that let the newest attempt run; 0 when it is not known."""

    async def course(self, deployment: str, since: float) -> Course:
        """Everything that ran to a good end since a time, and what followed what."""

    async def names_of(self, node_tasks: list[int]) -> dict[int, tuple[str, str]]:
        """Task and scope of node tasks; those that are gone are left out."""
