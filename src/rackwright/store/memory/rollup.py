"""Roll-ups in memory: counted with every move as PostgreSQL counts them, so that one suite proves both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rackwright.core.node_task import Moved, NodeTask
from rackwright.core.rollup import Place, net
from rackwright.store.memory.work import Work


class RollupWork(Work):
    """The part of a transaction that keeps the roll-ups."""

    async def count_moves(self, moves: Sequence[Moved]) -> None:
        """Add what these moves change in the counts."""
        self._add(net(moves))

    def count_rows(self, rows: Sequence[NodeTask], times: int) -> None:
        """Add these rows as they stand now, so many times each."""
        counts = Counter((row.deployment, row.rack or 0, row.state) for row in rows)
        self._add({place: times * n for place, n in counts.items()})

    async def fold_rollups(self, limit: int) -> int:
        """See the port: there is nothing to fold."""
        return 0

    async def recount(self) -> dict[Place, int]:
        """See the port."""
        counted = Counter((row.deployment, row.rack or 0, row.state) for row in self.tables.rows.values())
        counted.subtract(self.tables.rollup)
        differs = {place: counted[place] for place in sorted(counted) if counted[place]}
        self._add(differs)
        return differs

    def _add(self, counts: dict[Place, int]) -> None:
        rollup = Counter(self.tables.rollup)
        rollup.update(counts)
        self.tables.rollup = {place: n for place, n in rollup.items() if n}
