"""How many node tasks are in which state, per deployment and rack: kept with every move, never counted anew.

A transaction adds what it changes as a few rows of its own, so that no two wait for each other at one counter; a
conductor folds them into the counts. Who reads takes counts and what is not folded yet together, at one moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from rackwright.core.node_task import Moved, State

Place = tuple[int, int, State]
"""Deployment, rack (0: none) and state: what node tasks are counted by."""


def net(moves: Iterable[Moved]) -> dict[Place, int]:
    """What the moves change in the counts, in the order of places; what cancels out is left out."""
    counts: Counter[Place] = Counter()
    for moved in moves:
        rack = moved.rack or 0
        counts[moved.deployment, rack, moved.was] -= 1
        counts[moved.deployment, rack, moved.to] += 1
    return {place: counts[place] for place in sorted(counts) if counts[place]}


class RollupErrands(Protocol):
    """The part of the store's port that is about roll-ups."""

    async def fold_rollups(self, limit: int) -> int:
        """Fold at most ``limit`` of the changes that transactions have added into the counts; gives how many were."""

    async def recount(self) -> dict[Place, int]:
        """Count all node tasks and compare; put right what differs. Gives the differences: there should be none. One
        recount after the other."""
