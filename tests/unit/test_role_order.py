"""The order of roles as relations of their tasks."""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.binding import Asked, Family, settle
from rackwright.core.catalog import Graph, Read, Role, Task, Write
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import references
from rackwright.core.linking import expand
from rackwright.core.resolution import Member, NodeId, tags_of
from rackwright.core.role_order import arranged, ring, tasks_of

SOME = [Member("n1", ("app", "base")), Member("n2", ("app",)), Member("n3", ("base",))]


def task(id: str, role: str, **more: Any) -> Task:
    return Task(id=id, type="noop", jig="noop", roles=(role,), **more)


def follows(
    roles: list[Role], tasks: list[Task], members: list[Member] = SOME, services: list[str] | None = None
) -> dict[tuple[NodeId, str], list[tuple[str, NodeId]]]:
    graph = arranged(Graph(type="deploy", tasks=tuple(tasks)), {role.name: role for role in roles}, services)
    expansion = expand(graph.tasks, members)
    assert expansion.warnings == []
    return {(i.node, i.task.id): references(i, "requires") for i in expansion if references(i, "requires")}


def test_without_a_word_of_roles_tasks_stay_as_they_are() -> None:
    graph = Graph(type="deploy", tasks=(task("a", "app"),))
    assert arranged(graph, {"app": Role(name="app")}) is graph


def test_the_last_tasks_of_what_is_required_come_before_the_first_ones() -> None:
    tasks = [
        task("b1", "base"),
        task("b2", "base", requires=("b1",)),
        task("a1", "app"),
        task("a2", "app", requires=("a1",)),
    ]
    found = follows([Role(name="base", implicit=True), Role(name="app", requires=("base",))], tasks)
    assert found["n1", "a1"] == [("b2", "n1")]
    assert found["n1", "a2"] == [("a1", "n1")]
    assert ("n2", "a1") not in found, "an implicit role is followed on the same node only"


def test_what_a_task_reads_of_its_own_role_tells_first_from_last_too() -> None:
    tasks = [
        task("b1", "base", writes=(Write("b.x"),)),
        task("b2", "base", reads={"x": Read("b.x")}),
        task("a1", "app"),
    ]
    found = follows([Role(name="base", implicit=True), Role(name="app", requires=("base",))], tasks)
    assert found["n1", "a1"] == [("b2", "n1")]


def test_a_role_that_may_be_elsewhere_is_followed_where_it_is_nearest() -> None:
    found = follows([Role(name="base"), Role(name="app", requires=("base",))], [task("b", "base"), task("a", "app")])
    assert found == {("n1", "a"): [("b", "n1")], ("n2", "a"): [("b", "n1")]}


def test_a_cluster_waits_and_is_waited_for_on_all_nodes() -> None:
    tasks = [task("b", "base"), task("a", "app")]
    everywhere = {("n1", "a"): [("b", "n1"), ("b", "n3")], ("n2", "a"): [("b", "n1"), ("b", "n3")]}
    assert follows([Role(name="base"), Role(name="app", requires=("base",), cluster=True)], tasks) == everywhere
    assert follows([Role(name="base", cluster=True), Role(name="app", requires=("base",))], tasks) == everywhere


def test_a_service_stands_on_the_deployment_only_where_it_is_bound() -> None:
    roles = [Role(name="dns", service=True), Role(name="app", requires=("dns",))]
    tasks = [task("d", "dns", scope="deployment"), task("a", "app")]
    assert follows(roles, tasks, services=["dns"]) == {("n1", "a"): [("d", None)], ("n2", "a"): [("d", None)]}
    assert follows(roles, tasks, services=[]) == {}


def test_a_service_follows_what_it_requires_on_all_nodes() -> None:
    roles = [Role(name="dns", service=True, requires=("base",)), Role(name="base")]
    tasks = [task("d", "dns", scope="deployment"), task("b", "base")]
    assert follows(roles, tasks)[None, "d"] == [("b", "n1"), ("b", "n3")]


def test_who_precedes_goes_first_where_both_are_and_nowhere_else() -> None:
    tasks = [task("b", "base"), task("a", "app")]
    found = follows([Role(name="base", precedes=("app",)), Role(name="app")], tasks)
    assert found == {("n1", "a"): [("b", "n1")]}


def test_a_provider_is_followed_as_what_it_provides() -> None:
    roles = [
        Role(name="store", abstract=True),
        Role(name="base", provides=("store",)),
        Role(name="spare", provides=("store",)),
        Role(name="app", requires=("store",)),
    ]
    tasks = [task("b", "base"), task("s", "spare"), task("a", "app")]
    members = [*SOME, Member("n0", ("spare",))]
    found = follows(roles, tasks, members)
    assert found["n1", "a"] == [("b", "n1")]
    assert found["n2", "a"] == [("s", "n0")]


def test_relations_of_the_task_itself_are_kept() -> None:
    tasks = [task("b", "base"), task("c", "base"), task("a", "app", cross_depends={"name": "c", "role": "base"})]
    found = follows([Role(name="base"), Role(name="app", requires=("base",))], tasks)
    assert set(found["n2", "a"]) == {("b", "n1"), ("c", "n1"), ("c", "n3")}


def test_roles_in_a_ring_are_refused_with_the_path() -> None:
    roles = {
        "a": Role(name="a", requires=("b",)),
        "b": Role(name="b", requires=("x",)),
        "c": Role(name="c", provides=("x",), requires=("a",)),
    }
    assert set(ring(roles)) == {"a", "b", "c"}
    with pytest.raises(InvalidInput, match=r"come after each other: .* -> .* -> .* -> "):
        arranged(Graph(type="deploy"), roles)
    assert ring({"a": Role(name="a", precedes=("b",)), "b": Role(name="b")}) == ()


# ---- what holds for every catalog

NAMES = "abcde"


@st.composite
def catalogs(draw: st.DrawFn) -> tuple[dict[str, Role], list[Task]]:
    """Roles that require only those after them in the alphabet, each with one task or two in a row."""
    roles, tasks = {}, []
    for place, name in enumerate(NAMES):
        later = NAMES[place + 1 :]
        needs = draw(st.lists(st.sampled_from(later), unique=True)) if later else []
        after = draw(st.lists(st.sampled_from(NAMES[:place]), unique=True)) if place else []
        implicit, cluster = draw(st.booleans()), draw(st.booleans())
        roles[name] = Role(name=name, requires=tuple(needs), precedes=tuple(after), implicit=implicit, cluster=cluster)
        tasks.append(task(f"{name}1", name))
        if draw(st.booleans()):
            tasks.append(task(f"{name}2", name, requires=(f"{name}1",)))
    return roles, tasks


@given(catalogs(), st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["n1", "n2", "n3"])), min_size=1))
@settings(max_examples=100, deadline=None)
def test_every_task_comes_after_all_that_its_role_requires(
    catalog: tuple[dict[str, Role], list[Task]], pairs: list[tuple[str, NodeId]]
) -> None:
    roles, tasks = catalog
    roster = settle({}, Asked(bind=tuple(pairs)), Family(roles)).roster
    bound = {node: names for node, names in roster.items() if node is not None}
    members = [Member(node, tags) for node, tags in tags_of(bound, roles).items()]
    graph = arranged(Graph(type="deploy", tasks=tuple(tasks)), roles)
    waits = {(i.task.id, i.node): set(references(i, "requires")) for i in expand(graph.tasks, members)}
    above: dict[tuple[str, NodeId], set[tuple[str, NodeId]]] = {}
    for instance in TopologicalSorter(waits).static_order():
        above[instance] = waits[instance].union(*(above[parent] for parent in waits[instance]))
    for node, names in bound.items():
        for name in names:
            for need in roles[name].requires:
                wide = roles[name].cluster or roles[need].cluster
                holders = [other for other, theirs in bound.items() if need in theirs]
                expected = holders if wide else [node] if need in names else [min(holders)]
                before = {(one.id, place) for place in expected for one in tasks_of(roles[need], tasks)}
                for one in tasks_of(roles[name], tasks):
                    assert before <= above[one.id, node]
