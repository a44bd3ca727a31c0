"""History in memory: changes that are noted, parts of time that come and go, and looking back."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from rackwright.core.audit import NOBODY, Asked, Change, ChangeView
from rackwright.core.critical_path import Course
from rackwright.core.history import CAUSES, END, GOOD_ENDS, AttemptView, Count, Lane, lanes
from rackwright.core.node_task import Run, State
from rackwright.core.retention import Arrangement, Part, Series, Span
from rackwright.store.courses import follow, lead
from rackwright.store.memory.tables import Tables
from rackwright.store.memory.work import Work
from rackwright.store.refusals import unknown
from rackwright.store.texts import plain

ALWAYS = (Span(-math.inf, math.inf),)
"""The parts of a table before anybody has cut it."""


class HistoryWork(Work):
    """The part of a transaction that is about history."""

    asked: Asked = NOBODY
    """Who asked for what this transaction does."""

    async def note(self, changes: Sequence[Change], asked: Asked | None = None) -> None:
        """See the port."""
        who = msgspec.structs.asdict(self.asked if asked is None else asked)
        for change in changes:
            said = msgspec.structs.asdict(change) | {"text": plain(change.text)}
            self.tables.changes.append(ChangeView(id=self.tables.fresh_id(), at=time.time(), **who, **said))

    async def typical_seconds(self, deployment: int) -> dict[str, float]:
        """See the port."""
        took: dict[str, list[float]] = {}
        for _, run in self.tables.runs:
            if run.deployment == deployment and run.outcome in ("active", "unchanged"):
                took.setdefault(run.task, []).append(run.ended_at - run.started_at)
        return {task: statistics.median(times) for task, times in took.items()}

    async def parts(self, series: Series) -> list[Part] | None:
        """See the port."""
        times = [at for at, _ in self._kept(series)]
        spans = sorted(self.tables.parts.get(series, ALWAYS))
        return [Part(span, not any(span.start <= at < span.end for at in times)) for span in spans]

    async def arrange(self, series: Series, done: Arrangement) -> None:
        """See the port."""
        spans = [span for span in sorted(self.tables.parts.get(series, ALWAYS)) if span not in done.drop]
        if done.narrow is not None:
            spans[-1] = done.narrow
        self.tables.parts[series] = tuple(sorted([*spans, *done.make]))
        kept = [row for at, row in self._kept(series) if not any(span.start <= at < span.end for span in done.drop)]
        if series == "run":
            self.tables.runs = kept
        elif series == "event":
            self.tables.events = kept
        elif series == "audit":
            self.tables.changes = kept

    def _kept(self, series: Series) -> list[tuple[float, Any]]:
        """Rows with their times; logs are no part of transactions here."""
        if series == "run":
            return [(run.ended_at, (id, run)) for id, run in self.tables.runs]
        if series == "event":
            return [(event.at, event) for event in self.tables.events]
        return [(change.at, change) for change in self.tables.changes] if series == "audit" else []


class MemoryHistory:
    """The port's History."""

    def __init__(self, committed: Callable[[], Tables]) -> None:
        self._committed = committed

    async def changes(
        self, *, deployment: str | None = None, scope: str | None = None, before: int = END, limit: int = 1000
    ) -> list[ChangeView]:
        """See the port."""
        found = [
            change
            for change in reversed(self._committed().changes)
            if change.id < before
            and (deployment is None or change.deployment == deployment)
            and (scope is None or deployment is not None or change.scope == scope)
        ]
        return found[:limit]

    async def attempts(
        self,
        scope: str,
        *,
        deployment: str | None = None,
        task: str | None = None,
        before: tuple[float, int] = (1e300, END),
        limit: int = 1000,
    ) -> list[AttemptView]:
        """See the port."""
        tables = self._committed()
        kinds = (tables.scope_named(kind, scope) for kind in ("node", "rack", "deployment"))
        standing = next((found for found in kinds if found is not None), None)
        if standing is None:
            raise unknown("node, rack or deployment called", scope)
        found = [_attempt(tables, id, run) for id, run in tables.runs if run.scope == standing.id]
        found = [
            view
            for view in found
            if (view.at, view.id) < before and deployment in (None, view.deployment) and task in (None, view.task)
        ]
        return sorted(found, key=lambda view: (view.at, view.id), reverse=True)[:limit]

    async def lanes(self, deployment: str, since: float, until: float) -> list[Lane]:
        """See the port. NotFound when there is no such deployment."""
        return lanes(self._counts(self._deployment(deployment), since, until))

    def _counts(self, deployment: int, since: float, until: float) -> Iterator[Count]:
        for _, run in self._committed().runs:
            if run.deployment == deployment and run.ended_at >= since and run.started_at <= until:
                yield Count(run.task, run.outcome, 1, run.started_at, run.ended_at, run.ended_at - run.started_at)
        for row in self._committed().rows_of(deployment=deployment, state=State.TRANSITION):
            if row.claimed_at <= until:
                yield Count(row.task, None, 1, row.claimed_at, None, 0.0)

    async def last_run_began(self, deployment: str) -> float:
        """See the port. NotFound when there is no such deployment."""
        tables, id = self._committed(), self._deployment(deployment)
        starts = [run.started_at for _, run in tables.runs if run.deployment == id]
        causes = [
            change.at
            for change in tables.changes
            if starts and change.deployment == deployment and change.kind in CAUSES and change.at <= starts[-1]
        ]
        return max(causes, default=0.0)

    async def course(self, deployment: str, since: float) -> Course:
        """See the port. NotFound when there is no such deployment."""
        tables, id, course = self._committed(), self._deployment(deployment), Course()
        for _, run in tables.runs:
            if run.deployment == id and run.started_at >= since and run.outcome in GOOD_ENDS:
                course.attempt(run.node_task, run.scope, run.started_at, run.ended_at)
        for row in tables.rows_of(deployment=id):
            follow(course, row.id, row.children, row.feeds)
        for barrier in tables.barriers.values():
            if barrier.deployment == id:
                lead(course, barrier.id, barrier.children, barrier.feeds)
        return course

    async def names_of(self, node_tasks: list[int]) -> dict[int, tuple[str, str]]:
        """See the port."""
        tables = self._committed()
        rows = [tables.rows[id] for id in node_tasks if id in tables.rows]
        return {row.id: (row.task, tables.name(row.scope) or "") for row in rows}

    def _deployment(self, name: str) -> int:
        found = self._committed().scope_named("deployment", name)
        if found is None:
            raise unknown("deployment called", name)
        return found.id


def _attempt(tables: Tables, id: int, run: Run) -> AttemptView:
    return AttemptView(
        id=id,
        at=run.ended_at,
        deployment=tables.name(run.deployment) or "",
        task=run.task,
        scope=tables.name(run.scope) or f"#{run.scope}",
        rack=tables.name(run.rack),
        incarnation=run.incarnation,
        node_task=run.node_task,
        attempt=run.attempt,
        outcome=run.outcome,
        reason=run.reason,
        fingerprint=None if run.fingerprint is None else run.fingerprint.hex(),
        outputs=run.outputs,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )
