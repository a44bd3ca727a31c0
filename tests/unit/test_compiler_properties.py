"""Whatever is asked of whatever data: compiled expressions say what the language says, and read what they told."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions import UNDEF, Compiler, Evaluator, Place
from rackwright.engine.expressions.compiler import context_of

EVALUATOR = Evaluator()
COMPILER = Compiler(EVALUATOR)
WORK = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
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


def outcome(evaluate: Any) -> Outcome:
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
    return outcome(lambda: EVALUATOR.evaluate(text, context_of(place)))


@WORK
@given(expressions, worlds())
def test_a_compiled_expression_gives_the_value_or_the_fault_of_the_language(text: str, world: World) -> None:
    compiled = COMPILER.compile(text, world.own)
    for place in world.places():
        assert outcome(lambda place=place: compiled.evaluate(place)) == said(text, place)


@WORK
@given(expressions, worlds())
def test_places_with_equal_answers_to_all_readings_give_equal_values(text: str, world: World) -> None:
    compiled = COMPILER.compile(text, world.own)
    seen: dict[Any, Outcome] = {}
    for place in world.places():
        key = id(place.shared), tuple(map(place.answer, compiled.readings))
        assert seen.setdefault(key, said(text, place)) == said(text, place)


@WORK
@given(st.lists(expressions, min_size=1, max_size=4), worlds())
def test_what_places_share_never_changes_a_value(texts: list[str], world: World) -> None:
    alone = world.places(shared=False)
    for text in (*texts, *texts):
        compiled = COMPILER.compile(text, world.own)
        for together, single in zip(world.places(), alone, strict=True):
            first = outcome(lambda together=together, compiled=compiled: compiled.evaluate(together))
            assert first == outcome(lambda single=single, compiled=compiled: compiled.evaluate(single))


@WORK
@given(expressions, worlds())
def test_an_expression_that_is_sure_never_fails(text: str, world: World) -> None:
    if COMPILER.compile(text, world.own).sure:
        assert {said(text, place)[0] for place in world.places()} == {"value"}


@WORK
@given(expressions, worlds())
def test_data_outside_the_paths_of_an_expression_never_matters(text: str, world: World) -> None:
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
