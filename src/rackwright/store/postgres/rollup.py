"""Roll-ups in PostgreSQL: what a transaction changes in the counts is appended, and folded later."""

from __future__ import annotations

from collections.abc import Iterable

from rackwright.core.node_task import Moved, State
from rackwright.core.rollup import Place, net
from rackwright.store.postgres.session import Connection, columns
from rackwright.store.postgres.work import Work


class RollupWork(Work):
    """The part of a transaction that keeps the roll-ups. What its moves change in the counts is written once, at the
    commit, or before a statement that looks at counts: much of it cancels out by then."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._counted: list[Moved] = []

    async def before(self, statement: str) -> None:
        """See ``Session``."""
        await super().before(statement)
        if self._counted and "rollup" in statement:
            await self.write_counts()

    def count_moves(self, moves: Iterable[Moved]) -> None:
        """Add what these moves change in the counts."""
        self._counted += moves

    async def write_counts(self) -> None:
        """Write what has been added."""
        moves, self._counted = self._counted, []
        counts = net(moves)
        if counts:
            rows = [(deployment, rack, int(state), n) for (deployment, rack, state), n in counts.items()]
            await self.run("add_counts", *columns(rows, 4))

    async def fold_rollups(self, limit: int) -> int:
        """See the port."""
        return int(await self.value("fold_rollups", limit))

    async def recount(self) -> dict[Place, int]:
        """See the port. A statement of its own takes the lock: the next one then sees what came before."""
        await self.run("lock_recount")
        found = await self.rows("recount")
        await self.run("drop_empty_rollups")
        return {(deployment, rack, State(state)): n for deployment, rack, state, n in found}
