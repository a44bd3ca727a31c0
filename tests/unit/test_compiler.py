"""Compiled expressions: what they read, what they share, when they leave it to the language."""

from __future__ import annotations

from typing import Any

import pytest

from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions import UNDEF, Compiled, Compiler, Place, Reading
from rackwright.engine.expressions.reading import Root

COMMON = {
    "debug": True,
    "nodes": {"n1": {"uid": "1", "roles": ["a"]}, "n2": {"uid": "2", "roles": ["b", "c"]}},
    "mixed": {"x": 1, "y": 1},
    "list": [{"k": 1}, {"k": 2}],
}
OLD_COMMON = {**COMMON, "debug": False, "nodes": {"n1": {"uid": "1", "roles": ["a"]}}}
NODE = {"uid": "2", "roles": ["b"], "mixed": {"y": 2}, "nothing": None}
OLD_NODE = {"uid": "2", "roles": ["b", "z"], "mixed": {"y": 2}}
OWN = frozenset(NODE)


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler()


def place(shared: dict[object, Any] | None = None, *, first: bool = False) -> Place:
    kept: dict[object, Any] = {} if shared is None else shared
    return Place(COMMON, NODE, None, None, kept) if first else Place(COMMON, NODE, OLD_COMMON, OLD_NODE, kept)


def value(name: Root, *path: str) -> Reading:
    return Reading("value", name, path)


def changed(*path: str) -> Reading:
    return Reading("changed", "new", path)


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("$.debug", []),
        ("changed($.debug)", []),
        ("$.uid", [value("new", "uid")]),
        ("$.mixed.x", [value("new", "mixed", "x")]),
        ("$.get(uid)", [value("new", "uid")]),
        ("$.mixed.get(x, 1) + $.mixed.y", [value("new", "mixed", "x"), value("new", "mixed", "y")]),
        ("$.mixed.x + len($.mixed)", [value("new", "mixed")]),
        ("changed($.uid)", [changed("uid")]),
        ("changed($)", [changed()]),
        ("changed($.get(uid))", [value("new", "uid"), value("old", "uid")]),
        ("changed(new($.uid))", [value("new", "uid")]),
        ("changedAny($.debug, $.uid, $.nodes)", [changed("uid")]),
        ("$.uid in added($.nodes.values()).uid", [value("new", "uid")]),
        ("$.nodes.values().where($.uid = new($.uid))", [value("new", "uid")]),
        ("$.nodes.get(concat(n, $.uid))", [value("new", "uid")]),
        ("len(old($)) > 0", [value("old")]),
        ("old($).get(debug)", []),
        ("$node.toYaml()", [value("node")]),
        ("$common.toYaml()", []),
        ("$.nodes.keys().orderBy($)", [value("new"), value("node"), value("old")]),
    ],
)
def test_an_expression_reads_what_places_may_differ_in(text: str, readings: list[Reading], compiler: Compiler) -> None:
    assert sorted(map(repr, compiler.compile(text, OWN).readings)) == sorted(map(repr, readings))


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("$.debug and $.mixed.x or $.mixed", (("debug",), ("mixed",))),
        ("changed($.nodes.n1) or $node.uid = $common.debug", (("debug",), ("nodes", "n1"), ("uid",))),
        ("$.list.where($.k = new($.uid))", (("list",), ("uid",))),
        ("$.get(list).first().k", (("list",),)),
        ("changed($)", ((),)),
        ("$.get($.uid)", ((),)),
        ("$.list.orderBy($.k)", ((),)),
        ("1 +", ((),)),
        ("1 + 1", ()),
    ],
)
def test_an_expression_tells_its_paths(text: str, paths: tuple[Any, ...], compiler: Compiler) -> None:
    assert compiler.paths(text) == paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$.mixed", {"x": 1, "y": 2}),
        ("$.list.k", [1, 2]),
        ("$.nodes.keys()", ["n1", "n2"]),
        ("$.nodes.values().where('b' in $.roles).uid", ["2"]),
        ("changedAny($.uid, $.debug)", True),
        ("changedAll($.debug, $.uid)", False),
        ("deleted($.roles)", ["z"]),
        ("added($.nodes.values()).uid", ["2"]),
        ("$.uid in added($.nodes.values()).uid", True),
        ("old($.nothing)", UNDEF),
        ("switch($.nothing => 1, $.debug => [two], true => 3)", ["two"]),
        ("$.nodes.values().roles.flatten().toSet()", ["a", "b", "c"]),
        ("[{name => x, role => $.roles.select('primary-' + $)}]", [{"name": "x", "role": ["primary-b"]}]),
        ("{a => $.list}.toYaml()", "a:\n- k: 1\n- k: 2\n"),
        ("$.list.orderBy(-$.k).k", [2, 1]),
    ],
)
def test_an_expression_has_its_value(text: str, expected: Any, compiler: Compiler) -> None:
    compiled = compiler.compile(text, OWN)
    assert compiled.evaluate(place()) == expected


def test_what_is_common_is_computed_once(compiler: Compiler) -> None:
    shared: dict[object, Any] = {}
    compiled = compiler.compile("$.nodes.values().where($.uid = '2').select($.roles)", OWN)
    first = compiled.evaluate(place(shared))
    kept = dict(shared)
    assert compiled.evaluate(place(shared)) == first == [["b", "c"]]
    assert kept
    assert shared == kept


def test_equal_pieces_of_different_expressions_share_their_value(compiler: Compiler) -> None:
    shared: dict[object, Any] = {}
    compiler.compile("$.uid in $.nodes.values().select($.uid)", OWN).evaluate(place(shared))
    before = set(shared)
    compiler.compile("$.uid + 'x' in $.nodes.values().select($.uid)", OWN).evaluate(place(shared))
    assert set(shared) == before


def test_a_loop_over_common_data_is_gone_through_once_for_all_expressions_that_have_it(compiler: Compiler) -> None:
    shared: dict[object, Any] = {}
    loop = "$.nodes.values().where($.uid != 'a')"
    assert compiler.compile(f"changed({loop})", OWN).evaluate(place(shared)) is True
    kept = next(value for key, value in shared.items() if str(key).startswith(".where(.values(new.nodes)"))
    kept.items.append({"uid": "added by the test"})
    assert compiler.compile(f"{loop}.select($.uid).last()", OWN).evaluate(place(shared)) == "added by the test"


def test_where_nothing_changed_the_old_data_is_not_gone_through(compiler: Compiler) -> None:
    gone_through: list[str] = []

    class Told(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            gone_through.append(key)
            return super().__getitem__(key)

    common = Told(COMMON)
    nodes = compiler.compile("changed($.nodes.values().where('b' in $.roles))", OWN)
    assert nodes.evaluate(Place(common, NODE, common, NODE, {})) is False
    assert gone_through == ["nodes"]
    assert nodes.evaluate(Place(common, NODE, OLD_COMMON, NODE, {})) is True
    assert nodes.evaluate(Place(common, NODE, None, None, {})) is True
    missing = compiler.compile("changed(old($.missing))", OWN)
    assert missing.evaluate(Place(COMMON, NODE, COMMON, NODE, {})) is missing.evaluate(place())


def test_where_a_task_never_ran_everything_is_new(compiler: Compiler) -> None:
    assert compiler.compile("changed($.debug)", OWN).evaluate(place(first=True)) is True
    assert compiler.compile("deleted($.roles)", OWN).evaluate(place(first=True)) is None
    assert compiler.compile("len(old($))", OWN).evaluate(place(first=True)) == 0
    assert compiler.compile("added(coalesce(old($.roles), []))", OWN).evaluate(place(first=True)) is UNDEF


def test_a_fault_is_told_as_the_language_tells_it(compiler: Compiler) -> None:
    with pytest.raises(InvalidInput, match="there is no key 'absent'") as caught:
        compiler.compile("$.mixed.absent", OWN).evaluate(place(), where="task t on node 2")
    assert caught.value.where == "task t on node 2"


def test_a_text_that_is_no_expression_is_refused_before_there_is_data(compiler: Compiler) -> None:
    with pytest.raises(InvalidInput, match="cannot be read") as caught:
        compiler.compile("$.a and (", OWN, where="tasks.yaml:3")
    assert caught.value.where == "tasks.yaml:3"


@pytest.mark.parametrize("text", ["$.list[0].k", "let(1) -> $", "$.list.orderBy($.k)", "$1.uid", "$.len(list => 1)"])
def test_what_closures_do_not_know_is_left_to_the_language(text: str, compiler: Compiler) -> None:
    assert not compiler.compile(text, OWN).closed


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ("$node.toYaml()", True),
        ("changed($)", True),
        ("changed($.get(x)) or not $.get(y)", True),
        ("old($.x.y.z).isUndef()", True),
        ("$.uid", False),
        ("changed($.uid)", False),
        ("len($.get(x))", False),
        ("$.list.orderBy($.k)", False),
    ],
)
def test_an_expression_knows_whether_it_can_fail(text: str, sure: bool, compiler: Compiler) -> None:
    assert compiler.compile(text, OWN).sure is sure


def test_an_expression_is_compiled_once_for_the_same_own_keys(compiler: Compiler) -> None:
    assert compiler.compile("$.uid", OWN) is compiler.compile("$.uid", OWN)
    assert compiler.compile("$.uid", frozenset()).readings == ()
    assert isinstance(compiler.compile("$.uid", OWN), Compiled)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 0.0}, {"a": -0.0}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": None}, {}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, False),
        ({"a": 10**30}, {"a": 10**30}, True),
        ({"a": [10**30]}, {"a": [10**30 + 1]}, False),
    ],
)
def test_answers_are_equal_for_equal_data_only(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    places = [Place({}, node, None, None, {}) for node in (one, other)]
    for reading in (value("new", "a"), value("new"), value("node")):
        assert (places[0].answer(reading) == places[1].answer(reading)) is same


def test_an_answer_tells_where_a_path_ends() -> None:
    def answer(node: dict[str, Any]) -> object:
        return Place({}, node, None, None, {}).answer(value("new", "a", "b", "c"))

    nodes: list[dict[str, Any]] = [{}, {"a": {}}, {"a": {"b": {}}}, {"a": [1]}, {"a": [2]}, {"a": {"b": 1}}]
    answers = [answer(node) for node in nodes]
    assert len(set(answers)) == len(answers)
    assert answer({"a": {"z": 1}}) == answer({"a": {}})
