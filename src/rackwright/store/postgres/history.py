"""History in PostgreSQL: changes that are noted, parts of time that come and go, and looking back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg

from rackwright.core.audit import NOBODY, Asked, Change, ChangeView
from rackwright.core.critical_path import Course
from rackwright.core.history import CAUSES, END, GOOD_ENDS, AttemptView, Count, Lane, lanes
from rackwright.core.retention import Arrangement, Part, Series, Span
from rackwright.store.courses import follow, lead
from rackwright.store.postgres.pool import Pool
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Json, Session, columns
from rackwright.store.postgres.work import Work
from rackwright.store.refusals import unknown
from rackwright.store.texts import plain

PIECE = 50_000
"""Rows of a course that are read at once."""


class HistoryWork(Work):
    """The part of a transaction that is about history."""

    asked: Asked = NOBODY
    """Who asked for what this transaction does."""

    async def note(self, changes: Sequence[Change], asked: Asked | None = None) -> None:
        """See the port."""
        if not changes:
            return
        rows = [
            (
                change.kind,
                plain(change.text),
                change.deployment,
                change.scope,
                _json(change.before),
                _json(change.after),
            )
            for change in changes
        ]
        asked = self.asked if asked is None else asked
        await self.run("add_changes", plain(asked.by), plain(asked.address), plain(asked.request), *columns(rows, 6))

    async def typical_seconds(self, deployment: int) -> dict[str, float]:
        """See the port."""
        return {task: float(seconds) for task, seconds in await self.rows("typical_seconds", deployment)}

    async def parts(self, series: Series) -> list[Part] | None:
        """See the port."""
        if not await self.value("history_alone"):
            return None
        return [Part(Span(first, beyond), empty) for first, beyond, empty in await self.rows("history_parts", series)]

    async def arrange(self, series: Series, done: Arrangement) -> None:
        """See the port. Raises TryAgain where others keep the table in use for longer than a moment."""
        await self.run("history_impatient")
        for span in done.drop:
            await self.run("history_drop", series, *span)
        if done.narrow is not None:
            await self.run("history_narrow", series, *done.narrow)
        for span in done.make:
            await self.run("history_make", series, *span)


class PostgresHistory:
    """The port's History."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def changes(
        self, *, deployment: str | None = None, scope: str | None = None, before: int = END, limit: int = 1000
    ) -> list[ChangeView]:
        """See the port."""
        if deployment is not None:
            rows = await self._rows("view_changes_of", before, limit, deployment)
        elif scope is not None:
            rows = await self._rows("view_changes_on", before, limit, scope)
        else:
            rows = await self._rows("view_changes", before, limit)
        return [ChangeView(**dict(row)) for row in rows]

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
        found = await self._rows("view_scope", scope)
        if not found:
            raise unknown("node, rack or deployment called", scope)
        statement, _ = limited("view_attempts", limit)
        async with self._pool.connection() as connection:
            rows = await Session(connection).text_rows(statement, found[0]["id"], *before, deployment, task)
        return [_attempt(row) for row in rows[:limit]]

    async def lanes(self, deployment: str, since: float, until: float) -> list[Lane]:
        """See the port. NotFound when there is no such deployment."""
        id = await self._deployment(deployment)
        return lanes(Count(*row) for row in await self._rows("view_lanes", id, since, until))

    async def last_run_began(self, deployment: str) -> float:
        """See the port. NotFound when there is no such deployment."""
        last = await self._rows("view_last_start", await self._deployment(deployment))
        found = await self._rows("view_last_cause", deployment, last[0][0], list(CAUSES)) if last else []
        return float(found[0][0]) if found else 0.0

    async def course(self, deployment: str, since: float) -> Course:
        """See the port. NotFound when there is no such deployment."""
        id, course = await self._deployment(deployment), Course()
        async with self._pool.connection() as connection:
            session = Session(connection)
            async for _, node_task, scope, started, ended in _all(
                session, "view_course_runs", id, since, list(GOOD_ENDS)
            ):
                course.attempt(node_task, scope, started, ended)
            async for node_task, children, feeds in _all(session, "view_course_edges", id):
                follow(course, node_task, children, feeds)
            for barrier, _, _, children, feeds in await session.rows("view_barriers", id):
                lead(course, barrier, children, feeds)
        return course

    async def names_of(self, node_tasks: list[int]) -> dict[int, tuple[str, str]]:
        """See the port."""
        rows = await self._rows("view_tasks_named", node_tasks) if node_tasks else []
        return {id: (task, scope) for id, task, scope in rows}

    async def _rows(self, name: str, *values: Any) -> list[asyncpg.Record]:
        async with self._pool.connection() as connection:
            return await Session(connection).rows(name, *values)

    async def _deployment(self, name: str) -> int:
        rows = await self._rows("view_deployment_id", name)
        if not rows:
            raise unknown("deployment called", name)
        return int(rows[0]["id"])


async def _all(session: Session, query: str, deployment: int, *values: Any) -> AsyncIterator[asyncpg.Record]:
    """Every row of a query over a deployment, read in pieces; the first column is the id to go on from."""
    after = 0
    while True:
        rows = await session.rows(query, deployment, after, *values, PIECE)
        for row in rows:
            yield row
        if len(rows) < PIECE:
            return
        after = rows[-1][0]


def _json(value: Any) -> Json | None:
    return None if value is None else Json(value)


def _attempt(row: asyncpg.Record) -> AttemptView:
    return AttemptView(
        id=row["id"],
        at=row["at"],
        deployment=row["deployment"] or "",
        task=row["task"],
        scope=row["scope"] or f"#{row['scope_id']}",
        rack=row["rack"],
        incarnation=row["incarnation"],
        node_task=row["node_task"],
        attempt=row["attempt"],
        outcome=row["outcome"],
        reason=row["reason"],
        fingerprint=None if row["fingerprint"] is None else row["fingerprint"].hex(),
        outputs=row["outputs"] or {},
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )
