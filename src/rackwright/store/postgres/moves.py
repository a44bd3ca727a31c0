"""Moves of node tasks in PostgreSQL: everything works on sets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from rackwright.core.node_task import Barrier, Neighbourhood, NodeTask, Run, State
from rackwright.core.ports import Reach
from rackwright.store.neighbours import give_children
from rackwright.store.postgres import records
from rackwright.store.postgres.hooks import HookWork
from rackwright.store.postgres.parking import ParkingWork
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.released import ReleasedWork
from rackwright.store.postgres.rollup import RollupWork
from rackwright.store.postgres.session import columns
from rackwright.store.postgres.spreading import SpreadingWork


class MoveWork(HookWork, RollupWork, ParkingWork, SpreadingWork, ReleasedWork):
    """The part of a transaction that finds, locks and saves node tasks and barriers."""

    async def find(
        self, deployment: int, tasks: Collection[str] | None, scopes: Collection[int] | None, state: int | None = None
    ) -> list[int]:
        """See the port."""
        named = () if tasks is None else (list(tasks),)
        placed = () if scopes is None else (list(scopes),)
        query = "find" + ("_named" if named else "") + ("_on" if placed else "")
        return [row[0] for row in await self.rows(query, deployment, state, *named, *placed)]

    async def standing_on(self, scope: int) -> list[NodeTask]:
        """See the port."""
        return [records.node_task(row) for row in await self.rows("standing_on", scope)]

    async def to_come(self, deployment: int, after: tuple[int, int], limit: int) -> list[NodeTask]:
        """See the port."""
        statement, _ = limited("to_come", limit)
        return [records.node_task(row) for row in await self.text_rows(statement, deployment, *after)][:limit]

    async def waited_for(self, id: int, barriers: Collection[int], limit: int) -> list[NodeTask]:
        """See the port."""
        statement, _ = limited("waited_for", limit)
        return [records.node_task(row) for row in await self.text_rows(statement, id, list(barriers))][:limit]

    async def last_run(self, id: int) -> Run | None:
        """See the port."""
        row = await self.row("last_run", id)
        return None if row is None else records.run(row)

    async def existing(self, ids: Collection[int]) -> set[int]:
        """See the port."""
        return {row[0] for row in await self.rows("existing", list(ids))}

    async def slice(self, after: int, limit: int) -> list[int]:
        """See the port."""
        statement, _ = limited("slice", limit)
        return [row[0] for row in await self.text_rows(statement, after)][:limit]

    async def unfinished(self, deployment: int, graph: str, scopes: Collection[int]) -> set[int]:
        """See the port."""
        return {row[0] for row in await self.rows("unfinished", deployment, graph, list(scopes))}

    async def reach(self, ids: Collection[int], reach: Reach) -> list[int]:
        """See the port."""
        if reach == "self" or not ids:
            return sorted(set(ids))
        return [row[0] for row in await self.rows(f"reach_{reach}", list(ids))]

    async def lock(self, ids: Collection[int], reach: Literal["self", "children"] = "self") -> Neighbourhood:
        """See the port."""
        query = "lock_rows" if reach == "self" else "lock_rows_and_children"
        rows = [records.node_task(row) for row in await self.rows(query, list(ids))] if ids else []
        barriers: dict[int, Barrier] = {}
        feeds = {feed for row in rows for feed in row.feeds}
        if feeds:
            barriers = {row[0]: records.barrier(row) for row in await self.rows("lock_barriers", sorted(feeds))}
        gates = {gate for row in rows for gate in row.gates} - barriers.keys()
        barriers |= await self.barriers(gates)
        give_children(rows, barriers)
        return Neighbourhood(rows={row.id: row for row in rows}, barriers=barriers)

    async def save(self, near: Neighbourhood, handing: Collection[int] = ()) -> None:
        """See the port."""
        rows = [near.rows[id] for id in sorted(near.touched)]
        barriers = [near.barriers[id] for id in sorted(near.touched_barriers)]
        await self.save_rows(self.hold_back(near, rows, handing))
        if barriers:
            values = [(barrier.id, barrier.waits, barrier.released) for barrier in barriers]
            await self.run("save_barriers", *columns(values, 3))
        if near.runs:
            await self.fold("add_runs", [records.run_row(run) for run in near.runs])
            self.tell("event", "")
        # The end of an attempt frees its scope for the next node task there, which has been in todo all along.
        self.tell_racks({row.rack for row in rows if row.state is State.TODO} | {run.rack for run in near.runs})
        if any(barrier.open for barrier in barriers):
            self.tell("barrier", "")
        await self._save_sources(near)
        self.count_moves(near.moves)
        await self.announce_moves(near.moves)

    async def barriers(self, ids: Collection[int]) -> dict[int, Barrier]:
        """See the port."""
        if not ids:
            return {}
        return {row[0]: records.barrier(row) for row in await self.rows("read_barriers", sorted(ids))}

    async def wakeable(self, limit: int) -> tuple[Barrier, list[int]] | None:
        """See the port."""
        row = await self.row("wakeable", limit)
        return None if row is None else (records.barrier(row), list(row[7]))

    async def released(self, barrier: int, before: int, after: int) -> bool:
        """See the port."""
        return await self.value("released", barrier, before, after) is not None
