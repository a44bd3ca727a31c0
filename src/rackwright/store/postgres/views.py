"""What people read, out of PostgreSQL. Every method is one statement or a few, without locks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec

from rackwright.core.errors import StoreUnavailable
from rackwright.core.lifecycle import Machine, word
from rackwright.core.node_task import State
from rackwright.core.steering import Steering
from rackwright.core.views import (
    ANYWHERE,
    DeploymentView,
    EdgeView,
    GraphView,
    LogView,
    NodeView,
    RackView,
    RunView,
    Standing,
    TaskView,
)
from rackwright.store.logs import assemble
from rackwright.store.postgres import records
from rackwright.store.postgres.estate import PostgresEstate
from rackwright.store.postgres.migration import behind
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Session, columns, translated
from rackwright.store.rollup import REASONS, SILENT, deployment_state, node_state, rank, reason, silence, told, words
from rackwright.store.steered import steered

_IN_RACK = "rack = (SELECT id FROM scope AS asked WHERE kind = 'rack' AND name = $3::text)"
_ALL = "$2::text[] IS NULL AND $3::text IS NULL"
_OF_RACK = f"$2::text[] IS NULL AND {_IN_RACK}"
_NAMED = f"name = ANY ($2::text[]) AND ($3::text IS NULL OR {_IN_RACK})"


def page_of(names: list[str] | None, rack: str | None, limit: int) -> str:
    """The query for a page of nodes: of these names, of this rack, or of all."""
    statement, _ = limited("view_nodes", limit)
    return statement.replace(":whom", _NAMED if names is not None else _ALL if rack is None else _OF_RACK)


class PostgresViews(PostgresEstate):
    """The port's Views."""

    async def nodes(
        self,
        *,
        names: list[str] | None = None,
        rack: str | None = None,
        state: str | None = None,
        standing: Standing = ANYWHERE,
        after: str = "",
        limit: int = 1000,
    ) -> list[NodeView]:
        """See the port."""
        if state is not None:
            found = await self._in_state(state, rack, after, limit)
            names = found if names is None else [name for name in found if name in names]
        asked = (standing.only, standing.word, standing.allocation, standing.phase, standing.health)
        async with self._pool.connection() as connection:
            rows = await Session(connection).text_rows(page_of(names, rack, limit), after, names, rack, *asked)
        facts: dict[str, Any] = {}
        if names is not None and len(names) == 1 and rows:
            facts = {path: value for path, value in await self._rows("view_facts", rows[0]["id"])}
        return [_node(row, facts) for row in rows[:limit]]

    async def _in_state(self, state: str, rack: str | None, after: str, limit: int) -> list[str]:
        ways = {State.ERROR.word: "view_nodes_failed", State.TRANSITION.word: "view_nodes_running"}
        if state in ways:
            found = await self._rows(ways[state], after, rack, limit)
        else:
            found = await self._rows("view_nodes_resting", after, rack, limit, rank(state))
        return [row["name"] for row in found]

    async def fleet(self) -> dict[str, int]:
        """See the port."""
        return words({state: n for state, n in await self._rows("view_fleet")})

    async def racks(self, *, names: list[str] | None = None) -> list[RackView]:
        """See the port."""
        return [
            RackView(
                name=row["name"],
                nodes=row["nodes"],
                last_seen=row["last_seen"],
                tasks=words(_counts(row["tasks"])),
                serving=records.serving(*row[4:]) if row["generation"] is not None else None,
            )
            for row in await self._rows("view_racks", names)
        ]

    async def deployments(self, *, names: list[str] | None = None) -> list[DeploymentView]:
        """See the port."""
        rows = await self._rows("view_deployments", names)
        counts: dict[int, dict[int, int]] = {row["id"]: {} for row in rows}
        for deployment, state, n in await self._rows("view_counts", list(counts)):
            counts[deployment][state] = n
        going = {id for (id,) in await self._rows("view_going", list(counts))}
        made = [
            DeploymentView(
                name=row["name"],
                catalog=row["catalog"],
                parent=row["parent"],
                state=deployment_state(counts[row["id"]], stopped=row["stopped"], going=row["id"] in going),
                tasks=words(counts[row["id"]]),
                members=row["members"],
                reasons=await self._reasons(row["id"]),
                created_at=row["created_at"],
            )
            for row in rows
        ]
        return await self._steered(made, list(counts))

    async def tasks(
        self,
        deployment: str,
        *,
        state: str | None = None,
        scope: str | None = None,
        task: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[TaskView]:
        """See the port. NotFound when there is no such deployment."""
        id = await self._deployment(deployment)
        number = None if state is None else int(State[state.upper()])
        return [_task(row, deployment) for row in await self._rows("view_tasks", id, number, scope, task, after, limit)]

    async def graph(self, deployment: str) -> GraphView:
        """See the port. NotFound when there is no such deployment."""
        id = await self._deployment(deployment)
        everything = (1 << 62) - 1
        tasks = await self._rows("view_tasks", id, None, None, None, 0, everything)
        barriers = await self._rows("view_barriers", id)
        edges = [edge for row in await self._rows("view_edges", id) for edge in _edges(str(row["id"]), row)]
        edges += [edge for row in barriers for edge in _edges(f"barrier:{row['id']}", row)]
        return GraphView(
            tasks=[_task(row, deployment) for row in tasks],
            barriers=[(row["id"], row["name"], row["open"]) for row in barriers],
            edges=edges,
        )

    async def runs(
        self,
        deployment: str,
        *,
        scope: str | None = None,
        task: str | None = None,
        since: float = 0.0,
        after: int = 0,
        limit: int = 1000,
    ) -> list[RunView]:
        """See the port. NotFound when there is no such deployment."""
        id = await self._deployment(deployment)
        return [
            RunView(
                id=row["id"],
                deployment=deployment,
                task=row["task"],
                scope=row["scope"] or f"#{row['scope_id']}",
                rack=row["rack"],
                node_task=row["node_task"],
                attempt=row["attempt"],
                outcome=row["outcome"],
                reason=row["reason"],
                started_at=row["started_at"],
                ended_at=row["ended_at"],
            )
            for row in await self._rows("view_runs", id, scope, task, after, limit, since)
        ]

    async def plans(self, deployment: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """See the port. NotFound when there is no such deployment."""
        id = await self._deployment(deployment)
        return [{**row, "deployment": deployment} for row in await self._rows("view_plans", id, limit)]

    async def events(self, *, after: int = 0, deployment: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """See the port."""
        async with self._pool.connection() as connection:
            session = Session(connection)
            if after < 0:
                after = await session.value("view_place", deployment, limit)
            rows = await session.rows("view_events", after, deployment, limit)
        return [told(dict(row)) for row in rows]

    async def catalogs(self) -> list[dict[str, Any]]:
        """See the port."""
        return [dict(row) for row in await self._rows("view_catalogs")]

    async def add_log(self, pieces: list[tuple[int, int, int, bytes, bool]], *, racks: Sequence[int] = ()) -> None:
        """See the port."""
        if pieces:
            await self._rows("add_log", *columns(pieces, 5), list(racks))

    async def log(self, node_task: int, *, attempt: int | None, offset: int, limit: int = 1 << 20) -> LogView:
        """See the port."""
        if attempt is None:
            (newest,) = await self._rows("newest_log", node_task)
            attempt = newest[0] or 0
        rows = await self._rows("log_pieces", node_task, attempt, offset, offset + limit)
        return assemble(attempt, offset, limit, ((start, data, last) for start, data, last in rows))

    async def rack_secret(self, rack: str) -> tuple[int, bytes] | None:
        """See the port."""
        rows = await self._rows("rack_secret", rack)
        return (rows[0]["id"], rows[0]["secret"]) if rows else None

    async def add_token(self, name: str, secret: bytes, scope: str) -> None:
        """See the port."""
        await self._rows("add_token", name, secret, scope)

    async def token(self, secret: bytes) -> tuple[str, str] | None:
        """See the port."""
        rows = await self._rows("token", secret)
        return (rows[0]["name"], rows[0]["scope"]) if rows else None

    async def ready(self) -> list[str]:
        """See the port."""
        try:
            async with self._pool.connection() as connection:
                with translated():
                    fault = await behind(connection)
        except StoreUnavailable as error:
            fault = str(error)
        return [] if fault is None else [fault]

    async def _steered(self, made: list[DeploymentView], ids: list[int]) -> list[DeploymentView]:
        found = [msgspec.convert(row[0], Steering) for row in await self._rows("view_steering", ids)]
        steering = {one.deployment: one for one in found}
        limits: dict[int, int] = {scope: amount for scope, amount in await self._rows("view_limits")}
        return [steered(view, steering.get(id), limits.get(id)) for id, view in zip(ids, made, strict=True)]

    async def _reasons(self, deployment: int) -> list[str]:
        silent = await self._rows("view_silent", deployment, time.time() - SILENT)
        waiting = [
            reason(
                row["state"],
                row["task"],
                row["scope"],
                row["reason"],
                row["waits"],
                alive=row["alive"],
                available=row["available"],
            )
            for row in await self._rows("view_reasons", deployment)
        ]
        return [*(silence(rack, n) for rack, n in silent), *waiting][:REASONS]


def _counts(tasks: dict[str, int] | None) -> dict[int, int]:
    return {int(state): n for state, n in (tasks or {}).items()}


def _node(row: asyncpg.Record, facts: dict[str, Any]) -> NodeView:
    counts = _counts(row["tasks"])
    address = row["address"]
    machine = None if row["machine"] is None else msgspec.convert(row["machine"], Machine)
    return NodeView(
        name=row["name"],
        rack=row["rack"],
        address=address if address is None or isinstance(address, str) else msgspec.json.encode(address).decode(),
        alive=row["alive"],
        available=row["available"],
        labels=row["labels"],
        roles=list(row["roles"]),
        tasks=words(counts),
        state=node_state(counts),
        word="" if machine is None else word(machine),
        machine=machine,
        pool=row["pool"],
        zone=row["zone"],
        tags=list(row["tags"]),
        facts=facts,
    )


def _task(row: asyncpg.Record, deployment: str) -> TaskView:
    return TaskView(
        id=row["id"],
        deployment=deployment,
        graph=row["graph"],
        task=row["task"],
        scope=row["scope"],
        rack=row["rack"],
        state=State(row["state"]).word,
        attempt=row["attempt"],
        runs=row["runs"],
        waits=row["waits"],
        reason=row["reason"],
        claimed_at=row["claimed_at"],
    )


def _edges(parent: str, row: asyncpg.Record) -> Sequence[EdgeView]:
    below = [str(child) for child in row["children"]] + [f"barrier:{feed}" for feed in row["feeds"]]
    return [EdgeView(parent=parent, child=child) for child in below]
