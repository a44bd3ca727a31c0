"""Lint of what roles say of one another, and how it is read."""

from __future__ import annotations

from rackwright.engine.catalogs import examine_texts, lint_catalog, read_texts
from rackwright.engine.expressions import Evaluator

EVALUATOR = Evaluator()


def lint(roles: str, tasks: str = "- {id: start, type: stage}") -> list[tuple[str, str, int]]:
    catalog = read_texts("c", {"roles.yaml": roles, "tasks.yaml": tasks, "catalog.yaml": "strict: true"})
    return [(found.severity, found.code, found.place.line) for found in lint_catalog(catalog, EVALUATOR)]


def test_every_word_of_a_role_is_read() -> None:
    text = """
- name: web
  requires: [base, store]
  precedes: [probe]
  provides: [http]
  conflicts: [mail]
  implicit: true
  discovery: true
  cluster: true
  milestone: true
- {name: dns, service: true}
- {name: store, abstract: true}
"""
    roles = read_texts("c", {"roles.yaml": text}).roles
    web = roles["web"]
    assert (web.requires, web.precedes, web.provides) == (("base", "store"), ("probe",), ("http",))
    assert (web.conflicts, web.implicit, web.discovery, web.cluster, web.milestone) == (("mail",), *[True] * 4)
    assert (web.service, roles["dns"].service, roles["store"].abstract) == (False, True, True)


def test_a_wrong_word_is_a_fault_with_its_line() -> None:
    found = examine_texts("c", {"roles.yaml": "- name: web\n  requires: base\n  cluster: 1\n"}).findings
    assert [(fault.code, fault.place.line) for fault in found] == [("bad-value", 2), ("bad-value", 3)]
    assert all(fault.mend for fault in found)


def test_names_that_no_role_has_or_provides_are_found() -> None:
    found = lint("- {name: a, provides: [x]}\n- name: b\n  requires: [x, y]\n  precedes: [z]\n  conflicts: [v]\n")
    assert found == [("error", "unknown-role", 3), ("warning", "unknown-role", 4), ("warning", "unknown-role", 5)]


def test_an_abstract_role_without_a_provider_is_a_warning() -> None:
    assert lint("- name: a\n  abstract: true\n") == [("warning", "no-provider", 2)]
    assert lint("- {name: a, abstract: true}\n- {name: b, provides: [a]}\n") == []


def test_roles_in_a_ring_are_an_error_with_the_path() -> None:
    assert lint("- {name: a, requires: [b]}\n- {name: b, requires: [a]}\n") == [("error", "cycle", 1)]


def test_a_task_of_a_service_works_on_the_deployment() -> None:
    roles = "- {name: dns, service: true}"
    assert lint(roles, "- {id: t, type: noop, roles: [dns]}") == [("error", "service-scope", 1)]
    assert lint(roles, "- {id: t, type: noop, roles: [dns], scope: deployment}") == []


def test_an_order_of_tasks_against_that_of_their_roles_is_a_cycle() -> None:
    tasks = "- {id: a, type: noop, roles: [app]}\n- {id: b, type: noop, roles: [base], requires: [a]}\n"
    assert lint("- {name: base, implicit: true}\n- {name: app, requires: [base]}\n", tasks) == [("error", "cycle", 1)]


def test_a_role_whose_company_excludes_it_can_never_be_bound() -> None:
    roles = "- {name: base, implicit: true}\n- {name: mid, implicit: true, requires: [base]}\n"
    assert lint(roles + "- {name: app, requires: [mid], conflicts: [base]}\n") == [("error", "never-together", 3)]
    assert lint(roles + "- {name: app, requires: [mid]}\n") == []
