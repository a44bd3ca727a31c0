"""Lint: each kind of fault is found where it is, and nothing else is."""

from __future__ import annotations

import pytest

from rackwright.core.catalog import Catalog, Graph, Position, Task
from rackwright.core.errors import InvalidInput
from rackwright.core.lint.finding import Finding
from rackwright.engine.catalogs import lint_catalog, read_texts, refuse_unsound
from rackwright.engine.expressions import Evaluator

EVALUATOR = Evaluator()
ROLES = """
- name: web
  attributes: {type: object, properties: {port: {type: integer, default: 80}}}
- {name: db, tags: [db, store], primary: [db]}
"""


def lint(tasks: str, *, strict: bool = True, files: dict[str, str] | None = None) -> list[tuple[str, str, int]]:
    return [(found.severity, found.code, found.place.line) for found in findings(tasks, strict=strict, files=files)]


def findings(tasks: str, *, strict: bool = True, files: dict[str, str] | None = None) -> tuple[Finding, ...]:
    texts = {"roles.yaml": ROLES, "tasks.yaml": tasks, "catalog.yaml": f"strict: {str(strict).lower()}"}
    return lint_catalog(read_texts("c", texts | (files or {})), EVALUATOR)


SOUND = """
- {id: start, type: stage}
- id: config
  type: script
  roles: [web]
  reads: [desired.address, desired.web.port, observed.os, deployment:db.url]
  writes: [web.config]
  condition: {yaql_exp: $.x = 1}
  parameters: {script: scripts/a.py, port: {yaql_exp: $.port}}
  requires: [start]
- id: serve
  type: service
  tags: [web]
  reads: [web.config]
  requires: [/conf/]
  cross_depends: [{name: dump, role: [store]}, {name: /^(primary-)?dump$/, role: self}]
- {id: dump, type: noop, roles: [primary-db, db], condition: "settings:x.y == true", required_for: [/^serve/]}
- id: url
  type: noop
  scope: deployment
  roles: '*'
  reads: ['nodes:desired.address']
  writes: [{fact: db.url, slow: true}]
- id: alone
  type: noop
  roles: master
  cross_depends: [{name: url, role: null}, {name: dump, role: '/^(primary-)?db$/'}]
"""


@pytest.mark.parametrize("strict", [True, False])
def test_a_sound_catalog_has_no_findings(strict: bool) -> None:
    assert findings(SOUND, strict=strict, files={"scripts/a.py": "1"}) == ()


WEB, DB = "- {id: a, type: noop, roles: [web]}\n", "- {id: a, type: noop, roles: [db]}\n"


@pytest.mark.parametrize(
    ("tasks", "code", "line"),
    [
        ("- {id: a, type: noop, roles: [web], requires: [b]}", "unknown-name", 1),
        ("- {id: a, type: noop, roles: [web], required_for: [/^b/]}", "unknown-name", 1),
        ("- {id: a, type: noop, roles: [web], cross_depends: [{name: b}]}", "unknown-name", 1),
        ("- {id: s, type: stage}\n- {id: a, type: noop, roles: [web], cross_depends: [{name: s}]}", "dead-relation", 2),
        (DB + "- {id: b, type: noop, roles: [web], cross_depends: [{name: a, role: primary-db}]}", "dead-relation", 2),
        ("- {id: g, type: group, roles: [db]}\n- {id: a, type: noop, tags: [db], requires: [g]}", "dead-relation", 2),
        (WEB + "- {id: b, type: noop, roles: master, requires: [a]}", "dead-relation", 2),
        ("- {id: a, type: noop, roles: [webb]}", "unknown-role", 1),
        ("- {id: a, type: noop, tags: [webb]}", "unknown-tag", 1),
        ("- {id: a, type: noop, roles: [/^x/]}", "unknown-role", 1),
        ("- {id: a, type: noop, roles: ['*', web]}", "unknown-role", 1),
        ("- {id: a, type: noop, roles: [primary-web]}", "unknown-role", 1),
        ("- {id: a, type: noop}", "no-place", 1),
        ("- {id: a, type: noop, roles: [web], reads: [web.x]}", "unwritten-read", 1),
    ],
)
def test_where_fuel_is_silent_strict_catalogs_err_and_others_warn(tasks: str, code: str, line: int) -> None:
    assert lint(tasks) == [("error", code, line)]
    assert lint(tasks, strict=False) == [("warning", code, line)]


@pytest.mark.parametrize(
    "tasks",
    [
        WEB + "- {id: b, type: noop, roles: [db], cross_depends: [{name: a, role: db}]}",
        WEB + "- {id: b, type: noop, roles: [db], requires: [a]}",
        "- {id: primary-a, type: noop, roles: [primary-db]}\n"
        "- {id: a, type: noop, roles: [db]}\n"
        "- {id: b, type: noop, roles: [db], requires: [primary-a, a]}",
        "- {id: m, type: noop, roles: master}\n"
        "- {id: b, type: noop, roles: [db], requires: [m], cross_depends: [{name: m, role: master}]}",
    ],
)
def test_a_relation_that_can_match_or_is_said_twice_is_not_dead(tasks: str) -> None:
    assert lint(tasks) == []


@pytest.mark.parametrize(
    ("tasks", "code", "line"),
    [
        ("- {id: g, type: group, roles: [web], tasks: [b]}", "unknown-name", 1),
        ("- {id: a, type: noop, roles: [web], requires: [/(/]}", "bad-expression", 1),
        ("- {id: a, type: noop, roles: [/(/]}", "bad-expression", 1),
        ("- id: a\n  type: noop\n  roles: [web]\n  condition: {yaql_exp: '$.x ='}", "bad-expression", 4),
        ("- id: a\n  type: noop\n  roles: [web]\n  condition: 'a:b =='", "bad-expression", 4),
        ("- id: a\n  type: noop\n  roles: [web]\n  parameters:\n    x:\n    - {yaql_exp: 'foo('}", "bad-expression", 6),
        ("- id: a\n  type: noop\n  roles: [web]\n  cross_depends: {yaql_exp: '['}", "bad-expression", 4),
        ("- {id: a, type: script, roles: [web], parameters: {script: scripts/b.py}}", "missing-file", 1),
        ("- {id: a, type: noop, roles: [web], reads: ['nodes:desired.address']}", "nodes-read-by-node-task", 1),
        ("- {id: a, type: noop, roles: [web], writes: [observed.os]}", "wrong-owner", 1),
        ("- {id: a, type: noop, roles: [web], writes: [nodes:x]}", "wrong-owner", 1),
        ("- {id: a, type: noop, roles: [web], writes: [deployment:x]}", "two-writers", 1),
        (
            "- {id: a, type: noop, roles: [web], writes: [x]}\n- {id: b, type: noop, roles: [db], writes: [x.y]}",
            "two-writers",
            2,
        ),
        (
            "- {id: a, type: noop, roles: [web], writes: [x]}\n"
            "- {id: b, type: noop, scope: deployment, roles: [web], writes: [nodes:x]}",
            "two-writers",
            2,
        ),
        ("- {id: a, type: noop, roles: [web], cross_depends: [{name: a}]}", "cycle", 1),
    ],
)
def test_what_cannot_work_is_an_error_in_every_catalog(tasks: str, code: str, line: int) -> None:
    for strict in (True, False):
        assert lint(tasks, strict=strict) == [("error", code, line)]


@pytest.mark.parametrize(
    "tasks",
    [
        "- {id: a, type: noop, roles: [db], writes: [x]}\n- {id: b, type: noop, roles: [primary-db], writes: [x]}",
        "- {id: a, type: noop, roles: [web], writes: [x]}\n- {id: b, type: noop, roles: [web], writes: [y]}",
        "- {id: a, type: noop, roles: [web], writes: [x]}\n"
        "- {id: b, type: noop, scope: rack, roles: [web], writes: [x]}",
        "- {id: a, type: noop, roles: [primary-db], writes: [deployment:x]}",
    ],
)
def test_writers_that_never_meet_are_no_two_writers(tasks: str) -> None:
    assert lint(tasks) == []


def test_one_fact_may_be_written_in_two_graphs() -> None:
    task = "- {id: a, type: noop, roles: [web], writes: [x]}"
    assert lint(task, files={"graphs/delete/tasks.yaml": task.replace("id: a", "id: b")}) == []


def test_a_name_is_found_by_the_nearest_one() -> None:
    (found,) = findings(
        "- {id: nats-config, type: noop, roles: [web]}\n- {id: b, type: noop, roles: [web], requires: [nats-confg]}"
    )
    assert found.mend == "did you mean nats-config?"


def test_a_cycle_is_told_with_its_path() -> None:
    (found,) = findings(
        "- {id: a, type: noop, roles: [web], requires: [b]}\n- {id: b, type: noop, roles: [web], requires: [c]}\n"
        "- {id: c, type: noop, roles: [web], requires: [a]}"
    )
    assert (found.code, found.message) == ("cycle", "these tasks wait for one another: a -> c -> b -> a")


def test_a_cycle_of_tasks_that_need_not_meet_is_a_warning_in_a_lenient_catalog() -> None:
    tasks = "- {id: a, type: noop, roles: [web], requires: [b]}\n- {id: b, type: noop, roles: [db], requires: [a]}"
    assert lint(tasks) == [("error", "cycle", 1)]
    assert lint(tasks, strict=False) == [("warning", "cycle", 1)]


def test_a_wish_that_no_role_declares_is_a_warning() -> None:
    (found,) = findings("- {id: a, type: noop, roles: [web], reads: [desired.web.prt]}")
    assert (found.severity, found.code, found.mend) == ("warning", "unwritten-read", "did you mean desired.web.port?")


def test_a_read_of_a_fact_that_is_written_elsewhere_says_where() -> None:
    (found,) = findings(
        "- {id: a, type: noop, scope: deployment, roles: [web], writes: [x]}\n"
        "- {id: b, type: noop, roles: [web], reads: [x]}"
    )
    assert found.mend == "it is written on another scope: read deployment:x"


GATHERED = """
- {id: one, type: noop, roles: [web], writes: [mine]}
- {id: gather, type: noop, scope: deployment, roles: [web], reads: ['nodes:mine'], writes: [%s]}
- {id: digest, type: noop, scope: deployment, roles: [web], reads: [all], writes: [sum]}
- {id: use, type: noop, roles: [web], reads: ['deployment:%s']}
"""


@pytest.mark.parametrize(
    ("write", "read", "expected"),
    [
        ("all", "all", 1),
        ("all", "sum", 1),
        ("{fact: all, slow: true}", "all", 0),
        ("{fact: all, slow: true}", "sum", 0),
    ],
)
def test_a_fact_gathered_from_nodes_and_read_on_each_is_a_risk(write: str, read: str, expected: int) -> None:
    assert lint(GATHERED % (write, read)) == [("warning", "blast-radius", 5)] * expected


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ("{type: object, properties: {p: {type: integr}}}", 2),
        ("{type: object, properties: {p: {type: integer, default: x}}}", 2),
        ("{type: array}", 2),
        ("{port: {type: integer}}", 2),
    ],
)
def test_a_wrong_schema_of_attributes_is_an_error(attributes: str, line: int) -> None:
    found = lint("- {id: a, type: noop, roles: [r]}", files={"roles.yaml": f"- name: r\n  attributes: {attributes}"})
    assert found == [("error", "bad-attribute-schema", line)]


def test_unknown_keys_are_warned_of_in_strict_catalogs_and_where_they_look_misspelt() -> None:
    tasks = "- id: a\n  type: noop\n  roles: [web]\n  colour: red\n  require: [a]\n  refresh_on: [x]"
    assert lint(tasks) == [("warning", "unknown-key", 4), ("warning", "unknown-key", 5)]
    assert lint(tasks, strict=False) == [("warning", "unknown-key", 5)]


def test_a_type_that_nothing_carries_out_is_an_error_in_a_strict_catalog() -> None:
    tasks = "- {id: a, type: puppet, roles: [web]}"
    assert lint(tasks) == [("error", "no-jig", 1)]
    assert lint(tasks, strict=False) == []
    assert lint("- {id: a, type: puppet, jig: script, roles: [web]}") == []


def test_a_wrong_node_filter_is_told_where_it_stands() -> None:
    files = {"graphs/delete/tasks.yaml": "[]", "graphs/delete/metadata.yaml": "\nnode_filter: '$.x ='"}
    (found,) = findings("[]", files=files)
    assert (found.code, str(found.place)) == ("bad-expression", "graphs/delete/metadata.yaml:2")


def test_names_are_not_held_against_roles_where_there_are_none() -> None:
    assert lint("- {id: a, type: noop, roles: [anything]}", files={"roles.yaml": ""}) == []


def test_two_tasks_of_one_id_are_found_in_a_catalog_from_anywhere() -> None:
    tasks = tuple(Task(id="a", type="stage", source=Position("x.yaml", line)) for line in (1, 5))
    catalog = Catalog(name="c", graphs={"deploy": Graph(type="deploy", tasks=tasks)})
    assert [(found.code, str(found.place)) for found in lint_catalog(catalog)] == [("duplicate-id", "x.yaml:5")]


def test_an_unsound_catalog_is_refused_with_every_error() -> None:
    tasks = "- {id: a, type: noop, roles: [webb], requires: [b]}\n- {id: c, type: noop, roles: [web], colour: red}"
    catalog = read_texts("c", {"tasks.yaml": tasks, "roles.yaml": ROLES, "catalog.yaml": "strict: true"})
    with pytest.raises(InvalidInput) as caught:
        refuse_unsound(catalog)
    assert len(caught.value.faults) == 2
    refuse_unsound(read_texts("c", {"tasks.yaml": tasks, "roles.yaml": ROLES}))
