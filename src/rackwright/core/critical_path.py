"""The chain of node tasks that decided how long a run took, from the times that were measured and the edges that held.

Back from the attempt that ended last: what it came after is whatever ended last of all that it had to wait for, which
are its parents, the barriers before it, and what ran before it on the same scope, for a scope carries out one node task
at a time. From there back again, until nothing came before. Each pass over attempts and edges is one loop; only the
order of starts is sorted. Columns are arrays of plain numbers, so that millions of attempts fit.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Literal, NamedTuple

Why = Literal["begin", "edge", "barrier", "scope"]
"""What a step came after: nothing, a parent, the last that a barrier waited for, or what its scope was busy with."""


class Step(NamedTuple):
    """One node task of the chain. It waited from the end of the step before to its own start; seconds, and seconds
    since the epoch."""

    node_task: int
    why: Why
    waited: float
    ran: float
    started_at: float
    ended_at: float


class Course:
    """What ran: the newest attempt of each node task, and what followed what. Barriers have ids of their own kind."""

    def __init__(self) -> None:
        self._place: dict[int, int] = {}
        self._ids, self._scopes = array("q"), array("q")
        self._started, self._ended = array("d"), array("d")
        self._edges = (array("q"), array("q"))
        self._into = (array("q"), array("q"))
        self._from = (array("q"), array("q"))
        self._between = (array("q"), array("q"))

    def __len__(self) -> int:
        """How many node tasks have run."""
        return len(self._ids)

    def attempt(self, node_task: int, scope: int, started: float, ended: float) -> None:
        """Add an attempt; a later one of the same node task takes its place."""
        place = self._place.setdefault(node_task, len(self._ids))
        if place == len(self._ids):
            self._ids.append(node_task)
            self._scopes.append(scope)
            self._started.append(started)
            self._ended.append(ended)
        elif ended >= self._ended[place]:
            self._started[place], self._ended[place] = started, ended

    def edge(self, parent: int, child: int) -> None:
        """One node task follows another."""
        _append(self._edges, parent, child)

    def feeds(self, node_task: int, barrier: int) -> None:
        """A barrier waits for a node task."""
        _append(self._into, node_task, barrier)

    def gates(self, barrier: int, node_task: int) -> None:
        """A node task waits for a barrier."""
        _append(self._from, barrier, node_task)

    def joins(self, barrier: int, below: int) -> None:
        """A barrier waits for a barrier."""
        _append(self._between, barrier, below)

    def decisive(self) -> list[Step]:
        """The chain, the first node task first; empty when nothing ran."""
        if not self._ids:
            return []
        before, why = array("q", [-1]) * len(self._ids), bytearray(len(self._ids))
        self._by_edges(before, why)
        self._by_barriers(before, why)
        self._by_scopes(before, why)
        place = max(range(len(self._ids)), key=self._ended.__getitem__)
        steps = []
        while place >= 0:
            steps.append(self._step(place, before[place], _WHY[why[place]]))
            place = before[place]
        return steps[::-1]

    def _step(self, place: int, before: int, why: Why) -> Step:
        started, ended = self._started[place], self._ended[place]
        waited = started - self._ended[before] if before >= 0 else 0.0
        return Step(self._ids[place], why, waited, ended - started, started, ended)

    def _by_edges(self, before: array[int], why: bytearray) -> None:
        place = self._place
        for parent, child in zip(*self._edges, strict=True):
            if parent in place and child in place:
                self._offer(before, why, place[parent], place[child], 1)

    def _by_barriers(self, before: array[int], why: bytearray) -> None:
        last = self._last_of_barriers()
        for barrier, child in zip(*self._from, strict=True):
            if barrier in last and child in self._place:
                self._offer(before, why, last[barrier], self._place[child], 2)

    def _by_scopes(self, before: array[int], why: bytearray) -> None:
        newest: dict[int, int] = {}
        for place in sorted(range(len(self._ids)), key=self._started.__getitem__):
            scope = self._scopes[place]
            if scope in newest:
                self._offer(before, why, newest[scope], place, 3)
            newest[scope] = place

    def _offer(self, before: array[int], why: bytearray, place: int, child: int, reason: int) -> None:
        """Take ``place`` as what ``child`` came after, if it ended in time, and later than what is known so far. What
        ran again later did not decide anything."""
        ended, known = self._ended[place], before[child]
        if place == child or ended > self._started[child] or self._ended[child] <= ended:
            return
        if known < 0 or ended > self._ended[known]:
            before[child], why[child] = place, reason

    def _last_of_barriers(self) -> dict[int, int]:
        """The attempt that opened each barrier: the one that ended last of all that it waits for."""
        last: dict[int, int] = {}
        for parent, barrier in zip(*self._into, strict=True):
            if parent in self._place:
                self._later(last, barrier, self._place[parent])
        for barrier, below in _in_order(zip(*self._between, strict=True)):
            if barrier in last:
                self._later(last, below, last[barrier])
        return last

    def _later(self, last: dict[int, int], barrier: int, place: int) -> None:
        if barrier not in last or self._ended[place] > self._ended[last[barrier]]:
            last[barrier] = place


_WHY: tuple[Why, ...] = ("begin", "edge", "barrier", "scope")


def _append(columns: tuple[array[int], array[int]], one: int, other: int) -> None:
    columns[0].append(one)
    columns[1].append(other)


def _in_order(edges: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Edges, each after all those that lead to where it begins."""
    below: dict[int, list[int]] = {}
    waits: dict[int, int] = {}
    for above, under in edges:
        below.setdefault(above, []).append(under)
        waits[under] = waits.get(under, 0) + 1
    ready = [one for one in below if one not in waits]
    for above in ready:
        for under in below.get(above, ()):
            yield above, under
            waits[under] -= 1
            if not waits[under]:
                ready.append(under)
