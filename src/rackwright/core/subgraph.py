"""Parts of a graph: what lies between some tasks and others, and nothing else runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion
from rackwright.core.relations import Relation, Side, relations
from rackwright.core.resolution import NodeId

Instances = dict[str, set[NodeId]]
"""Instances as places by task."""

_NUMBERS = re.compile(r"([0-9]+)-([0-9]+)")


class Subgraph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What follows ``start`` and comes before ``end``, both included. Items are tasks, or tasks on some nodes
    (``netconfig/1-3,5``). An empty side is no bound."""

    start: tuple[str, ...] = ()
    end: tuple[str, ...] = ()


def within(expansion: Expansion, subgraphs: Sequence[Subgraph]) -> Instances:
    """Give the instances in any of these parts. Raises InvalidInput for an item that names no instance."""
    drawn = list(relations(expansion))
    found: Instances = {}
    for part in subgraphs:
        bounds = []
        if part.start:
            bounds.append(_reached(chosen(expansion, part.start), drawn, lambda one: (one.before, one.after)))
        if part.end:
            bounds.append(_reached(chosen(expansion, part.end), drawn, lambda one: (one.after, one.before)))
        for task, placement in expansion.placements.items():
            inside = set(placement.nodes).intersection(*(bound.get(task, set()) for bound in bounds))
            found.setdefault(task, set()).update(inside)
    return found


def chosen(expansion: Expansion, items: Iterable[str]) -> Instances:
    """The instances that these items (``TASK`` or ``TASK/NODE,NODE``) name. Raises InvalidInput as ``within`` does."""
    found: Instances = {}
    for item in items:
        task, _, nodes = item.partition("/")
        placement = expansion.placements.get(task)
        chosen = set(placement.nodes) if placement is not None else set()
        if nodes:
            chosen &= {name for part in nodes.split(",") for name in _named(part)}
        if not chosen:
            raise InvalidInput(f"no instance of the graph is called {item}", mend="write TASK or TASK/NODE,NODE")
        found.setdefault(task, set()).update(chosen)
    return found


def _named(part: str) -> Iterable[NodeId]:
    numbers = _NUMBERS.fullmatch(part)
    if numbers is None:
        return (part,)
    return map(str, range(int(numbers[1]), int(numbers[2]) + 1))


def _reached(
    start: Instances, drawn: Iterable[Relation], ends: Callable[[Relation], tuple[Side, Side]]
) -> Mapping[str, set[NodeId]]:
    """Give everything that can be reached from these instances; ``ends`` says which way relations are walked."""
    leaving: dict[str, list[tuple[Relation, Side, Side]]] = {}
    for relation in drawn:
        here, there = ends(relation)
        leaving.setdefault(here.task, []).append((relation, here, there))
    found = {task: set(nodes) for task, nodes in start.items()}
    queue = list(found)
    while queue:
        task = queue.pop()
        for relation, here, there in leaving.get(task, ()):
            known = found.setdefault(there.task, set())
            before = len(known)
            if relation.each:
                known.update(found[task].intersection(here.nodes))
            elif not found[task].isdisjoint(here.nodes):
                known.update(there.nodes)
            if len(known) > before and there.task not in queue:
                queue.append(there.task)
    return found
