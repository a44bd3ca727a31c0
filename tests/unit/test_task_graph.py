"""The order of tasks before any node is known."""

from __future__ import annotations

import pytest

from rackwright.core.catalog import Catalog
from rackwright.core.task_graph import cycles, task_graph
from rackwright.engine.catalogs import read_texts


def catalog(text: str, roles: str = "") -> Catalog:
    return read_texts("c", {"tasks.yaml": text, "roles.yaml": roles})


def edges(text: str, roles: str = "") -> set[tuple[str, str, str]]:
    read = catalog(text, roles)
    return {(edge.before, edge.after, edge.kind) for edge in task_graph(read.graphs["deploy"], read.roles).edges}


def rings(text: str, roles: str = "") -> list[tuple[str, bool]]:
    read = catalog(text, roles)
    return [(str(cycle), cycle.always) for cycle in cycles(read.graphs["deploy"], read.roles)]


def test_relations_make_edges_of_their_kind() -> None:
    found = edges("""
- {id: start, type: stage}
- {id: a, type: script, roles: [x], requires: [start], required_for: [b]}
- {id: b, type: script, roles: [x, y]}
- {id: c, type: script, roles: [z], cross_depends: [{name: /^b$/}, {name: a, role: x}]}
- {id: d, type: script, roles: [z], cross_depends: [{name: c, role: self}, {name: start, role: null}]}
""")
    assert found == {
        ("start", "a", "same"),
        ("a", "b", "same"),
        ("b", "c", "cross"),
        ("a", "c", "cross"),
        ("c", "d", "same"),
        ("start", "d", "same"),
    }


def test_a_fact_makes_an_edge_from_its_writer_to_its_reader() -> None:
    found = edges("""
- {id: config, type: script, roles: [x], writes: [web.config]}
- {id: server, type: service, roles: [x], reads: [web]}
- {id: all, type: script, scope: deployment, roles: [x], reads: [nodes:web.config]}
- {id: other, type: script, roles: [x], reads: [deployment:web.config]}
""")
    assert found == {("config", "server", "fact"), ("config", "all", "fact")}


def test_primary_and_plain_never_meet_on_a_node() -> None:
    text = """
- {id: a, type: script, roles: [primary-x]}
- {id: b, type: script, roles: [x], requires: [a]}
- {id: c, type: script, roles: [y], requires: [a]}
"""
    assert edges(text) == {("a", "c", "same")}


def test_a_group_is_drawn_with_the_order_that_it_states() -> None:
    found = edges(
        "[{id: s, type: stage}, {id: g, type: group, roles: [x], requires: [s], required_for: [t]},"
        " {id: t, type: stage}]"
    )
    assert found == {("s", "g", "same"), ("g", "t", "same")}


def test_what_lint_refuses_is_left_out() -> None:
    assert (
        edges("[{id: a, type: script, roles: [/(/], requires: [nobody, /(/], cross_depends: [{name: /(/}]}]") == set()
    )


BOTH = [("a -> b -> a", True)]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("roles: [x], requires: [b]", "roles: [x], requires: [a]", BOTH),
        ("roles: [x], requires: [b]", "roles: [y], requires: [a]", [("a -> b -> a", False)]),
        ("roles: [x], cross_depends: [{name: b}]", "roles: [y], cross_depends: [{name: a}]", BOTH),
        ("roles: [x], requires: [b]", "roles: [primary-x], requires: [a]", []),
        ("roles: [x], cross_depends: [{name: a}]", "roles: [x]", [("a -> a -> a", True)]),
        ("roles: [x, primary-x], cross_depends: [{name: a, role: primary-x}]", "roles: [x]", []),
        ("roles: [x], requires: [a]", "roles: [x]", []),
        ("scope: deployment, roles: [x], requires: [a]", "roles: [x]", []),
        ("roles: [x], reads: [p], writes: [q]", "roles: [x], reads: [q], writes: [p]", BOTH),
        ("roles: [x], requires: [b]", "scope: rack, roles: [x], cross_depends: [{name: a}]", BOTH),
    ],
)
def test_cycles_are_found_where_tasks_really_meet(a: str, b: str, expected: list[tuple[str, bool]]) -> None:
    assert rings(f"[{{id: a, type: script, {a}}}, {{id: b, type: script, {b}}}]") == expected


def test_stages_may_wait_for_one_another_too() -> None:
    assert rings("[{id: s, type: stage, requires: [t]}, {id: t, type: stage, requires: [s]}]") == [
        ("s -> t -> s", True)
    ]


def test_a_cycle_through_primary_and_plain_nodes_needs_both_on_one_node() -> None:
    text = """
- {id: m, type: script, roles: [primary-x, x], requires: [p]}
- {id: p, type: script, roles: [primary-x], requires: [n]}
- {id: n, type: script, roles: [primary-x, x], requires: [q]}
- {id: q, type: script, roles: [x], requires: [m]}
"""
    assert rings(text) == []


def test_a_role_that_names_its_primary_makes_two_kinds_of_nodes() -> None:
    text = (
        "[{id: a, type: script, roles: [x], requires: [b]}, {id: b, type: script, roles: [primary-x], requires: [a]}]"
    )
    assert rings(text, "[{name: x, primary: [x]}]") == []
