"""The graph of a catalog's tasks before any node is known: which task follows which, and where the order bites itself.

An edge between two tasks depends on who carries which tag. So the tasks are put on the widest fleet that there can be:
nodes that carry every tag at once, save that ``primary-x`` and ``x`` exclude each other. What does not meet there meets
nowhere, and an order that has no cycle there has none where the roles are bound less densely.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal

import msgspec

from rackwright.core.catalog import Graph, Role, Selector, Task
from rackwright.core.digraph import knots, shortest_cycle
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion, Instance, references
from rackwright.core.linking import expand
from rackwright.core.relations import flows
from rackwright.core.resolution import (
    EVERYONE,
    MASTER,
    Member,
    NodeId,
    Resolution,
    compile_pattern,
    is_pattern,
    matching,
    selector_of,
)
from rackwright.core.role_order import arranged, ring

_Vertex = tuple[NodeId, str]
_PRIMARY = "primary-"
_NO_TAGS = (EVERYONE, MASTER, "self")


EdgeKind = Literal["same", "cross", "fact"]


class Edge(msgspec.Struct, frozen=True):
    """``after`` follows ``before``: on the ``same`` node (or the deployment itself), ``cross`` from node to node, or
    only because it reads a ``fact`` that the other writes."""

    before: str
    after: str
    kind: EdgeKind


class Cycle(msgspec.Struct, frozen=True):
    """Tasks each of which waits for the one before it, and the first for the last.

    ``always``: it is there on any fleet with these tasks; else only where one node carries several of their tags.
    """

    tasks: tuple[str, ...]
    always: bool

    def __str__(self) -> str:
        """``a -> b -> a``."""
        return " -> ".join((*self.tasks, self.tasks[0]))


class TaskGraph(msgspec.Struct, frozen=True):
    """The tasks of one graph with the places where each can be, their edges and cycles."""

    tasks: dict[str, Task]
    """As their catalog has them; what roles add is in the edges only."""
    places: dict[str, frozenset[NodeId]]
    """By task id, places of the widest fleet; empty for groups and for tasks that run nowhere."""
    edges: tuple[Edge, ...]
    resolution: Resolution
    """Whom a selector means in the widest fleet."""

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The edges as (before, after)."""
        return frozenset((edge.before, edge.after) for edge in self.edges)


def task_graph(graph: Graph, roles: Mapping[str, Role]) -> TaskGraph:
    """Make the graph of task types. Faulty regexes and unknown names are left out; lint names them."""
    said = {task.id: task for task in _sound(graph.tasks)}
    tasks = _sound(_arranged(graph, roles))
    members = _widest(_tags(tasks, roles))
    expansion, resolution = expand(tasks, members), Resolution(members)
    places: dict[str, set[NodeId]] = {task.id: set() for task in tasks}
    kinds: dict[tuple[str, str], EdgeKind] = {}
    for (place, before), (own, after) in _relations(expansion):
        near = place in (own, None) or own is None
        pair = (before, after)
        kinds[pair] = "same" if near and kinds.get(pair, "same") == "same" else "cross"
    for name, placement in expansion.placements.items():
        places[name].update(placement.nodes)
    for pair in _between_groups(tasks):
        kinds.setdefault(pair, "same")
    for (_, before), (_, after) in _facts(expansion, resolution):
        kinds.setdefault((before, after), "fact")
    return TaskGraph(
        tasks=said,
        places={name: frozenset(nodes) for name, nodes in places.items()},
        edges=tuple(Edge(before, after, kind) for (before, after), kind in kinds.items()),
        resolution=resolution,
    )


def cycles(graph: Graph, roles: Mapping[str, Role]) -> tuple[Cycle, ...]:
    """Every knot of tasks that wait for one another, each by its shortest cycle, in the order of the catalog."""
    tasks = _sound(_arranged(graph, roles))
    tags = _tags(tasks, roles)
    found = _cycles_on(tasks, _widest(tags))
    if not found:
        return ()
    certain = {frozenset(path) for path in _cycles_on(tasks, _sparse(tags))}
    return tuple(Cycle(path, always=frozenset(path) in certain) for path in found)


def _cycles_on(tasks: Sequence[Task], members: Sequence[Member]) -> list[tuple[str, ...]]:
    follows: dict[_Vertex, dict[_Vertex, None]] = {}
    expansion = expand(tasks, members)
    for before, after in (*_relations(expansion), *_facts(expansion, Resolution(members))):
        follows.setdefault(before, {})[after] = None
    order = {task.id: place for place, task in enumerate(tasks)}
    found: dict[tuple[str, ...], None] = {}
    for knot in knots(follows):
        names = [name for _, name in shortest_cycle(knot, follows)]
        first = names.index(min(names, key=lambda name: order[name]))
        found[tuple(names[first:] + names[:first])] = None
    return sorted(found, key=lambda path: [order[name] for name in path])


def _relations(expansion: Expansion) -> Iterator[tuple[_Vertex, _Vertex]]:
    """Every edge between instances that a relation makes, as (before, after)."""
    for instance in expansion:
        own = (instance.node, instance.task.id)
        for name, node in references(instance, "requires"):
            yield (node, name), own
        for name, node in references(instance, "required_for"):
            yield own, (node, name)


def _facts(expansion: Expansion, resolution: Resolution) -> Iterator[tuple[_Vertex, _Vertex]]:
    """Every edge from the writer of a fact to its reader, as (before, after): on one node, in one rack, or anywhere
    when one of the two works on the whole deployment."""
    by_task: dict[str, list[Instance]] = {}
    for instance in expansion:
        by_task.setdefault(instance.task.id, []).append(instance)
    tasks = [instances[0].task for instances in by_task.values()]
    for writer, reader in product((task for task in tasks if task.writes), (task for task in tasks if task.reads)):
        seen = any(flows(write, read) for write, read in product(writer.writes, reader.reads.values()))
        for one, other in product(by_task[writer.id], by_task[reader.id]) if seen and writer is not reader else ():
            if _share_a_scope(one, other, resolution):
                yield (one.node, writer.id), (other.node, reader.id)


def _share_a_scope(one: Instance, other: Instance, resolution: Resolution) -> bool:
    if None in (one.node, other.node):
        return True
    racks = [{instance.node, *resolution.racks([instance.node or ""])} for instance in (one, other)]
    return one.node == other.node or (one.task.scope != other.task.scope and bool(racks[0] & racks[1]))


def _between_groups(tasks: Sequence[Task]) -> Iterator[tuple[str, str]]:
    """The order that groups state. They are never carried out, but people read it."""
    names = [task.id for task in tasks]
    for group in (task for task in tasks if task.type == "group"):
        for name in group.requires:
            yield from ((before, group.id) for before in matching(name, names))
        for name in group.required_for:
            yield from ((group.id, after) for after in matching(name, names))


# ---- the fleets


def _widest(tags: Collection[str]) -> list[Member]:
    """A node that is primary in everything, and two that are primary in nothing, in two racks."""
    plain = tuple(sorted(tag for tag in tags if not tag.startswith(_PRIMARY)))
    first = tuple(sorted(tag for tag in tags if f"{_PRIMARY}{tag}" not in tags))
    return [
        Member(name="first", tags=first, rack="r1"),
        Member(name="second", tags=plain, rack="r1"),
        Member(name="third", tags=plain, rack="r2"),
    ]


def _sparse(tags: Collection[str]) -> list[Member]:
    """Nodes that carry one tag each: one of every primary tag, two of every other."""
    once = [(tag, tag) for tag in sorted(tags)]
    again = [(f"{tag} again", tag) for tag in sorted(tags) if not tag.startswith(_PRIMARY)]
    return [Member(name=name, tags=(tag,), rack=f"rack of {name}") for name, tag in (*once, *again)]


def _tags(tasks: Iterable[Task], roles: Mapping[str, Role]) -> set[str]:
    """Every tag that tasks or roles name."""
    tags = {tag for role in roles.values() for tag in role.tags or (role.name,)}
    tags |= {f"{_PRIMARY}{tag}" for role in roles.values() for tag in role.primary}
    for task in tasks:
        for name in names_of(selector_of(task)):
            tags.update(_sample(name))
        for entry in (*task.cross_depends, *task.cross_depended_by):
            for key in ("role", "roles", "tags"):
                tags.update(name for name in names_of(entry.get(key)) if not is_pattern(name))
    return {tag for tag in tags if tag not in _NO_TAGS} or {"node"}


def names_of(selector: Selector | list[str] | None) -> tuple[str, ...]:
    """The names and regexes of a selector."""
    if isinstance(selector, str):
        return (selector,)
    return tuple(map(str, selector or ()))


def _sample(name: str) -> tuple[str, ...]:
    """Tags that a name or regex means: of a regex, the plain name inside ``^(primary-)?name$`` where it is so."""
    if not is_pattern(name):
        return (name,)
    word = re.sub(r"\(\??:?primary-\)\?|[\^$/]", "", name)
    samples = (word, f"{_PRIMARY}{word}") if re.fullmatch(r"[\w-]+", word) else ()
    return tuple(tag for tag in samples if compile_pattern(name).match(tag))


# ---- what can be expanded


def _arranged(graph: Graph, roles: Mapping[str, Role]) -> tuple[Task, ...]:
    """The tasks with what their roles add; as they are where the roles stand in a ring, which lint names."""
    return graph.tasks if ring(roles) else arranged(graph, roles).tasks


def _sound(tasks: Iterable[Task]) -> list[Task]:
    """The tasks without what expansion refuses: wrong regexes, groups' unknown tasks, relations of a wrong form."""
    tasks = list(tasks)
    first = {task.id: task for task in reversed(tasks)}
    return [_sound_task(task, first) for task in tasks if first[task.id] is task]


def _sound_task(task: Task, known: Mapping[str, Task]) -> Task:
    return msgspec.structs.replace(
        task,
        tags=_sound_selector(task.tags),
        roles=_sound_selector(task.roles),
        groups=_sound_selector(task.groups),
        requires=tuple(filter(is_sound, task.requires)),
        required_for=tuple(filter(is_sound, task.required_for)),
        cross_depends=tuple(_sound_relations(task.cross_depends)),
        cross_depended_by=tuple(_sound_relations(task.cross_depended_by)),
        tasks=tuple(name for name in task.tasks if name in known),
    )


def is_sound(name: str) -> bool:
    """False for a regex that cannot be compiled."""
    try:
        return not is_pattern(name) or compile_pattern(name) is not None
    except InvalidInput:
        return False


def _sound_selector(selector: Selector | None) -> Selector | None:
    if isinstance(selector, str):
        return selector if is_sound(selector) else None
    return tuple(filter(is_sound, selector)) if selector is not None else None


def _sound_relations(entries: Iterable[Any]) -> Iterator[Any]:
    """Relations that are known beforehand; those that an expression gives are not."""
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            whom = [name for key in ("role", "roles", "tags") for name in names_of(entry.get(key))]
            if all(map(is_sound, (entry["name"], *whom))):
                yield entry
