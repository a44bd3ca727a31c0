"""Expressions over new and old data: the added functions, the faults, templates and conditions."""

from __future__ import annotations

from typing import Any

import pytest

from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions import Context, Evaluator, expressions_in

NEW = {
    "uid": "2",
    "debug": True,
    "nothing": None,
    "roles": ["cinder", "compute"],
    "size": {"cpu": 4, "ram": 16},
    "text": "a\nb\nc",
    "nodes": {"n1": {"uid": "1"}, "n2": {"uid": "2"}},
}
OLD = {
    "debug": False,
    "nothing": None,
    "roles": ["compute", "mongo"],
    "size": {"cpu": 4, "disk": 1},
    "text": "a\nc",
    "nodes": {"n1": {"uid": "1"}},
}
BOTH = Context({}, NEW, OLD)
FIRST = Context({}, NEW)


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$.size.cpu + 1", 5),
        ("new($.debug)", True),
        ("old($.debug)", False),
        ("old($.uid).isUndef()", True),
        ("old($.debug).isUndef()", False),
        ("changed($.debug)", True),
        ("changed($.nothing)", False),
        ("changed($.size.cpu)", False),
        ("changed($.uid)", True),
        ("changed($.get(absent))", False),
        ("changed($.nodes.values().where($.uid = '1'))", False),
        ("changed($.nodes.values().where($.uid = '2'))", True),
        ("changed($.roles.toSet())", True),
        ("changedAny($.nothing, $.size.cpu)", False),
        ("changedAny($.nothing, $.debug)", True),
        ("changedAll($.uid, $.debug)", True),
        ("changedAll($.uid, $.nothing)", False),
        ("added($.roles)", ["cinder"]),
        ("deleted($.roles)", ["mongo"]),
        ("added($.size)", {"ram": 16}),
        ("deleted($.size)", {"disk": 1}),
        ("added($.text)", ["b"]),
        ("deleted($.text)", []),
        ("added($.nodes.values()).uid", ["2"]),
        ("added($.roles.toSet())", ["cinder"]),
        ("added($.nothing)", None),
        ("added($.uid)", "2"),
        ("deleted($.uid)", None),
        ("$.nodes.values().where($.uid = new($.uid)).uid", ["2"]),
        ("$.size.toYaml()", "cpu: 4\nram: 16\n"),
        ("$.size.toJson()", '{"cpu": 4, "ram": 16}'),
        ("{a => $.roles}.toYaml()", "a:\n- cinder\n- compute\n"),
        ("[z, 2, true, null, b].toSet()", [None, True, 2, "b", "z"]),
    ],
)
def test_an_expression_over_both_states_gives(expression: str, value: Any, evaluator: Evaluator) -> None:
    assert evaluator.evaluate(expression, BOTH) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("changed($.nothing)", True),
        ("changed($.get(absent))", False),
        ("changed($)", True),
        ("len(old($))", 0),
        ("added($.roles)", ["cinder", "compute"]),
        ("deleted($.roles)", None),
        ("changed($.nodes.values().where($.uid = '1'))", True),
    ],
)
def test_for_a_task_that_never_ran_all_it_names_is_new(expression: str, value: Any, evaluator: Evaluator) -> None:
    assert evaluator.evaluate(expression, FIRST) == value


def test_the_node_wins_over_what_all_share_and_mappings_are_merged(evaluator: Evaluator) -> None:
    context = Context({"a": {"x": 1, "y": 1}, "l": [1], "c": 1}, {"a": {"y": 2}, "l": [2]})
    assert evaluator.evaluate("$", context) == {"a": {"x": 1, "y": 2}, "l": [2], "c": 1}
    assert evaluator.evaluate("$node", context) == {"a": {"y": 2}, "l": [2]}
    assert evaluator.evaluate("$common.a.y", context) == 1


def test_there_is_no_limit_at_ten_thousand_nodes(evaluator: Evaluator) -> None:
    nodes = {f"n{number}": {"uid": number} for number in range(10_500)}
    context = Context({"nodes": nodes}, {}, {"nodes": nodes})
    assert evaluator.evaluate("$.nodes.values().where($.uid >= 500).len()", context) == 10_000
    assert evaluator.evaluate("changed($.nodes)", context) is False


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("$.absent", "there is no key 'absent'"),
        ("changed($.absent)", "there is no key 'absent'"),
        ("$.size.foo()", "this value has no method foo"),
        ("nosuch($)", "nosuch"),
        ("1 / 0", "ZeroDivisionError"),
        ("$.debug and (", "cannot be read: it ends too early"),
        ("1 +\n 2 )", "cannot be read: unexpected ')' at line 2, column 4"),
        ("$.a ~ 1", "cannot be read: unexpected"),
    ],
)
def test_a_fault_shows_place_expression_and_reason(expression: str, said: str, evaluator: Evaluator) -> None:
    with pytest.raises(InvalidInput) as caught:
        evaluator.evaluate(expression, BOTH, where="tasks.yaml:3: task t on node 2")
    assert said in caught.value.what
    assert " ".join(expression.split()) in caught.value.what
    assert caught.value.where == "tasks.yaml:3: task t on node 2"


def test_a_fault_does_not_spill_the_data(evaluator: Evaluator) -> None:
    with pytest.raises(InvalidInput) as caught:
        evaluator.evaluate("$.nosuch()", Context({}, {"password": "tell-nobody"}))
    assert "tell-nobody" not in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("$.a.where($ > 1).select($.b)", None),
        ("changedAny($.a, not $.get(b, {}).isUndef())", None),
        ("switch($.a => [x], true => [y])", None),
        ("def(mine, $ + 1) -> mine(2)", None),
        ("chnaged($.a)", "calls unknown functions: chnaged"),
        ("$.a.select(vaules($))", "calls unknown functions: vaules"),
        ("$.a(", "cannot be read: it ends too early"),
    ],
)
def test_an_expression_is_checked_before_there_is_data(expression: str, said: str | None, evaluator: Evaluator) -> None:
    found = evaluator.check(expression)
    assert found is None if said is None else said in str(found)


TEMPLATE = {
    "cmd": "run -i {CLUSTER_ID}",
    "json": '{"a": 1}',
    "regex": "^{CLUSTER_ID}$",
    "list": [{"yaql_exp": "$.uid"}, 3, None],
    "deep": {"amount": {"yaql_exp": "len($.roles)"}},
}


def test_a_template_is_filled_with_values(evaluator: Evaluator) -> None:
    filled = evaluator.render(TEMPLATE, NEW)
    assert filled == {**TEMPLATE, "list": ["2", 3, None], "deep": {"amount": 2}}


def test_with_names_texts_are_formatted_and_others_stay(evaluator: Evaluator) -> None:
    filled = evaluator.render(TEMPLATE, NEW, names={"CLUSTER_ID": 7})
    assert filled["cmd"] == "run -i 7"
    assert filled["json"] == '{"a": 1}'
    assert filled["regex"] == "^{CLUSTER_ID}$"


def test_the_expressions_of_a_template_are_listed_with_their_paths() -> None:
    assert list(expressions_in(TEMPLATE)) == [("/list/0", "$.uid"), ("/deep/amount", "len($.roles)")]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (True, True),
        (False, False),
        ({"yaql_exp": "$.debug"}, True),
        ({"yaql_exp": "$.nothing"}, False),
        ("settings:debug == true", True),
        ("settings:size.cpu == 5 or 'x' in settings:roles", False),
    ],
)
def test_a_condition_holds_or_not(condition: Any, holds: bool, evaluator: Evaluator) -> None:
    assert evaluator.holds(condition, NEW) is holds


def test_a_faulty_old_condition_names_task_and_column(evaluator: Evaluator) -> None:
    with pytest.raises(InvalidInput) as caught:
        evaluator.holds("settings:debug ==", NEW, where="task t on node 2")
    assert caught.value.where == "task t on node 2, column 18"


def test_an_expression_that_is_no_text_is_refused(evaluator: Evaluator) -> None:
    with pytest.raises(InvalidInput, match="an expression is a text, not 3"):
        evaluator.render({"yaql_exp": 3}, NEW)


def test_two_evaluators_do_not_disturb_each_other() -> None:
    assert [Evaluator().evaluate("changed($.debug)", BOTH) for _ in range(2)] == [True, True]
