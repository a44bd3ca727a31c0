"""The relations of an expansion as few statements about many nodes: who waits for whom, before any edge is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from rackwright.core.catalog import Read, Task, Write
from rackwright.core.expansion import Expansion, Near, Placement, Target
from rackwright.core.facts import touches
from rackwright.core.resolution import NodeId, rack_id

Racks = Mapping[NodeId, str | None]
"""The rack's name of each member node."""

FAN_OUT = 64
"""A parent of more children than this gets a barrier, so that its end is not one huge update."""


class Side(msgspec.Struct, frozen=True):
    """A task at these places."""

    task: str
    nodes: Sequence[NodeId]


class Relation(msgspec.Struct, frozen=True):
    """``after`` waits for ``before``: the i-th place for the i-th (``each``), or every place for every other one."""

    before: Side
    after: Side
    each: bool = False

    @property
    def gathers(self) -> bool:
        """True when a barrier between the two sides says the same with fewer edges, or keeps a single parent from
        having too many children."""
        parents, children = len(self.before.nodes), len(self.after.nodes)
        if self.each or (parents * children <= parents + children and children <= FAN_OUT):
            return False
        return self.before.task != self.after.task or set(self.before.nodes).isdisjoint(self.after.nodes)

    @property
    def edges(self) -> int:
        """How many edges it costs: one for each pair, or through a barrier one for each place of both sides."""
        if self.each:
            return len(self.before.nodes)
        if self.gathers:
            return len(self.before.nodes) + len(self.after.nodes)
        product = len(self.before.nodes) * len(self.after.nodes)
        if self.before.task != self.after.task:
            return product
        return product - len(set(self.before.nodes).intersection(self.after.nodes))


def relations(expansion: Expansion) -> Iterator[Relation]:
    """Give every relation that tasks state, each once."""
    for placement in expansion.placements.values():
        for target, requires, nodes in _by_target(placement):
            own = Side(placement.task.id, nodes)
            for other, mine in _opposite(target, own, expansion):
                before, after = (other, mine) if requires else (mine, other)
                each = target.where is Near.HERE
                if not (each and before.task == after.task):
                    yield Relation(before, after, each)


def flow(expansion: Expansion, racks: Racks) -> Iterator[Relation]:
    """Give the relations from the writers of facts to their readers: on the same node, in the same rack, or, where one
    of the two works on the deployment, anywhere."""
    placements = expansion.placements.values()
    writers = [placement for placement in placements if placement.task.writes]
    for reader in (placement for placement in placements if placement.task.reads):
        for writer in writers:
            if writer is not reader and any(
                flows(write, read) for write in writer.task.writes for read in reader.task.reads.values()
            ):
                yield from _flow(writer, reader, racks)


def flows(write: Write, read: Read) -> bool:
    """True when a task may see by ``read`` what another puts by ``write``."""
    if not touches(read.path, write.path):
        return False
    written = "node" if write.scope == "nodes" else write.scope
    seen = "node" if read.scope == "nodes" else read.scope
    return written == seen


def _by_target(placement: Placement) -> Iterator[tuple[Target, bool, Sequence[NodeId]]]:
    """Give each target of a task once, with the places that have it, and whether these wait for it."""
    places = _by_link(placement)
    gathered: dict[tuple[int, bool], tuple[Target, list[Sequence[NodeId]]]] = {}
    for links, nodes in zip(placement.links, places, strict=True):
        for requires, targets in ((True, links.requires), (False, links.required_for)):
            for target in targets:
                gathered.setdefault((id(target), requires), (target, []))[1].append(nodes)
    for (_, requires), (target, parts) in gathered.items():
        yield target, requires, parts[0] if len(parts) == 1 else [node for part in parts for node in part]


def _by_link(placement: Placement) -> Sequence[Sequence[NodeId]]:
    if len(placement.links) == 1:
        return [placement.nodes]
    places: list[list[NodeId]] = [[] for _ in placement.links]
    for node, link in zip(placement.nodes, placement.linked, strict=True):
        places[link].append(node)
    return places


def _opposite(target: Target, own: Side, expansion: Expansion) -> Iterable[tuple[Side, Side]]:
    """Give what a target means to these places, with those of them that it means it to."""
    if isinstance(target.where, tuple):
        yield Side(target.task, target.where), own
    elif target.where is Near.HERE:
        yield Side(target.task, own.nodes), own
    elif target.where is Near.DEPLOYMENT:
        yield Side(target.task, (None,)), own
    else:
        by_rack: dict[NodeId, list[NodeId]] = {}
        for node in own.nodes:
            by_rack.setdefault(expansion.rack(node), []).append(node)
        for rack, nodes in by_rack.items():
            yield Side(target.task, (rack,)), Side(own.task, nodes)


def _flow(writer: Placement, reader: Placement, racks: Racks) -> Iterable[Relation]:
    """Pair writers and readers that share a place."""
    one, other = writer.task, reader.task
    if "deployment" in (one.scope, other.scope):
        yield Relation(Side(one.id, writer.nodes), Side(other.id, reader.nodes))
        return
    if one.scope == other.scope:
        both = writer.nodes if writer.nodes is reader.nodes else _common(writer.nodes, reader.nodes)
        if both:
            yield Relation(Side(one.id, both), Side(other.id, both), each=True)
        return
    above, below = _by_rack(one, writer.nodes, racks), _by_rack(other, reader.nodes, racks)
    for rack in (rack for rack in above if rack in below):
        yield Relation(Side(one.id, above[rack]), Side(other.id, below[rack]))


def _common(one: Sequence[NodeId], other: Sequence[NodeId]) -> Sequence[NodeId]:
    known = set(other)
    return [node for node in one if node in known]


def _by_rack(task: Task, nodes: Sequence[NodeId], racks: Racks) -> dict[NodeId, list[NodeId]]:
    found: dict[NodeId, list[NodeId]] = {}
    for node in nodes:
        rack = node if task.scope == "rack" else rack_id(str(racks.get(node)))
        found.setdefault(rack, []).append(node)
    return found
