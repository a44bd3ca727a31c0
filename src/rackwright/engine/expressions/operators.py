"""Closures of operators, literals and branching."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from rackwright.engine.expressions.kinds import ITEMS, ITERABLE, SCALARS, SETS, Missing, Stream, Unsure, refused
from rackwright.engine.expressions.parts import Closure
from rackwright.engine.expressions.reading import Place

_ORDERS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SUMS: Final[dict[str, Callable[[Any, Any], Any]]] = {"-": operator.sub, "*": operator.mul}
NUMBERS: Final = frozenset({int, float})


def constant(value: Any) -> Closure:
    """Always the same value."""
    return lambda place, item: value


def the_item(place: Place, item: Any) -> Any:
    """``$`` in a lambda."""
    return item


def both(left: Closure, right: Closure) -> Closure:
    """``and``: the value that decides, not its truth."""

    def run(place: Place, item: Any) -> Any:
        value = left(place, item)
        return right(place, item) if value else value

    return run


def either(left: Closure, right: Closure) -> Closure:
    """``or``: the value that decides, not its truth."""

    def run(place: Place, item: Any) -> Any:
        value = left(place, item)
        return value if value else right(place, item)

    return run


def negation(inner: Closure) -> Closure:
    """``not``."""
    return lambda place, item: not inner(place, item)


def equality(left: Closure, right: Closure, *, equal: bool, known: frozenset[type]) -> Closure:
    """``=`` and ``!=`` of values of the known kinds."""

    def run(place: Place, item: Any) -> bool:
        first, second = left(place, item), right(place, item)
        if type(first) not in known or type(second) not in known:
            raise Unsure
        return bool(first == second) is equal

    return run


def order(sign: str, left: Closure, right: Closure) -> Closure:
    """``<``, ``<=``, ``>``, ``>=``: of two numbers or two texts; null is less than anything else."""
    compare = _ORDERS[sign]

    def run(place: Place, item: Any) -> bool:
        first, second = left(place, item), right(place, item)
        kinds = type(first), type(second)
        if kinds == (str, str) or (kinds[0] in NUMBERS and kinds[1] in NUMBERS):
            return bool(compare(first, second))
        if first is None or second is None:
            if kinds[0] in SCALARS and kinds[1] in SCALARS:
                return bool(compare(first is not None, second is not None))
            raise Unsure
        raise _not_of_one_kind(kinds)

    return run


def addition(left: Closure, right: Closure) -> Closure:
    """``+``: of numbers, texts, lists and mappings."""

    def run(place: Place, item: Any) -> Any:
        first, second = left(place, item), right(place, item)
        kinds = type(first), type(second)
        if kinds in {(str, str), (list, list)} or (kinds[0] in NUMBERS and kinds[1] in NUMBERS):
            return first + second
        if kinds == (dict, dict):
            return {**first, **second}
        raise _not_of_one_kind(kinds)

    return run


def arithmetic(sign: str, left: Closure, right: Closure) -> Closure:
    """``-`` and ``*`` of numbers."""
    compute = _SUMS[sign]

    def run(place: Place, item: Any) -> Any:
        first, second = left(place, item), right(place, item)
        if type(first) in NUMBERS and type(second) in NUMBERS:
            return compute(first, second)
        raise Unsure

    return run


def membership(left: Closure, right: Closure, *, known: frozenset[type]) -> Closure:
    """``in``: an item, of one of the known kinds, of a collection, or a text in a text."""

    def run(place: Place, item: Any) -> bool:
        value, whole = left(place, item), right(place, item)
        kind = type(whole)
        if kind is str:
            if type(value) is str:
                return value in whole
            raise refused(value)
        if kind not in ITERABLE:
            raise refused(whole)
        if kind is ITEMS or type(value) not in (SCALARS if kind in SETS else known):
            raise Unsure
        return value in whole

    return run


def membership_in_shared(left: Closure, right: Closure, *, known: frozenset[type], key: str) -> Closure:
    """``in`` a collection that all places share: a set of its texts is made once."""
    plainly: Callable[[Place, Any], bool] = membership(left, right, known=known)
    marker = ("texts", key)

    def run(place: Place, item: Any) -> bool:
        shared = place.shared
        if marker not in shared:
            shared[marker] = _texts(right, place)
        texts: frozenset[str] | None = shared[marker]
        value = left(place, item)
        return value in texts if texts is not None and type(value) is str else plainly(place, item)

    return run


def _texts(whole: Closure, place: Place) -> frozenset[str] | None:
    try:
        value = whole(place, None)
        items = list(value) if type(value) in (list, Stream, frozenset) else None
    except Exception:
        return None
    return frozenset(items) if items is not None and all(type(item) is str for item in items) else None


def list_of(*inner: Closure) -> Closure:
    """A list literal."""
    return lambda place, item: [run(place, item) for run in inner]


def mapping_of(*inner: Closure) -> Closure:
    """A mapping literal; keys and values take turns in ``inner``."""
    pairs = tuple(zip(inner[::2], inner[1::2], strict=True))

    def run(place: Place, item: Any) -> dict[Any, Any]:
        made = {}
        for key_of, value_of in pairs:
            key = key_of(place, item)
            if type(key) not in SCALARS:
                raise Unsure
            made[key] = value_of(place, item)
        return made

    return run


def switch(*inner: Closure) -> Closure:
    """The value of the first case that holds, else null; cases and values take turns in ``inner``."""
    pairs = tuple(zip(inner[::2], inner[1::2], strict=True))

    def run(place: Place, item: Any) -> Any:
        for holds, value in pairs:
            if holds(place, item):
                return value(place, item)
        return None

    return run


def coalesce(*inner: Closure) -> Closure:
    """The first value that is not null."""

    def run(place: Place, item: Any) -> Any:
        for value_of in inner:
            value = value_of(place, item)
            if value is not None:
                return value
        return None

    return run


def any_of(*inner: Closure) -> Closure:
    """Whether one holds; the rest is not looked at."""

    def run(place: Place, item: Any) -> bool:
        return any(holds(place, item) for holds in inner)

    return run


def all_of(*inner: Closure) -> Closure:
    """Whether all hold; after one that does not the rest is not looked at."""

    def run(place: Place, item: Any) -> bool:
        return all(holds(place, item) for holds in inner)

    return run


def _not_of_one_kind(kinds: tuple[type, type]) -> Exception:
    """Two scalars that do not go together surely fail; other pairs may mean something."""
    return Missing() if kinds[0] in SCALARS and kinds[1] in SCALARS else Unsure()
