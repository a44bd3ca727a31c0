"""Letting only a part of a plan run: chosen tasks, or what lies between some tasks and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rackwright.core import annealing
from rackwright.core.expansion import Expansion
from rackwright.core.node_task import NodeTask, State
from rackwright.core.resolution import NodeId
from rackwright.core.subgraph import Subgraph, chosen, within
from rackwright.engine.reconcile import Shape

LEFT_OUT = "left out of its plan: commit it to let it run"


def leave_out(
    shape: Shape,
    expansion: Expansion,
    tasks: Sequence[str],
    subgraphs: Sequence[Subgraph],
    places: Mapping[int, NodeId],
) -> set[int]:
    """Propose what the plan would let run and nobody has chosen, and commit what was left out before and is chosen
    now; gives the ids of what is left out. ``places`` gives the place of each scope. With neither tasks nor subgraphs
    everything is chosen.

    Raises InvalidInput for a task that is not in the graph.
    """
    if not tasks and not subgraphs:
        return set()
    wanted = within(expansion, subgraphs) if subgraphs else {}
    for task, nodes in chosen(expansion, tasks).items():
        wanted.setdefault(task, set()).update(nodes)
    left: set[int] = set()
    fresh = {row.id for row in shape.inserted}
    for row in shape.near.rows.values():
        if places[row.scope] in wanted.get(row.task, ()):
            if row.state is State.PROPOSED and row.reason == LEFT_OUT:
                annealing.commit(shape.near, row)
        elif row.id in fresh:
            # That rows are new is told by the shape, not as moves.
            row.state, row.reason = State.PROPOSED, LEFT_OUT
            left.add(row.id)
        elif _wakes(shape.before[row.id], row):
            annealing.propose(shape.near, row, LEFT_OUT)
            left.add(row.id)
    return left


def _wakes(was: NodeTask, row: NodeTask) -> bool:
    """True when the plan lets a row run that was at rest."""
    return row.state in (State.TODO, State.BLOCKED) and was.state in (State.ACTIVE, State.ERROR)
