"""The chain that decided how long a run took, against slow and plain ways of finding it."""

from __future__ import annotations

import functools
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.critical_path import Course, Step

Graph = list[tuple[int, set[int]]]
"""Per node task how long it runs, and the earlier ones that it follows."""


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 12))
    return [
        (draw(st.integers(1, 9)), draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set())
        for number in range(size)
    ]


def scheduled(graph: Graph, delays: list[int] | None = None) -> dict[int, tuple[float, float]]:
    """Start and end of each, begun as soon as all before it have ended, or so much later."""
    times: dict[int, tuple[float, float]] = {}
    for number, (long, parents) in enumerate(graph):
        start = max((times[parent][1] for parent in parents), default=0.0) + (delays[number] if delays else 0)
        times[number] = (start, start + long)
    return times


def course_of(graph: Graph, times: dict[int, tuple[float, float]], *, barriers: bool = False) -> Course:
    """The same as a course; with ``barriers`` every node task waits for a barrier that its parents feed."""
    course = Course()
    for number, (start, end) in times.items():
        course.attempt(number, number, start, end)
        for parent in graph[number][1]:
            if barriers:
                course.feeds(parent, 1000 + number)
            else:
                course.edge(parent, number)
        if barriers:
            course.joins(1000 + number, 2000 + number)
            course.gates(2000 + number, number)
    return course


def longest(graph: Graph) -> float:
    """How long the longest chain runs, by trying all."""

    @functools.cache
    def up_to(number: int) -> float:
        long, parents = graph[number]
        return long + max((up_to(parent) for parent in parents), default=0.0)

    return max(up_to(number) for number in range(len(graph)))


@given(graphs())
def test_where_nothing_waits_it_is_the_longest_chain(graph: Graph) -> None:
    for barriers in (False, True):
        steps = course_of(graph, scheduled(graph), barriers=barriers).decisive()
        assert sum(step.ran for step in steps) == longest(graph)
        assert sum(step.waited for step in steps) == 0


@given(graphs(), st.lists(st.integers(0, 5), min_size=12, max_size=12))
def test_running_and_waiting_add_up_to_the_whole_time_and_each_step_follows_the_last_of_its_parents(
    graph: Graph, delays: list[int]
) -> None:
    times = scheduled(graph, delays)
    steps = course_of(graph, times).decisive()
    assert steps[-1].ended_at == max(end for _, end in times.values())
    whole = steps[-1].ended_at - steps[0].started_at
    assert sum(step.ran + step.waited for step in steps) == whole
    assert graph[steps[0].node_task][1] == set()
    for before, step in pairwise(steps):
        assert before.node_task in graph[step.node_task][1]
        assert before.ended_at == max(times[parent][1] for parent in graph[step.node_task][1])


def test_a_scope_that_was_busy_decides_too() -> None:
    course = Course()
    course.attempt(1, 7, 0.0, 2.0)
    course.attempt(2, 7, 2.0, 9.0)
    course.attempt(3, 7, 10.0, 11.0)
    course.edge(1, 3)
    assert course.decisive() == [
        Step(1, "begin", 0.0, 2.0, 0.0, 2.0),
        Step(2, "scope", 0.0, 7.0, 2.0, 9.0),
        Step(3, "scope", 1.0, 1.0, 10.0, 11.0),
    ]


def test_the_newest_attempt_counts_and_a_parent_that_ran_again_later_decided_nothing() -> None:
    course = Course()
    course.attempt(1, 1, 0.0, 1.0)
    course.attempt(2, 2, 1.0, 3.0)
    course.attempt(1, 1, 2.0, 2.5)
    course.edge(1, 2)
    assert [step.node_task for step in course.decisive()] == [2]


def test_where_nothing_ran_there_is_no_chain() -> None:
    course = Course()
    course.edge(1, 2)
    assert (len(course), course.decisive()) == (0, [])
