"""Whole graphs in memory."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence

from rackwright.core.errors import Conflict
from rackwright.core.node_task import Barrier, NodeTask, State
from rackwright.store.memory.moves import MoveWork
from rackwright.store.memory.tables import copied


class GraphWork(MoveWork):
    """The part of a transaction that reads and replaces the graph of a deployment."""

    async def graph_rows(self, deployment: int, graph: str) -> list[NodeTask]:
        """See the port."""
        return [copied(row) for row in self.tables.rows_of(deployment=deployment, graph=graph)]

    async def reserve(self, node_tasks: int, barriers: int) -> tuple[range, range]:
        """See the port."""
        return self._fresh(node_tasks), self._fresh(barriers)

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
        tables = self.tables
        for row in tables.rows_of(deployment=deployment, graph=graph):
            if row.id in delete:
                self.count_rows([row], -1)
                tables.drop_row(row.id)
        for row in update:
            if row.id in tables.rows:
                self.count_rows([tables.rows[row.id]], -1)
                self.put_row(copied(row))
                self.count_rows([row], 1)
        there = {(row.task, row.scope) for row in tables.rows_of(deployment=deployment, graph=graph)}
        for row in insert:
            if row.id in tables.rows or (row.task, row.scope) in there:
                raise Conflict(f"it is there already: {row.task} on scope {row.scope}")
            there.add((row.task, row.scope))
            self.put_row(copied(row))
            self.count_rows([row], 1)
        for id in [id for id, old in tables.barriers.items() if (old.deployment, old.graph) == (deployment, graph)]:
            del tables.barriers[id]
        tables.barriers.update({found.id: copy.copy(found) for found in barriers})
        if deployment in tables.generations:
            tables.generations[deployment] += 1
        self.tell_racks({row.rack for row in (*insert, *update) if row.state is State.TODO})
        if any(found.open and found.children for found in barriers):
            self.tell("barrier", "")

    def _fresh(self, count: int) -> range:
        first = self.tables.last_id + 1
        self.tables.last_id += count
        return range(first, first + count)
