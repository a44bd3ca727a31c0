"""Cycles and shortcuts of directed graphs, held against the plain definitions."""

from __future__ import annotations

from graphlib import CycleError
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.digraph import knots, shortest_cycle, without_shortcuts

SIZE = 7
edge_lists = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=16)
orders = st.lists(
    st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)).filter(lambda e: e[0] < e[1]), max_size=16
)


def follows_of(edges: list[tuple[int, int]]) -> dict[int, list[int]]:
    return {vertex: sorted({end for start, end in edges if start == vertex}) for vertex in range(SIZE)}


def reach(edges: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """All pairs joined by a path of one edge or more, by adding edges until nothing is new."""
    pairs = set(edges)
    while True:
        more = {(a, d) for a, b in pairs for c, d in pairs if b == c} - pairs
        if not more:
            return pairs
        pairs |= more


def cycle_lengths(edges: list[tuple[int, int]], start: int) -> int:
    """The number of edges of the shortest way from a vertex back to itself, walking all ways at once."""
    at, steps = {start}, 0
    while True:
        at, steps = {end for begin, end in edges if begin in at}, steps + 1
        if start in at:
            return steps


@given(edge_lists)
def test_knots_are_the_vertices_that_reach_one_another(edges: list[tuple[int, int]]) -> None:
    pairs = reach(edges)
    expected = {
        frozenset(other for other in range(SIZE) if (vertex, other) in pairs and (other, vertex) in pairs)
        for vertex in range(SIZE)
        if (vertex, vertex) in pairs
    }
    found = knots(follows_of(edges))
    assert {frozenset(knot) for knot in found} == expected
    assert len(found) == len(expected)


@given(edge_lists)
def test_the_cycle_of_a_knot_is_real_and_none_is_shorter(edges: list[tuple[int, int]]) -> None:
    follows = follows_of(edges)
    for knot in knots(follows):
        cycle = shortest_cycle(knot, follows)
        assert set(cycle) <= set(knot)
        assert all(end in follows[start] for start, end in pairwise((*cycle, cycle[0])))
        assert len(cycle) == min(cycle_lengths(edges, vertex) for vertex in knot)


@given(orders, st.sets(st.integers(0, SIZE - 1)))
def test_edges_without_shortcuts_order_the_same_vertices(edges: list[tuple[int, int]], kept: set[int]) -> None:
    fewest = without_shortcuts(sorted(kept), edges)
    wanted = {(start, end) for start, end in reach(edges) if start in kept and end in kept}
    assert reach(fewest) == wanted
    for edge in fewest:
        assert edge not in reach([other for other in fewest if other != edge])


def test_a_graph_with_a_cycle_cannot_lose_its_shortcuts() -> None:
    with pytest.raises(CycleError):
        without_shortcuts("ab", [("a", "b"), ("b", "a")])


def test_a_long_chain_does_not_exhaust_the_stack() -> None:
    size = 20_000
    follows = {number: [(number + 1) % size] for number in range(size)}
    assert [len(knot) for knot in knots(follows)] == [size]
