"""Roll-ups in PostgreSQL: what a transaction changes in the counts is appended, and folded later."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.node_task import Moved, State
from rackwright.core.rollup import Place, net
from rackwright.store.postgres.session import columns
from rackwright.store.postgres.work import Work


class RollupWork(Work):
    """The part of a transaction that keeps the roll-ups."""

    async def count_moves(self, moves: Sequence[Moved]) -> None:
        """Add what these moves change in the counts."""
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
