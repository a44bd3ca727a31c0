"""The plan: node tasks and barriers with the edges between them, built from what a catalog expands to.

An all-to-all relation of n parents and m children becomes a barrier: n + m edges instead of n times m. A stage is a
barrier already. What a task reads of what another writes is an edge too, so an order need not be said twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion
from rackwright.core.relations import Racks, Relation, Side, flow, relations
from rackwright.core.resolution import NodeId

Key = tuple[NodeId, str]
"""A vertex by name: node (None: the deployment, ``rack:<name>``: a rack) and task."""


class Vertex(msgspec.Struct):
    """A node task or (``task`` None) a barrier of the plan; ``below`` and ``above`` are indices of vertices."""

    key: Key
    task: Task | None
    below: set[int] = msgspec.field(default_factory=set)
    above: set[int] = msgspec.field(default_factory=set)
    priority: int = 0


class Plan(msgspec.Struct):
    """Vertices in an order in which every parent comes before its children."""

    vertices: list[Vertex]

    @property
    def edges(self) -> int:
        """How many edges there are in all."""
        return sum(len(vertex.below) for vertex in self.vertices)


def build(expansion: Expansion, racks: Racks) -> Plan:
    """Turn instances and their relations into a plan; ``racks`` names the rack of each member.

    Raises InvalidInput that names the path when the tasks wait for each other in a ring.
    """
    draft = _Draft(expansion)
    for relation in (*relations(expansion), *flow(expansion, racks)):
        draft.relate(relation)
    return _ordered(draft.vertices)


class _Draft:
    """Vertices under construction: those of one task follow each other, in the order of its places."""

    def __init__(self, expansion: Expansion) -> None:
        self.vertices: list[Vertex] = []
        self._index: dict[str, dict[NodeId, int]] = {}
        for placement in expansion.placements.values():
            first = len(self.vertices)
            task = None if placement.task.type == "stage" else placement.task
            self._index[placement.task.id] = {node: first + i for i, node in enumerate(placement.nodes)}
            self.vertices += [Vertex((node, placement.task.id), task) for node in placement.nodes]

    def relate(self, relation: Relation) -> None:
        """Let the places of one side wait for those of the other, none for itself."""
        above, below = self._vertices(relation.before), self._vertices(relation.after)
        if relation.each:
            for parent, child in zip(above, below, strict=True):
                self._edges(parent, (child,))
        elif relation.gathers:
            barrier = len(self.vertices)
            self.vertices.append(Vertex((None, f"{relation.before.task} > {relation.after.task}"), None))
            for parent in above:
                self._edges(parent, (barrier,))
            self._edges(barrier, below)
        else:
            for parent in above:
                self._edges(parent, (child for child in below if child != parent))

    def _vertices(self, side: Side) -> Sequence[int]:
        index = self._index[side.task]
        return [index[node] for node in side.nodes]

    def _edges(self, parent: int, children: Iterable[int]) -> None:
        for child in children:
            self.vertices[parent].below.add(child)
            self.vertices[child].above.add(parent)


def _ordered(vertices: list[Vertex]) -> Plan:
    """Sort so that parents come first (smallest old index among the free ones), and weigh by the longest path."""
    waits = [len(vertex.above) for vertex in vertices]
    free = [index for index, count in enumerate(waits) if count == 0]
    heapq.heapify(free)
    order: list[int] = []
    while free:
        index = heapq.heappop(free)
        order.append(index)
        for child in vertices[index].below:
            waits[child] -= 1
            if waits[child] == 0:
                heapq.heappush(free, child)
    if len(order) < len(vertices):
        raise _ring(vertices, {index for index, count in enumerate(waits) if count > 0})
    for index in reversed(order):
        vertex = vertices[index]
        vertex.priority = max((vertices[child].priority + 1 for child in vertex.below), default=0)
    place = {old: new for new, old in enumerate(order)}
    for vertex in vertices:
        vertex.below = {place[child] for child in vertex.below}
        vertex.above = {place[parent] for parent in vertex.above}
    return Plan([vertices[index] for index in order])


def _ring(vertices: list[Vertex], left: set[int]) -> InvalidInput:
    """Find one ring among the vertices that never became free: each of them has a parent among them."""
    path: list[int] = []
    at = min(left)
    while at not in path:
        path.append(at)
        at = min(vertices[at].above & left)
    ring = [*path[path.index(at) :], at]
    names = [f"{task}@{node or 'deployment'}" for node, task in (vertices[index].key for index in reversed(ring))]
    return InvalidInput(
        "these tasks wait for each other: " + " > ".join(names),
        where=next((str(task.source) for task in (vertices[index].task for index in ring) if task is not None), ""),
        mend="remove one of these relations",
    )
