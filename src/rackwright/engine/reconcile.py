"""From a plan to rows: what is new, what keeps its place, what goes. Pure; works on rows that are locked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rackwright.core import annealing
from rackwright.core.errors import Conflict
from rackwright.core.node_task import Barrier, Neighbourhood, NodeTask, State
from rackwright.core.plan import Plan

Place = tuple[int, int | None]
"""Scope and rack (ids) of a vertex: whose task it is and who carries it out."""


class Shape(msgspec.Struct):
    """The new shape of a graph, as rows. ``near`` holds all of them, new ones too."""

    near: Neighbourhood
    inserted: list[NodeTask]
    kept: list[NodeTask]
    removed: list[NodeTask]
    before: dict[int, NodeTask]
    """The kept rows as they were."""

    def updated(self) -> list[NodeTask]:
        """Kept rows that differ from before."""
        return [row for row in self.kept if row != self.before[row.id]]


def reconcile(
    plan: Plan,
    rows: Sequence[NodeTask],
    places: Mapping[int, Place],
    *,
    deployment: int,
    graph: str,
    fresh: tuple[range, range],
) -> Shape:
    """Fit rows to a plan. ``places`` gives the place of each task vertex by index; ``fresh`` holds ids for as many new
    node tasks and barriers as the plan has vertices of each kind.

    Raises Conflict when a row that has to go is running.
    """
    existing = {(row.scope, row.task): row for row in rows}
    node_ids, barrier_ids = iter(fresh[0]), iter(fresh[1])
    near = Neighbourhood()
    shape = Shape(near, [], [], [], {})
    ids: list[int] = []
    for index, vertex in enumerate(plan.vertices):
        if vertex.task is None:
            ids.append(next(barrier_ids))
            near.barriers[ids[-1]] = Barrier(id=ids[-1], deployment=deployment, graph=graph, name=vertex.name)
            continue
        scope, rack = places[index]
        row = existing.pop((scope, vertex.task.id), None)
        if row is None:
            row = NodeTask(
                id=next(node_ids), deployment=deployment, graph=graph, task=vertex.task.id, scope=scope, rack=rack
            )
            shape.inserted.append(row)
        else:
            shape.before[row.id] = msgspec.structs.replace(row)
            shape.kept.append(row)
        if row.state is not State.TRANSITION:
            row.rack = rack
        row.priority, row.critical, row.offline = vertex.priority, vertex.task.critical, vertex.task.offline
        near.rows[row.id] = row
        ids.append(row.id)
    shape.removed = list(existing.values())
    _refuse_running(shape.removed)
    _connect(plan, ids, near)
    # That rows are new is told by the shape, not as so many moves.
    for row in shape.inserted:
        row.state = State.TODO if annealing.activatable(near, row) else State.BLOCKED
    for row in shape.kept:
        annealing.settle(near, row)
    return shape


def _refuse_running(removed: Sequence[NodeTask]) -> None:
    running = sorted(row.task for row in removed if row.state is State.TRANSITION)
    if running:
        raise Conflict(
            f"{', '.join(running[:5])} would be removed while running",
            mend="wait until it has ended, or stop the deployment and wait",
        )


def _connect(plan: Plan, ids: Sequence[int], near: Neighbourhood) -> None:
    """Write edges and counters: parents come before children, so one pass tells which barriers are open."""
    tasks = bytes(vertex.task is not None for vertex in plan.vertices)
    active = [False] * len(plan.vertices)
    for index, vertex in enumerate(plan.vertices):
        id = ids[index]
        below, above = plan.below[index], plan.above[index]
        below_rows = tuple(sorted(ids[child] for child in below if tasks[child]))
        below_barriers = tuple(sorted(ids[child] for child in below if not tasks[child]))
        # A node task counts node tasks only, for it looks at its gates itself.
        waits = sum(not active[parent] for parent in above if vertex.task is None or tasks[parent])
        if vertex.task is None:
            barrier = near.barriers[id]
            barrier.waits, barrier.children, barrier.feeds = waits, below_rows, below_barriers
            barrier.released = len(below_rows) if waits == 0 else 0
            active[index] = waits == 0
        else:
            row = near.rows[id]
            row.waits, row.children, row.feeds = waits, below_rows, below_barriers
            row.gates = tuple(sorted(ids[parent] for parent in above if not tasks[parent]))
            active[index] = row.state is State.ACTIVE
