"""Node tasks that were released, and are about to be handed out: written once, with their claim, and not twice."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from typing import Any

from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.store.postgres import records
from rackwright.store.postgres.folding import fold, folded
from rackwright.store.postgres.session import Connection
from rackwright.store.postgres.work import Work

_LOOKS = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO|USING|ANALYZE)\s+node_task\b")
_UNTOUCHED = re.compile(r"-- (?:save_rows|claimable|unfinished|existing)\n")
"""Statements that see the same whether these rows are blocked or todo: others are saved, claims are told of them, and
the last two ask for neither."""


@functools.cache
def looks_at_node_tasks(statement: str) -> bool:
    """Whether a statement would see that released rows are not written yet."""
    return _LOOKS.search(statement) is not None and _UNTOUCHED.match(statement) is None


class ReleasedWork(Work):
    """The part of a transaction that holds released rows back until they are claimed, until another statement looks at
    node tasks, or until the commit. All of them are locked, and blocked in the table."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.held_back: dict[int, NodeTask] = {}

    async def before(self, statement: str) -> None:
        """See ``Session``."""
        await super().before(statement)
        if self.held_back and looks_at_node_tasks(statement):
            await self.write_released()

    async def write_released(self) -> None:
        """Write what was held back."""
        rows, self.held_back = self.held_back, {}
        await self.save_rows([rows[id] for id in sorted(rows)])

    def hold_back(self, near: Neighbourhood, rows: Collection[NodeTask], handing: Collection[int]) -> list[NodeTask]:
        """Hold back those that may be handed out in this transaction; gives the others, which are to be written now."""
        for row in rows:
            self.held_back.pop(row.id, None)
        if not handing:
            return list(rows)
        first: dict[int, State] = {}
        for moved in near.moves:
            first.setdefault(moved.node_task, moved.was)
        now = []
        for row in rows:
            blocked = first.get(row.id) is State.BLOCKED
            if blocked and row.state is State.TODO and row.rack in handing and not row.not_before:
                self.held_back[row.id] = row
            else:
                now.append(row)
        return now

    async def save_rows(self, rows: Collection[NodeTask]) -> None:
        """Write what moves change, in one statement for each state."""
        for state in sorted({row.state for row in rows}):
            await self.fold("save_rows", [records.moved(row) for row in rows if row.state is state])

    async def fold(self, query: str, rows: list[tuple[Any, ...]]) -> None:
        """Run a query over rows whose equal columns travel once."""
        wide, values = fold(rows)
        await self.run_text(folded(query, wide), *values)
