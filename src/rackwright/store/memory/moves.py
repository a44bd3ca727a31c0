"""Moves of node tasks in memory."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from rackwright.core.node_task import Barrier, Neighbourhood, NodeTask, Run, State
from rackwright.core.ports import Reach
from rackwright.store.memory.hooks import HookWork
from rackwright.store.memory.parking import ParkingWork
from rackwright.store.memory.rollup import RollupWork
from rackwright.store.memory.spreading import SpreadingWork
from rackwright.store.memory.tables import copied, without_children
from rackwright.store.neighbours import give_children
from rackwright.store.texts import plain


class MoveWork(HookWork, RollupWork, ParkingWork, SpreadingWork):
    """The part of a transaction that finds, locks and saves node tasks and barriers."""

    async def find(
        self, deployment: int, tasks: Collection[str] | None, scopes: Collection[int] | None, state: int | None = None
    ) -> list[int]:
        """See the port."""
        return [
            row.id
            for row in self.tables.rows_of(deployment=deployment)
            if (tasks is None or row.task in tasks)
            and (scopes is None or row.scope in scopes)
            and (state is None or row.state == state)
        ]

    async def standing_on(self, scope: int) -> list[NodeTask]:
        """See the port."""
        return [copied(row) for row in self.tables.rows_of(scope=scope)]

    async def to_come(self, deployment: int, after: tuple[int, int], limit: int) -> list[NodeTask]:
        """See the port."""
        rows = [row for row in self.tables.rows_of(deployment=deployment) if row.state is not State.ACTIVE]
        beyond = (-after[0], after[1])
        found = sorted((-row.priority, row.id) for row in rows if (-row.priority, row.id) > beyond)
        return [copied(self.tables.rows[id]) for _, id in found[:limit]]

    async def waited_for(self, id: int, barriers: Collection[int], limit: int) -> list[NodeTask]:
        """See the port."""
        child = self.tables.rows.get(id)
        if child is None:
            return []
        rows = self.tables.rows_of(deployment=child.deployment, graph=child.graph)
        found = [row for row in rows if id in row.children or not set(barriers).isdisjoint(row.feeds)]
        return [copied(row) for row in found if row.state is not State.ACTIVE][:limit]

    async def last_run(self, id: int) -> Run | None:
        """See the port."""
        return next((run for _, run in reversed(self.tables.runs) if run.node_task == id), None)

    async def existing(self, ids: Collection[int]) -> set[int]:
        """See the port."""
        return {id for id in ids if id in self.tables.rows}

    async def slice(self, after: int, limit: int) -> list[int]:
        """See the port."""
        return sorted(id for id in self.tables.rows if id > after)[:limit]

    async def unfinished(self, deployment: int, graph: str, scopes: Collection[int]) -> set[int]:
        """See the port."""
        rows = self.tables.rows_of(deployment=deployment, graph=graph)
        return {row.scope for row in rows if row.scope in scopes and row.state is not State.ACTIVE}

    async def reach(self, ids: Collection[int], reach: Reach) -> list[int]:
        """See the port."""
        rows = self.tables.rows
        if reach == "self":
            return sorted(set(ids))
        if reach == "children":
            return sorted({*ids, *(child for id in ids if id in rows for child in rows[id].children)})
        return self._descendants(ids)

    async def lock(self, ids: Collection[int], reach: Literal["self", "children"] = "self") -> Neighbourhood:
        """See the port."""
        tables = self.tables
        ids = await self.reach(ids, reach)
        rows = {id: copied(tables.rows[id]) for id in sorted(set(ids)) if id in tables.rows}
        wanted = {feed for row in rows.values() for feed in row.feeds}
        found: set[int] = set()
        while wanted:
            found |= wanted
            wanted = {feed for id in wanted if id in tables.barriers for feed in tables.barriers[id].feeds} - found
        found |= {gate for row in rows.values() for gate in row.gates}
        barriers = await self.barriers(found)
        give_children(rows.values(), barriers)
        return Neighbourhood(rows=rows, barriers=barriers)

    async def save(self, near: Neighbourhood, handing: Collection[int] = ()) -> None:
        """See the port."""
        rows = [near.rows[id] for id in sorted(near.touched)]
        barriers = [near.barriers[id] for id in sorted(near.touched_barriers)]
        for row in rows:
            self._save_row(row)
        for barrier in barriers:
            self._save_barrier(barrier)
        for run in near.runs:
            self.tables.runs.append((self.tables.fresh_id(), msgspec.structs.replace(run, reason=plain(run.reason))))
        if near.runs:
            self.tell("event", "")
        # The end of an attempt frees its scope for the next node task there, which has been in todo all along.
        self.tell_racks({row.rack for row in rows if row.state is State.TODO} | {run.rack for run in near.runs})
        if any(barrier.open for barrier in barriers):
            self.tell("barrier", "")
        self._save_sources(near)
        await self.count_moves(near.moves)
        await self.announce_moves(near.moves)

    async def barriers(self, ids: Collection[int]) -> dict[int, Barrier]:
        """See the port."""
        barriers = self.tables.barriers
        return {id: without_children(barriers[id]) for id in sorted(set(ids)) if id in barriers}

    async def wakeable(self, limit: int) -> tuple[Barrier, list[int]] | None:
        """See the port."""
        for _, barrier in sorted(self.tables.barriers.items()):
            if barrier.open and barrier.released < len(barrier.children):
                following = barrier.children[barrier.released : barrier.released + limit]
                return without_children(barrier), list(following)
        return None

    async def released(self, barrier: int, before: int, after: int) -> bool:
        """See the port."""
        found = self.tables.barriers.get(barrier)
        if found is None or not found.open or found.released != before:
            return False
        self.tables.barriers[barrier] = msgspec.structs.replace(found, released=after)
        return True

    def _save_row(self, row: NodeTask) -> None:
        before = self.tables.rows.get(row.id)
        if before is None:
            return
        kept = {name: getattr(before, name) for name in ("rack", "priority", "critical", "children", "feeds", "gates")}
        self.put_row(msgspec.structs.replace(row, **kept))

    def put_row(self, row: NodeTask) -> None:
        """Store a row; at most one of a scope may be in transition."""
        if row.state is State.TRANSITION:
            running = [other for other in self.tables.rows_of(scope=row.scope, state=State.TRANSITION)]
            assert all(other.id == row.id for other in running), f"two node tasks would run on scope {row.scope}"
        self.tables.rows[row.id] = msgspec.structs.replace(row, reason=plain(row.reason))

    def _save_barrier(self, barrier: Barrier) -> None:
        before = self.tables.barriers.get(barrier.id)
        if before is not None:
            changed = msgspec.structs.replace(before, waits=barrier.waits, released=barrier.released)
            self.tables.barriers[barrier.id] = changed
