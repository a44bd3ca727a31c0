"""Whatever is asked of whatever data: compiled expressions say what the language says, and read what they told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions import UNDEF, Compiler, Evaluator, Place
from rackwright.engine.expressions.compiler import context_of

EVALUATOR = Evaluator()
COMPILER = Compiler(EVALUATOR)
WORK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
Outcome = tuple[str, Any]

# ---- data

KEYS = ["a", "b", "c", "l", "m"]
scalars = st.sampled_from([None, True, False, 0, 1, 2, 1.0, 2.5, -1, "", "a", "b", "a\nb", "1", "é: x"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
rows = st.lists(st.dictionaries(st.sampled_from(KEYS), scalars, max_size=3), max_size=4)
tables = st.dictionaries(st.sampled_from(["x", "y"]), st.dictionaries(st.sampled_from(KEYS), values, max_size=3))
parts = st.fixed_dictionaries({}, optional={"a": values, "b": scalars, "c": values, "l": rows, "m": tables})


class World(NamedTuple):
    """Places that share their common data, as a state file makes them."""

    common: dict[str, Any]
    old_common: dict[str, Any]
    nodes: list[tuple[dict[str, Any], dict[str, Any] | None]]

    def places(self, *, shared: bool = True) -> list[Place]:
        """Make them; without ``shared`` none profits from another one."""
        kept: dict[bool, dict[object, Any]] = {True: {}, False: {}}
        return [
            Place(self.common, node, self.old_common, old, kept[old is None] if shared else {})
            for node, old in self.nodes
        ]

    @property
    def own(self) -> frozenset[str]:
        return frozenset(key for node, old in self.nodes for key in (*node, *(old or {})))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    common = draw(parts)
    node = draw(parts)
    old_node = draw(st.none() | st.just(node) | parts)
    others = draw(st.lists(st.tuples(st.just(node) | parts, st.none() | st.just(old_node) | parts), max_size=2))
    return World(common, draw(st.just(common) | parts), [(node, old_node), *others])


# ---- expressions

names = st.sampled_from(KEYS)
constants = st.sampled_from(["1", "2", "1.0", "0", "'a'", "'b'", "a", "true", "false", "null", "[]", "{}", "-1", "''"])
roots = st.sampled_from(["$", "$", "$", "$node", "$common"])
atoms = (
    st.tuples(roots, names).map(".".join)
    | st.tuples(roots, names, names).map(".".join)
    | st.tuples(roots, names).map(lambda pair: f"{pair[0]}.get({pair[1]})")
    | st.tuples(roots, names, constants).map(lambda three: f"{three[0]}.get({three[1]}, {three[2]})")
    | constants
    | roots
)
ONE = [
    "{}.a", "({}).b", "({})?.a", "({}).get(a)", "({}).get(m, 1)", "({}).values()", "({}).keys()", "({}).items()",
    "({}).any()", "({}).all()", "({}).len()", "len({})", "any({})", "({}).matches('a|b')", "({}).flatten()",
    "({}).toSet()", "({}).first()", "({}).last()", "({}).first(null)", "({}).last(0)", "({}).isUndef()",
    "({}).toYaml()", "({}).toJson()", "not ({})", "new({})", "old({})", "changed({})", "added({})", "deleted({})",
    "[{}]", "{{a => {}}}", "coalesce({}, 1)", "old({}).isUndef()", "len(old({}))", "added({}).a", "({}).values().a",
    "changed(({}).get(a))", "({}).l.where($.a = 1)", "($.m).values().where({})", "$.l.a.select({})",
]  # fmt: skip
TWO = [
    "({}) = ({})", "({}) != ({})", "({}) in ({})", "({}) and ({})", "({}) or ({})", "({}) < ({})", "({}) >= ({})",
    "({}) + ({})", "({}) - ({})", "({}) * ({})", "({}).where({})", "({}).select({})", "({}).any({})", "({}).all({})",
    "any({}, {})", "concat({}, {})", "({}).concat({})", "coalesce({}, {})", "({}).get({})", "changedAny({}, {})",
    "changedAll({}, {})", "({}).toSet().intersect(({}).toSet())", "switch({} => {})", "[{}, {}]",
    "{{a => {}, b => {}}}",
    "({}).values().where($.a = new({}))", "({}) in added({})", "({}).matches({})", "({}) in ({}).keys()",
    "({}).where($.a in new({}))", "switch({} => 1, true => {})", "({}) in ({}).items().select($.first())",
]  # fmt: skip
expressions = st.recursive(
    atoms,
    lambda inner: (
        st.tuples(st.sampled_from(ONE), inner).map(lambda pair: pair[0].format(pair[1]))
        | st.tuples(st.sampled_from(TWO), inner, inner).map(lambda three: three[0].format(three[1], three[2]))
    ),
    max_leaves=4,
)

# Random pieces seldom fit each other: here each piece has a kind, and most expressions have a value.
BY_KIND: dict[str, list[str]] = {
    "number": ["$.n", "$node.n", "1", "2.5", "len(<text>)", "len(<list>)", "<number> + <number>", "<row>.get(n, 0)",
               "<rows>.len()", "<number> - <number>", "len(old($))", "<any>.toJson().len()", "len(<table>.keys())"],
    "text": ["$.s", "$.row.s", "'a'", "$.get(s, x)", "concat(<text>, <text>)", "<text> + <text>", "<list>.first(a)",
             "<any>.toYaml()", "coalesce($.get(z), <text>)", "<row>.get(s, '')", "new(<text>)", "<rows>.s.first('')"],
    "test": ["<any> = <any>", "<text> in <list>", "<text> in <text>", "not <test>", "<test> and <test>",
             "changed(<any>)", "<test> or <test>", "changedAny(<any>, <any>, <any>)", "changedAll(<any>, <any>)",
             "<text> != <text>", "<rows>.any($.n = 1)", "<list>.any($.matches('a|1'))", "<list>.all($ = new(<text>))",
             "<number> < <number>", "old(<any>).isUndef()", "<text> in added(<list>)", "<text> in added(<rows>).s",
             "changed(new(<any>))", "<text> in <table>.values().s", "changed($)", "changed(<row>.s)", "old(<test>)",
             "<text>.matches('a')"],
    "list": ["$.list", "[<text>, <text>]", "<list>.where($ != <text>)", "<rows>.s", "added(<list>)",
             "<rows>.list.flatten()", "<list>.toSet()", "<list>.toSet().intersect(<list>.toSet())", "<list> + <list>",
             "concat(<list>, <list>)", "<list>.select($ + <text>)", "<table>.keys()", "coalesce(deleted(<list>), [])",
             "<list>.select(new(<text>))", "$.row.list", "coalesce(old($.list), [])", "$.get(list, [])",
             "<rows>.select($.get(s, new($.s)))"],
    "row": ["$.row", "<rows>.last({})", "{s => <text>, n => <number>}", "<table>.get(<text>, {})", "<row> + <row>",
            "new($)", "$node", "$common", "<rows>.where($.s = new(<text>)).first({})", "coalesce(added(<row>), {})",
            "old($)"],
    "rows": ["$.rows", "<table>.values()", "<rows>.where($.s = <text>)", "<rows>.where($.s = new(<text>))",
             "added(<rows>)", "<rows>.where(<text> in $.list)", "[<row>]", "<rows>.select($.row)",
             "$.table.values().where($.s = new($.s))", "coalesce(deleted(<rows>), [])",
             "<table>.items().select($.last())", "switch(<test> => <rows>, true => [])"],
    "table": ["$.table", "$.get(table, {})", "{a => <row>}", "$common.table", "coalesce(old(<table>), {})"],
}  # fmt: skip
KINDS = sorted(BY_KIND)


@st.composite
def sensible(draw: st.DrawFn, kind: str = "any", depth: int = 4) -> str:
    """An expression whose pieces fit."""
    kind = draw(st.sampled_from(KINDS)) if kind == "any" else kind
    pieces = [piece for piece in BY_KIND[kind] if depth > 0 or "<" not in piece.replace(" < ", "")]
    filled = draw(st.sampled_from(pieces))
    while "<" in (rest := filled.replace(" < ", " ")):
        inner = rest.partition("<")[2].partition(">")[0]
        filled = filled.replace(f"<{inner}>", f"({draw(sensible(inner, depth - 1))})", 1)
    return filled


words = st.sampled_from(["a", "b", "a\nb", "1", ""])
usual_rows = st.fixed_dictionaries(
    {
        "s": words,
        "n": st.sampled_from([0, 1, 1.0, True]),
        "list": st.lists(words, max_size=3),
        "row": st.just({"s": "a"}),
    }
)
usual: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(0, 3),
    "s": words,
    "list": st.lists(words, max_size=3),
    "row": usual_rows,
    "rows": st.lists(usual_rows, max_size=3),
    "table": st.dictionaries(words, usual_rows, max_size=3),
}
usual_parts = st.fixed_dictionaries({}, optional=usual)
full = st.fixed_dictionaries(usual)


@st.composite
def usual_worlds(draw: st.DrawFn) -> World:
    """Common data that has everything, nodes that have a little."""
    common = draw(full)
    node = draw(usual_parts)
    nodes = st.tuples(st.just(node) | usual_parts, st.none() | st.just(node) | usual_parts)
    return World(common, draw(st.just(common) | full), draw(st.lists(nodes, min_size=1, max_size=3)))


asked = st.one_of(st.tuples(expressions, worlds()), *[st.tuples(sensible(), usual_worlds())] * 3)


def outcome(evaluate: Callable[[], Any]) -> Outcome:
    """The value with its kinds, or the fault."""
    try:
        return "value", exact(evaluate())
    except InvalidInput as error:
        return "fault", str(error)


def exact(value: Any) -> Any:
    """A form in which 1, 1.0 and true differ, and the order of keys counts."""
    if isinstance(value, dict):
        return "dict", [(exact(key), exact(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return "list", [exact(inner) for inner in value]
    return type(value).__name__, "UNDEF" if value is UNDEF else repr(value)


def said(text: str, place: Place) -> Outcome:
    """What the language itself says."""
    return outcome(partial(EVALUATOR.evaluate, text, context_of(place)))


@WORK
@given(asked)
def test_a_compiled_expression_gives_the_value_or_the_fault_of_the_language(case: tuple[str, World]) -> None:
    text, world = case
    compiled = COMPILER.compile(text, world.own)
    for place in world.places():
        assert outcome(partial(compiled.evaluate, place)) == said(text, place)


@WORK
@given(asked)
def test_places_with_equal_answers_to_all_readings_give_equal_values(case: tuple[str, World]) -> None:
    text, world = case
    compiled = COMPILER.compile(text, world.own)
    seen: dict[Any, Outcome] = {}
    for place in world.places():
        key = id(place.shared), tuple(map(place.answer, compiled.readings))
        assert seen.setdefault(key, said(text, place)) == said(text, place)


@WORK
@given(st.lists(sensible(), min_size=1, max_size=4), usual_worlds())
def test_what_places_share_never_changes_a_value(texts: list[str], world: World) -> None:
    """Not even between chunks of places that have other own keys."""
    together, alone = world.places(), world.places(shared=False)
    for text in (*texts, *texts):
        for place, single in zip(together, alone, strict=True):
            compiled = COMPILER.compile(text, frozenset({*place.node, *place.old_node}))
            assert outcome(partial(compiled.evaluate, place)) == said(text, single)


@WORK
@given(asked)
def test_an_expression_that_is_sure_never_fails(case: tuple[str, World]) -> None:
    text, world = case
    if COMPILER.compile(text, world.own).sure:
        assert {said(text, place)[0] for place in world.places()} == {"value"}


@WORK
@given(asked)
def test_data_outside_the_paths_of_an_expression_never_matters(case: tuple[str, World]) -> None:
    text, world = case
    paths = COMPILER.paths(text)
    heads = {path[0] for path in paths if path}
    if () in paths:
        return
    kept = [{key: value for key, value in part.items() if key in heads} for part in (world.common, world.old_common)]
    nodes = [
        ({key: value for key, value in node.items() if key in heads},
         None if old is None else {key: value for key, value in old.items() if key in heads})
        for node, old in world.nodes
    ]  # fmt: skip
    other = World(kept[0], kept[1], nodes)
    for before, after in zip(world.places(), other.places(), strict=True):
        assert said(text, before) == said(text, after)
