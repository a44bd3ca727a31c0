"""What both stores do alike with the neighbourhood of a move."""

from __future__ import annotations

from collections.abc import Iterable

from rackwright.core.node_task import Barrier, NodeTask


def give_children(rows: Iterable[NodeTask], barriers: dict[int, Barrier]) -> None:
    """Give the barriers those children that are among these rows, and no others.

    A barrier may have a hundred thousand children; reading them at every move would cost more than the move.
    """
    found: dict[int, list[int]] = {}
    for row in rows:
        for gate in row.gates:
            found.setdefault(gate, []).append(row.id)
    for id, barrier in barriers.items():
        barrier.children = tuple(sorted(found.get(id, ())))
