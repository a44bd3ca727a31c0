"""Where tasks run and what they must follow, against the rules one by one and against a naive reading of them all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion, FaultToleranceGroup, has_expression, nodes_of, references, tolerance_of
from rackwright.core.linking import expand
from rackwright.core.relations import relations
from rackwright.core.resolution import Member, NodeId

MEMBERS = (Member("1", ("ctl",), "a"), Member("2", ("cmp",), "a"), Member("10", ("cmp",), "b"))


def _task(name: str, **fields: Any) -> Task:
    return Task(**{"id": name, "type": "noop", "roles": "*", **fields})


def _requires(expansion: Expansion, node: NodeId, name: str) -> list[tuple[str, NodeId]]:
    return references(expansion.instances[node, name], "requires")


def _places(expansion: Expansion, name: str) -> list[NodeId]:
    return [node for node, task in expansion.instances if task == name]


def test_every_kind_of_task_has_its_place() -> None:
    tasks = [
        _task("stage", type="stage", roles=None),
        _task("node", roles="cmp"),
        _task("control", roles="master"),
        _task("rack", scope="rack", roles="cmp"),
        _task("racks", scope="rack", roles=None),
        _task("all", scope="deployment", roles="ctl"),
        _task("any", scope="deployment", roles=None),
        _task("none", scope="deployment", roles="nobody"),
    ]
    expansion = expand(tasks, MEMBERS)
    assert list(expansion.instances) == [
        (None, "stage"),
        ("2", "node"),
        ("10", "node"),
        ("master", "control"),
        ("rack:a", "rack"),
        ("rack:b", "rack"),
        ("rack:a", "racks"),
        ("rack:b", "racks"),
        (None, "all"),
        (None, "any"),
    ]


def test_a_node_task_without_selector_runs_nowhere_and_says_so() -> None:
    expansion = expand([_task("lost", roles=None)], MEMBERS)
    assert expansion.instances == {}
    assert "lost names no tags" in expansion.warnings[0]


def test_a_group_adds_its_tasks_to_its_nodes_and_is_no_instance() -> None:
    tasks = [
        _task("base", roles="ctl"),
        _task("grp", type="group", roles="cmp", tasks=("base",), fault_tolerance="50%"),
        _task("empty", type="group", roles="nobody", tasks=("base",)),
    ]
    expansion = expand(tasks, MEMBERS)
    assert list(expansion.instances) == [("1", "base"), ("2", "base"), ("10", "base")]
    assert expansion.groups == [FaultToleranceGroup("grp", ("2", "10"), 1)]


def test_a_group_with_an_unknown_task_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the group grp adds the task nothing"):
        expand([_task("grp", type="group", tasks=("nothing",))], MEMBERS)


def test_an_unreadable_tolerance_means_that_any_may_fail_and_says_so() -> None:
    expansion = expand([_task("grp", type="group", fault_tolerance="many")], MEMBERS)
    assert expansion.groups == [FaultToleranceGroup("grp", ("1", "2", "10"), 4)]
    assert "fault_tolerance 'many'" in expansion.warnings[0]


@pytest.mark.parametrize(
    ("value", "allowed"),
    [(None, 8), (0, 0), (2, 2), ("3", 3), ("30%", 2), ("100%", 7), (-2, 5), (-9, 0), ("-2", 5), ("-50%", 3)],
)
def test_how_many_of_seven_may_fail(value: int | str | None, allowed: int) -> None:
    assert tolerance_of(value, 7) == allowed


def test_tasks_that_never_run_keep_their_edges() -> None:
    tasks = [_task("a"), _task("b", type="skipped", requires=("a",)), _task("c", condition=False, requires=("b",))]
    expansion = expand(tasks, MEMBERS)
    assert [instance.skipped for instance in expansion.instances.values()] == [False] * 3 + [True] * 6
    assert _requires(expansion, "1", "c") == [("b", "1")]


def test_plain_names_mean_the_own_node_its_rack_and_the_deployment() -> None:
    tasks = [
        _task("ready", type="stage"),
        _task("dhcp", scope="rack"),
        _task("net"),
        _task("app", requires=("/^(ready|dhcp|net)$/", "app", "missing")),
        _task("late", scope="deployment", requires=("app", "dhcp", "ready")),
        _task("push", scope="rack", requires=("dhcp", "ready", "app")),
    ]
    expansion = expand(tasks, MEMBERS)
    assert _requires(expansion, "10", "app") == [("dhcp", "rack:b"), ("net", "10"), ("ready", None)]
    assert _requires(expansion, None, "late") == [("ready", None)]
    assert _requires(expansion, "rack:a", "push") == [("dhcp", "rack:a"), ("ready", None)]
    assert any("app names missing" in warning for warning in expansion.warnings)


@pytest.mark.parametrize(
    ("relation", "edges"),
    [
        ({"name": "t"}, [("t", "1"), ("t", "2"), ("t", "10")]),
        ({"name": "t", "role": "cmp"}, [("t", "2"), ("t", "10")]),
        ({"name": "t", "tags": ["cmp", "ctl"], "role": "nobody"}, [("t", "1"), ("t", "2"), ("t", "10")]),
        ({"name": "t", "role": "self"}, [("t", "2")]),
        ({"name": "t", "role": None}, []),
        ({"name": "t", "policy": "any"}, [("t", "1")]),
        ({"name": "t", "role": "cmp", "policy": "any"}, [("t", "2")]),
        ({"name": "only10", "policy": "any"}, [("only10", "10")]),
        ({"name": "stage"}, []),
        ({"name": "stage", "role": None}, [("stage", None)]),
        ({"name": "/^(t|u)$/", "role": "ctl"}, [("t", "1")]),
        ({"name": "u"}, [("u", "10")]),
        ({"name": "rackwide"}, [("rackwide", "rack:a"), ("rackwide", "rack:b")]),
        ({"name": "rackwide", "role": "self"}, [("rackwide", "rack:a")]),
        ({"name": "t", "role": 7}, []),
        (None, []),
    ],
)
def test_a_cross_relation_of_node_2_means_these_edges(relation: Any, edges: list[tuple[str, NodeId]]) -> None:
    tasks = [
        _task("stage", type="stage"),
        _task("t"),
        _task("u", roles="cmp", cross_depends=(relation,)),
        _task("only10", tags=("ten",)),
        _task("rackwide", scope="rack"),
    ]
    members = (*MEMBERS[:2], Member("10", ("cmp", "ten"), "b"))
    assert _requires(expand(tasks, members), "2", "u") == edges


@pytest.mark.parametrize("relation", ["t", {"role": "*"}, {"name": 3}])
def test_a_cross_relation_of_a_wrong_form_is_refused(relation: Any) -> None:
    with pytest.raises(InvalidInput, match="the task u has a cross relation of a wrong form"):
        expand([_task("u", cross_depends=(relation,))], MEMBERS)


def test_required_for_stays_on_its_owner() -> None:
    tasks = [_task("a", required_for=("b",), cross_depended_by=({"name": "b", "role": "cmp"},)), _task("b")]
    expansion = expand(tasks, MEMBERS)
    assert references(expansion.instances["1", "a"], "required_for") == [("b", "1"), ("b", "2"), ("b", "10")]
    assert _requires(expansion, "1", "b") == []


def test_computed_relations_are_asked_for_by_place() -> None:
    tasks = [_task("a"), _task("b", cross_depends={"yaql_exp": "..."})]
    asked: list[tuple[str, NodeId]] = []

    def relations(task: Task, nodes: tuple[NodeId, ...]) -> Iterator[tuple[Any, Any]]:
        for node in nodes:
            asked.append((task.id, node))
            yield [[{"name": "a", "role": "self"}], None], None

    expansion = expand(tasks, MEMBERS, relations=relations)
    assert asked == [("b", "1"), ("b", "2"), ("b", "10")]
    assert _requires(expansion, "2", "b") == [("a", "2")]
    assert "computes its relations" in expand(tasks, MEMBERS).warnings[0]


def test_an_expression_is_seen_however_deep_it_lies() -> None:
    assert has_expression({"a": [{"b": {"yaql_exp": "$"}}]})
    assert not has_expression({"a": [{"b": "yaql_exp"}], "c": None})


def test_all_to_all_costs_one_tuple_and_not_a_square_of_edges() -> None:
    members = [Member(f"n{number}", ("cmp",)) for number in range(2000)]
    tasks = [
        _task("a"),
        _task("b", cross_depends=({"name": "a"},), cross_depended_by=({"name": "c", "role": ["cmp"]},)),
    ]
    expansion = expand([*tasks, _task("c", cross_depends=({"name": "a", "role": "cmp"},))], members)
    targets = [t for i in expansion for t in (*i.links.requires, *i.links.required_for)]
    assert expansion.count == 6000
    assert len(targets) == 6000
    assert len({id(target.where) for target in targets}) == 1
    assert [len(placement.links) for placement in expansion.placements.values()] == [1, 1, 1]


# ---- against a naive reading: every instance looks at every instance

_NAMES = ("a", "b", "ab", "c")
_TAGS = ("x", "y", "xy")
_selectors = st.sampled_from(["*", "x", "master", "/x/", ("x", "y"), ("*",), "/y$/"])
_relations = st.fixed_dictionaries(
    {"name": st.sampled_from([*_NAMES, "/a/", "/.*b/", "none"])},
    optional={
        "role": st.sampled_from(["*", "self", None, "x", ["x", "master"], "/xy?$/"]),
        "policy": st.sampled_from(["any", "all"]),
    },
)
_names = st.lists(st.sampled_from([*_NAMES, "/a/", "none"]), max_size=2).map(tuple)


@st.composite
def _catalogs(draw: st.DrawFn) -> list[Task]:
    tasks = []
    for name in _NAMES:
        fields: dict[str, Any] = {
            "type": draw(st.sampled_from(["noop", "noop", "skipped", "stage"])),
            "scope": draw(st.sampled_from(["node", "node", "rack", "deployment"])),
            "roles": draw(_selectors),
            "requires": draw(_names),
            "required_for": draw(_names),
            "cross_depends": tuple(draw(st.lists(_relations, max_size=2))),
            "cross_depended_by": tuple(draw(st.lists(_relations, max_size=2))),
        }
        tasks.append(_task(name, **fields))
    if draw(st.booleans()):
        tasks.append(_task("g", type="group", roles=draw(_selectors), tasks=(draw(st.sampled_from(_NAMES)),)))
    return tasks


_members = st.lists(
    st.tuples(st.lists(st.sampled_from(_TAGS), max_size=2, unique=True), st.sampled_from(["r1", "r2", None])),
    max_size=4,
).map(lambda rows: [Member(str(8 + i), tuple(tags), rack) for i, (tags, rack) in enumerate(rows)])


def _matches(name: str, other: str) -> bool:
    return re.match(name[1:-1], other) is not None if name[0] == "/" == name[-1] else name == other


def _meant(selector: Any, members: list[Member]) -> list[NodeId]:
    if selector == "*":
        return [member.name for member in members if member.tags]
    names = [selector] if isinstance(selector, str) else selector
    found: list[NodeId] = [m.name for m in members if any(_matches(n, tag) for n in names for tag in m.tags)]
    return found + (["master"] if "master" in names else [])


def _racks(nodes: list[NodeId], members: list[Member]) -> list[NodeId]:
    return [f"rack:{member.rack}" for member in members if member.rack and member.name in nodes]


def _naive_instances(tasks: list[Task], members: list[Member]) -> set[tuple[NodeId, str]]:
    found: set[tuple[NodeId, str]] = set()
    groups = [task for task in tasks if task.type == "group"]
    for task in (task for task in tasks if task.type != "group"):
        chosen = [_meant(task.roles, members)]
        chosen += [_meant(group.roles, members) for group in groups if task.id in group.tasks]
        for nodes in chosen:
            if task.type == "stage" or task.scope == "deployment":
                places: list[NodeId] = [None] if nodes or (task.type == "stage" and nodes is chosen[0]) else []
            else:
                places = _racks(nodes, members) if task.scope == "rack" else nodes
            found.update((place, task.id) for place in places)
    return found


def _naive_edges(
    task: Task, node: NodeId, names: Any, cross: Any, there: set[tuple[NodeId, str]], members: list[Member]
) -> set[tuple[str, NodeId]]:
    home = [node, *_racks([node], members)]
    edges = {(n, p) for p, n in there if p in [*home, None] and any(_matches(name, n) for name in names)}
    for entry in cross:
        role = entry.get("role", "*")
        meant = _meant(role, members) if role not in (None, "self") else []
        places = [None] if role is None else home if role == "self" else [*meant, *_racks(meant, members)]
        more = {(n, p) for p, n in there if p in places and _matches(entry["name"], n)}
        if entry.get("policy") == "any" and role not in (None, "self"):
            order = [*(member.name for member in members), "master", "rack:r1", "rack:r2"]
            first = min((order.index(str(p)) for _, p in more), default=None)
            more = {(n, p) for n, p in more if first is not None and p == order[first]}
        edges |= more
    return edges - {(task.id, node)}


@settings(max_examples=300, deadline=None)
@given(_catalogs(), _members)
def test_expansion_agrees_with_a_naive_reading_of_the_rules(tasks: list[Task], members: list[Member]) -> None:
    expansion = expand(tasks, members)
    there = _naive_instances(tasks, members)
    assert set(expansion.instances) == there
    by_id = {task.id: task for task in tasks}
    for (node, name), instance in expansion.instances.items():
        task = by_id[name]
        before = _naive_edges(task, node, task.requires, task.cross_depends, there, members)
        after = _naive_edges(task, node, task.required_for, task.cross_depended_by, there, members)
        assert set(references(instance, "requires")) == before
        assert set(references(instance, "required_for")) == after
        assert all(nodes_of(target, instance) for target in (*instance.links.requires, *instance.links.required_for))


@settings(max_examples=200, deadline=None)
@given(_catalogs(), _members)
def test_the_few_relations_say_the_same_as_all_edges(tasks: list[Task], members: list[Member]) -> None:
    expansion = expand(tasks, members)
    edges = set()
    for instance in expansion:
        own = (instance.task.id, instance.node)
        edges |= {(before, own) for before in references(instance, "requires")}
        edges |= {(own, after) for after in references(instance, "required_for")}
    said = set()
    for relation in relations(expansion):
        before = [(relation.before.task, node) for node in relation.before.nodes]
        after = [(relation.after.task, node) for node in relation.after.nodes]
        pairs = zip(before, after, strict=True) if relation.each else product(before, after)
        drawn = {(one, other) for one, other in pairs if one != other}
        assert relation.edges <= max(len(drawn), len(before) + len(after))
        said |= drawn
    assert said == edges
