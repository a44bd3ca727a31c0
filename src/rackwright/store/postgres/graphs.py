"""Whole graphs in PostgreSQL: what plans write."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rackwright.core.node_task import Barrier, NodeTask, State
from rackwright.store.postgres import records
from rackwright.store.postgres.session import columns
from rackwright.store.postgres.work import Work

MANY = 1000
"""So many new rows change the table enough for the planner to look at it again."""
SLICE = 5000
"""Rows are read in slices of so many: to make a slice takes some 10 ms, for which the loop stands still."""
PIECE = 50_000
"""New rows go in pieces of so many: the server keeps a piece in mind until it has noted its places."""


class GraphWork(Work):
    """The part of a transaction that reads and replaces the graph of a deployment."""

    async def graph_rows(self, deployment: int, graph: str) -> list[NodeTask]:
        """See the port."""
        found: list[NodeTask] = []
        async for rows in self.slices("graph_rows", SLICE, deployment, graph):
            found += map(records.node_task, rows)
        return found

    async def reserve(self, node_tasks: int, barriers: int) -> tuple[range, range]:
        """See the port."""
        return await self._fresh("node_tasks", node_tasks), await self._fresh("barriers", barriers)

    async def replace_graph(
        self,
        deployment: int,
        graph: str,
        *,
        insert: Sequence[NodeTask],
        update: Sequence[NodeTask],
        delete: Collection[int],
        barriers: Sequence[Barrier],
    ) -> None:
        """See the port."""
        if delete:
            await self.run("drop_rows", list(delete), deployment, graph)
        if update:
            rows = [records.reshaped(row) for row in sorted(update, key=lambda row: row.id)]
            ids = [row.id for row in update]
            await self.run("add_counts_of", ids, -1)
            await self.run("reshape_rows", *columns(rows, 22))
            await self.run("add_counts_of", ids, 1)
        if insert:
            for first in range(0, len(insert), PIECE):
                piece = map(records.node_task_row, insert[first : first + PIECE])
                await self.copy("node_task", records.NODE_TASK, piece)
        await self.run("drop_barriers", deployment, graph)
        if barriers:
            await self.copy("barrier", records.BARRIER, map(records.barrier_row, barriers))
        await self.run("next_generation", deployment)
        if len(insert) >= MANY:
            await self.run("analyze_node_tasks")
        self.tell_racks({row.rack for row in (*insert, *update) if row.state is State.TODO})
        if any(found.open and found.children for found in barriers):
            self.tell("barrier", "")

    async def _fresh(self, kind: str, count: int) -> range:
        """Another transaction may draw ids in between; then the range has gaps, and the next try has not."""
        while count > 0:
            row = await self.row(f"reserve_{kind}", count)
            assert row is not None
            first, last = row
            if last - first == count - 1:
                return range(first, last + 1)
        return range(0)
