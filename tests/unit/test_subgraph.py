"""Parts of a graph, against a naive walk along every edge."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion, references
from rackwright.core.linking import expand
from rackwright.core.resolution import Member, NodeId
from rackwright.core.subgraph import Subgraph, within

_Pair = tuple[str, NodeId]


def _task(name: str, requires: tuple[str, ...] = (), cross: tuple[str, ...] = ()) -> Task:
    return Task(id=name, type="noop", roles="*", requires=requires, cross_depends=tuple({"name": c} for c in cross))


def _expanded(tasks: list[Task], nodes: int) -> Expansion:
    return expand(tasks, [Member(str(number), ("x",)) for number in range(1, nodes + 1)])


CHAIN = [_task("a"), _task("b", ("a",)), _task("c", (), ("b",)), _task("d", ("c",)), _task("apart")]


@pytest.mark.parametrize(
    ("part", "inside"),
    [
        (Subgraph(start=("c",)), {"c": {"1", "2"}, "d": {"1", "2"}}),
        (Subgraph(end=("b/2",)), {"a": {"2"}, "b": {"2"}}),
        (Subgraph(start=("b/1",), end=("d/2",)), {"b": {"1"}, "c": {"2"}, "d": {"2"}}),
        (Subgraph(start=("a/1-2",), end=("a",)), {"a": {"1", "2"}}),
        (Subgraph(start=("d",), end=("a",)), {}),
    ],
)
def test_a_part_is_what_follows_its_start_and_comes_before_its_end(
    part: Subgraph, inside: dict[str, set[NodeId]]
) -> None:
    found = within(_expanded(CHAIN, 2), [part])
    assert {task: nodes for task, nodes in found.items() if nodes} == inside


def test_parts_are_joined() -> None:
    found = within(_expanded(CHAIN, 2), [Subgraph(start=("d/1",)), Subgraph(end=("a/2",))])
    assert {task: nodes for task, nodes in found.items() if nodes} == {"d": {"1"}, "a": {"2"}}


@pytest.mark.parametrize("item", ["ghost", "a/9", "a/x", "a/3-9"])
def test_an_item_that_names_nothing_is_refused(item: str) -> None:
    with pytest.raises(InvalidInput, match="no instance of the graph is called"):
        within(_expanded(CHAIN, 2), [Subgraph(start=(item,))])


@st.composite
def _graphs(draw: st.DrawFn) -> tuple[Expansion, str, str]:
    names = [f"t{number}" for number in range(draw(st.integers(2, 6)))]
    tasks = []
    for number, name in enumerate(names):
        earlier = st.lists(st.sampled_from(names[:number]), max_size=2, unique=True) if number else st.just([])
        tasks.append(_task(name, tuple(draw(earlier)), tuple(draw(earlier))))
    expansion = _expanded(tasks, draw(st.integers(1, 4)))
    return expansion, draw(st.sampled_from(names)), draw(st.sampled_from(names))


def _walked(expansion: Expansion, start: set[_Pair], *, down: bool) -> set[_Pair]:
    edges = []
    for instance in expansion:
        own = (instance.task.id, instance.node)
        edges += [(before, own) if down else (own, before) for before in references(instance, "requires")]
    reached = set(start)
    while True:
        more = {there for here, there in edges if here in reached} - reached
        if not more:
            return reached
        reached |= more


@settings(max_examples=100, deadline=None)
@given(_graphs(), st.integers(1, 4))
def test_a_part_agrees_with_a_naive_walk(graph: tuple[Expansion, str, str], node: int) -> None:
    expansion, start, end = graph
    if (str(node), start) not in expansion.instances:
        node = 1
    below = _walked(expansion, {(start, str(node))}, down=True)
    everywhere = {(end, place) for place in expansion.placements[end].nodes}
    above = _walked(expansion, everywhere, down=False)
    found = within(expansion, [Subgraph(start=(f"{start}/{node}",), end=(end,))])
    assert {(task, place) for task, nodes in found.items() for place in nodes} == below & above
