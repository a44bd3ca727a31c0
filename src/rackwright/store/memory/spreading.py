"""Errors that spread in slices, in memory."""

from __future__ import annotations

from collections.abc import Collection

from rackwright.core.node_task import Barrier, Neighbourhood, NodeTask, State
from rackwright.store.memory.work import Work

ENDED_OR_READY = (State.ERROR, State.ACTIVE, State.TODO)


class SpreadingWork(Work):
    """The part of a transaction that is about errors that spread."""

    async def crowded(self, ids: Collection[int], most: int) -> bool:
        """See the port."""
        return len(set(self._descendants(ids)) - set(ids)) > most

    async def spread_out(self) -> int:
        """See the port."""
        sources = sorted(id for id, is_source in self.tables.spreading if is_source)
        if not sources:
            return 0
        deployment = self.tables.spreading[sources[0], True][0]
        taken = [id for id in sources if self.tables.spreading[id, True][0] == deployment]
        reason = min(self.tables.spreading.pop((id, True))[2] for id in taken)
        for id in self._descendants(taken):
            row = self.tables.rows.get(id)
            if row is not None and id not in taken and row.state in ENDED_OR_READY:
                self.tables.spreading.setdefault((id, False), (row.deployment, row.priority, reason))
        return len(taken)

    async def spreading(self, limit: int) -> list[tuple[int, str]]:
        """See the port."""
        found = [
            (-priority, id, why) for (id, source), (_, priority, why) in self.tables.spreading.items() if not source
        ]
        return [(id, why) for _, id, why in sorted(found)[:limit]]

    async def spread_done(self, ids: Collection[int]) -> None:
        """See the port."""
        for id in ids:
            self.tables.spreading.pop((id, False), None)

    def _save_sources(self, near: Neighbourhood) -> None:
        """Write down which of the rows spread their errors."""
        for id, reason in near.spread.items():
            row = near.rows[id]
            self.tables.spreading.setdefault((id, True), (row.deployment, row.priority, reason))
        if near.spread:
            self.tell("barrier", "")

    def _descendants(self, ids: Collection[int]) -> list[int]:
        rows, barriers = self.tables.rows, self.tables.barriers
        found, seen = set(ids), set[int]()
        todo: list[NodeTask | Barrier] = [rows[id] for id in ids if id in rows]
        while todo:
            parent = todo.pop()
            children = [id for id in parent.children if id not in found]
            feeds = [id for id in parent.feeds if id not in seen]
            found.update(children)
            seen.update(feeds)
            todo += [rows[id] for id in children if id in rows]
            todo += [barriers[id] for id in feeds if id in barriers]
        return sorted(found)
