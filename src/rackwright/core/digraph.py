"""Directed graphs of anything: knots of cycles, the shortest cycle in one, and edges that say nothing new."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import TypeVar

_V = TypeVar("_V", bound=Hashable)


def knots(follows: Mapping[_V, Collection[_V]]) -> list[list[_V]]:
    """The strongly connected components that hold a cycle (Tarjan 1972), by the vertices reachable in one step."""
    index: dict[_V, int] = {}
    low: dict[_V, int] = {}
    stack: list[_V] = []
    waiting: set[_V] = set()
    found: list[list[_V]] = []

    def enter(vertex: _V) -> tuple[_V, Iterator[_V]]:
        index[vertex] = low[vertex] = len(index)
        stack.append(vertex)
        waiting.add(vertex)
        return vertex, iter(follows.get(vertex, ()))

    for root in follows:
        path = [enter(root)] if root not in index else []
        while path:
            vertex, below = path[-1]
            for other in below:
                if other not in index:
                    path.append(enter(other))
                    break
                if other in waiting:
                    low[vertex] = min(low[vertex], index[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[vertex])
                if low[vertex] == index[vertex]:
                    component = _pop_until(vertex, stack, waiting)
                    if len(component) > 1 or vertex in follows.get(vertex, ()):
                        found.append(component)
    return found


def shortest_cycle(knot: Sequence[_V], follows: Mapping[_V, Collection[_V]]) -> tuple[_V, ...]:
    """The shortest cycle within a knot: each vertex is followed by the next, the last by the first."""
    inside = set(knot)
    best: tuple[_V, ...] = ()
    for start in knot:
        path = _way_back(start, inside, follows)
        if not best or len(path) < len(best):
            best = path
    return best


def _way_back(start: _V, inside: set[_V], follows: Mapping[_V, Collection[_V]]) -> tuple[_V, ...]:
    came_from: dict[_V, _V] = {}
    queue = deque([start])
    while queue:
        vertex = queue.popleft()
        for other in follows.get(vertex, ()):
            if other == start:
                return tuple(reversed(list(_trail(vertex, start, came_from))))
            if other in inside and other not in came_from:
                came_from[other] = vertex
                queue.append(other)
    return ()


def _trail(vertex: _V, start: _V, came_from: Mapping[_V, _V]) -> Iterator[_V]:
    while vertex != start:
        yield vertex
        vertex = came_from[vertex]
    yield start


def _pop_until(vertex: _V, stack: list[_V], waiting: set[_V]) -> list[_V]:
    component: list[_V] = []
    while not component or component[-1] != vertex:
        component.append(stack.pop())
        waiting.discard(component[-1])
    return component[::-1]


def without_shortcuts(kept: Collection[_V], edges: Iterable[tuple[_V, _V]]) -> list[tuple[_V, _V]]:
    """The fewest edges that order the ``kept`` vertices as the given ones do, also through vertices left out.

    The graph must have no cycle (graphlib.CycleError is raised).
    """
    follows: dict[_V, set[_V]] = {vertex: set() for vertex in kept}
    for before, after in edges:
        follows.setdefault(before, set()).add(after)
        follows.setdefault(after, set())
    order = list(TopologicalSorter(follows).static_order())
    wanted, below = set(kept), dict[_V, set[_V]]()
    nearest: dict[_V, set[_V]] = {}
    for vertex in order:
        reached = set[_V]()
        for after in follows[vertex]:
            reached |= {after} if after in wanted else nearest[after]
        beyond = set[_V]().union(*(below[after] for after in reached))
        nearest[vertex] = reached - beyond
        below[vertex] = beyond | reached
    return [(before, after) for before in kept for after in kept if after in nearest[before]]
