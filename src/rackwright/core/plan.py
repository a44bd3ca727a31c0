"""The plan: node tasks and barriers with the edges between them, built from what a catalog expands to.

An all-to-all relation of n parents and m children becomes a barrier: n + m edges instead of n times m. A stage is a
barrier already. What a task reads of what another writes is an edge too, so an order need not be said twice.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion
from rackwright.core.relations import Racks, Relation, Side, flow, relations
from rackwright.core.resolution import NodeId

Key = tuple[NodeId, str]
"""A vertex by name: node (None: the deployment, ``rack:<name>``: a rack) and task."""


class Vertex(msgspec.Struct, gc=False):
    """A node task or (``task`` None) a barrier of the plan. ``priority`` is the length of the longest path below."""

    node: NodeId
    name: str
    task: Task | None
    priority: int = 0

    @property
    def key(self) -> Key:
        """Its node and task, or the name of the barrier."""
        return self.node, self.name


class Edges:
    """For each vertex, by index, the vertices at the other ends of its edges: ascending, each once.

    All of them lie in one array of four bytes each: a set for every vertex would take fifty times as much.
    """

    def __init__(self, count: int, origins: Sequence[int], ends: Sequence[int]) -> None:
        """``count`` vertices; the i-th edge goes from the i-th of ``origins`` to the i-th of ``ends``."""
        counts = array("i", bytes(4 * (count + 1)))
        for origin in origins:
            counts[origin + 1] += 1
        self._starts = array("i", accumulate(counts))
        self._ends = array("i", bytes(4 * len(ends)))
        free = array("i", self._starts)
        for origin, end in zip(origins, ends, strict=True):
            self._ends[free[origin]] = end
            free[origin] += 1
        self._tidy(count)

    def __len__(self) -> int:
        """How many edges there are in all."""
        return len(self._ends)

    def __getitem__(self, index: int) -> array[int]:
        """The other ends of one vertex's edges."""
        return self._ends[self._starts[index] : self._starts[index + 1]]

    def _tidy(self, count: int) -> None:
        """Sort the edges of each vertex, and leave out what is there twice."""
        filled = 0
        starts = array("i", self._starts)
        for index in range(count):
            first, last = starts[index], starts[index + 1]
            ends = self._ends[first:last]
            if last - first > 1:
                ends = array("i", sorted(set(ends)))
            self._starts[index] = filled
            self._ends[filled : filled + len(ends)] = ends
            filled += len(ends)
        self._starts[count] = filled
        del self._ends[filled:]


class Plan(msgspec.Struct):
    """Vertices in an order in which every parent comes before its children, with their children and their parents."""

    vertices: list[Vertex]
    below: Edges
    above: Edges

    @property
    def edges(self) -> int:
        """How many edges there are in all."""
        return len(self.below)


def build(expansion: Expansion, racks: Racks) -> Plan:
    """Turn instances and their relations into a plan; ``racks`` names the rack of each member.

    Raises InvalidInput that names the path when the tasks wait for each other in a ring.
    """
    draft = _Draft(expansion)
    for relation in (*relations(expansion), *flow(expansion, racks)):
        draft.relate(relation)
    return _ordered(draft)


class _Draft:
    """Vertices under construction: those of one task follow each other, in the order of its places."""

    def __init__(self, expansion: Expansion) -> None:
        self.vertices: list[Vertex] = []
        self.parents, self.children = array("i"), array("i")
        """The two ends of every edge."""
        self._first: dict[str, int] = {}
        self._places = {name: placement.nodes for name, placement in expansion.placements.items()}
        self._index: dict[int, dict[NodeId, int]] = {}
        for placement in expansion.placements.values():
            name = placement.task.id
            task = None if placement.task.type == "stage" else placement.task
            self._first[name] = len(self.vertices)
            self.vertices += [Vertex(node, name, task) for node in placement.nodes]

    def relate(self, relation: Relation) -> None:
        """Let the places of one side wait for those of the other, none for itself."""
        above, below = self._vertices(relation.before), self._vertices(relation.after)
        if relation.each:
            if len(above) != len(below):
                raise ValueError(f"{relation.before.task} and {relation.after.task} stand on different places")
            self.parents.extend(above)
            self.children.extend(below)
        elif relation.gathers:
            barrier = len(self.vertices)
            self.vertices.append(Vertex(None, f"{relation.before.task} > {relation.after.task}", None))
            self._edges(above, (barrier,))
            self._edges((barrier,), below)
        else:
            self._edges(above, below)

    def _vertices(self, side: Side) -> Sequence[int]:
        """The vertices of a side: those of a task that is meant with all its places are in a row."""
        first, places = self._first[side.task], self._places[side.task]
        if side.nodes is places:
            return range(first, first + len(places))
        index = self._index.get(id(places))
        if index is None:
            index = self._index[id(places)] = {node: number for number, node in enumerate(places)}
        return [first + index[node] for node in side.nodes]

    def _edges(self, parents: Iterable[int], children: Sequence[int]) -> None:
        for parent in parents:
            others = [child for child in children if child != parent]
            self.parents.extend([parent] * len(others))
            self.children.extend(others)


def _ordered(draft: _Draft) -> Plan:
    """Sort so that parents come first (smallest old index among the free ones), and weigh by the longest path."""
    count = len(draft.vertices)
    below = Edges(count, draft.parents, draft.children)
    order = _order(count, below)
    if len(order) < count:
        raise _ring(draft.vertices, Edges(count, draft.children, draft.parents), set(range(count)).difference(order))
    place = array("i", bytes(4 * count))
    for new, old in enumerate(order):
        place[old] = new
    parents = array("i", (place[parent] for parent in draft.parents))
    children = array("i", (place[child] for child in draft.children))
    vertices = [draft.vertices[old] for old in order]
    plan = Plan(vertices, Edges(count, parents, children), Edges(count, children, parents))
    for index in range(count - 1, -1, -1):
        ends = plan.below[index]
        if ends:
            vertices[index].priority = 1 + max(vertices[child].priority for child in ends)
    return plan


def _order(count: int, below: Edges) -> array[int]:
    """The vertices that can be put in an order; those that wait for each other in a ring are left out."""
    waits = array("i", bytes(4 * count))
    for index in range(count):
        for child in below[index]:
            waits[child] += 1
    free = [index for index in range(count) if waits[index] == 0]
    order = array("i")
    while free:
        index = heapq.heappop(free)
        order.append(index)
        for child in below[index]:
            waits[child] -= 1
            if waits[child] == 0:
                heapq.heappush(free, child)
    return order


def _ring(vertices: list[Vertex], above: Edges, left: set[int]) -> InvalidInput:
    """Find one ring among the vertices that never became free: each of them has a parent among them."""
    path: list[int] = []
    at = min(left)
    while at not in path:
        path.append(at)
        at = min(left.intersection(above[at]))
    ring = [*path[path.index(at) :], at]
    names = [f"{task}@{node or 'deployment'}" for node, task in (vertices[index].key for index in reversed(ring))]
    return InvalidInput(
        "these tasks wait for each other: " + " > ".join(names),
        where=next((str(task.source) for task in (vertices[index].task for index in ring) if task is not None), ""),
        mend="remove one of these relations",
    )
