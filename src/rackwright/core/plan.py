"""The plan: node tasks and barriers with the edges between them, built from what a catalog expands to.

An all-to-all relation of n parents and m children becomes a barrier: n + m edges instead of n times m. A stage is a
barrier already. What a task reads of what another writes is an edge too, so an order need not be said twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rackwright.core.catalog import Read, Task, Write
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion, Instance, NodeId
from rackwright.core.facts import touches

Key = tuple[NodeId, str]
"""A vertex by name: node (None: the deployment, ``rack:<name>``: a rack) and task."""

Racks = Mapping[NodeId, str | None]
"""The rack's name of each member node."""

FAN_OUT = 64
"""A parent of more children than this gets a barrier, so that its end is not one huge update."""


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
    for parents, children in (*_relations(expansion), *_flows(expansion, racks)):
        draft.relate(parents, children)
    return _ordered(draft.vertices)


class _Draft:
    """Vertices under construction."""

    def __init__(self, expansion: Expansion) -> None:
        self.vertices: list[Vertex] = []
        self.index: dict[Key, int] = {}
        for key, instance in expansion.instances.items():
            stage = instance.task.type == "stage"
            self.index[key] = self._add(key, None if stage else instance.task)

    def relate(self, parents: Sequence[Key], children: Sequence[Key]) -> None:
        """Let every child wait for every parent, itself left out."""
        above = [self.index[key] for key in parents]
        below = [self.index[key] for key in children]
        overlap = set(above) & set(below)
        product = len(above) * len(below)
        if overlap or (product <= len(above) + len(below) and len(below) <= FAN_OUT):
            for parent in above:
                self._edges(parent, (child for child in below if child != parent))
            return
        barrier = self._barrier(parents, children)
        for parent in above:
            self._edges(parent, (barrier,))
        self._edges(barrier, below)

    def _barrier(self, parents: Sequence[Key], children: Sequence[Key]) -> int:
        name = f"{'|'.join(sorted({key[1] for key in parents}))} > {'|'.join(sorted({key[1] for key in children}))}"
        return self._add((None, name), None)

    def _add(self, key: Key, task: Task | None) -> int:
        self.vertices.append(Vertex(key, task))
        return len(self.vertices) - 1

    def _edges(self, parent: int, children: Iterable[int]) -> None:
        for child in children:
            self.vertices[parent].below.add(child)
            self.vertices[child].above.add(parent)


def _relations(expansion: Expansion) -> Iterable[tuple[Sequence[Key], Sequence[Key]]]:
    """Every relation once, as (parents, children): instances that share a target are gathered first. A target's nodes
    are one object for all that share the relation, so its identity tells relations apart at no cost."""
    gathered: dict[tuple[str, bool, str, int], tuple[tuple[NodeId, ...], list[Key]]] = {}
    for key, instance in expansion.instances.items():
        for requires, targets in ((True, instance.requires), (False, instance.required_for)):
            for target in targets:
                relation = (instance.task.id, requires, target.task, id(target.nodes))
                gathered.setdefault(relation, (target.nodes, []))[1].append(key)
    for (_, requires, task, _), (nodes, keys) in gathered.items():
        others = [(node, task) for node in nodes]
        yield (others, keys) if requires else (keys, others)


def _flows(expansion: Expansion, racks: Racks) -> Iterable[tuple[Sequence[Key], Sequence[Key]]]:
    """Edges from the writers of facts to their readers."""
    by_task: dict[str, list[Instance]] = {}
    for instance in expansion.instances.values():
        by_task.setdefault(instance.task.id, []).append(instance)
    tasks = {name: instances[0].task for name, instances in by_task.items()}
    writers = [task for task in tasks.values() if task.writes]
    for reader in tasks.values():
        for writer in writers:
            if writer is not reader and any(
                flows(write, read) for write in writer.writes for read in reader.reads.values()
            ):
                yield from _flow(writer, by_task[writer.id], reader, by_task[reader.id], racks)


def flows(write: Write, read: Read) -> bool:
    """True when a task may see by ``read`` what another puts by ``write``."""
    if not touches(read.path, write.path):
        return False
    written = "node" if write.scope == "nodes" else write.scope
    seen = "node" if read.scope == "nodes" else read.scope
    return written == seen


def _flow(
    writer: Task, writers: Sequence[Instance], reader: Task, readers: Sequence[Instance], racks: Racks
) -> Iterable[tuple[Sequence[Key], Sequence[Key]]]:
    """Pair writers and readers that share a place: the same node, the same rack, or the whole deployment."""

    def place(task: Task, node: NodeId) -> object:
        if "deployment" in (writer.scope, reader.scope):
            return None
        if writer.scope == reader.scope:
            return node
        return node if task.scope == "rack" else f"rack:{racks.get(node)}"

    places: dict[object, tuple[list[Key], list[Key]]] = {}
    for instance in writers:
        places.setdefault(place(writer, instance.node), ([], []))[0].append((instance.node, writer.id))
    for instance in readers:
        places.setdefault(place(reader, instance.node), ([], []))[1].append((instance.node, reader.id))
    yield from ((above, below) for above, below in places.values() if above and below)


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
