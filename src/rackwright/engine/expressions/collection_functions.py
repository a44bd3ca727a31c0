"""Closures of the functions of collections and texts: ``get``, ``values``, ``where``, ``any``, ``len``, ``matches``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from rackwright.engine.expressions.kinds import (
    DATA,
    ITERABLE,
    SCALARS,
    SETS,
    Missing,
    Stream,
    Unsure,
    iterable,
    refused,
)
from rackwright.engine.expressions.parts import Closure
from rackwright.engine.expressions.reading import Place

_WITH_LENGTH: Final = SETS | {str, list, dict, tuple}


def get(inner: Closure, key_of: Closure, default_of: Closure | None = None) -> Closure:
    """A mapping's value, or the default (null)."""

    def run(place: Place, item: Any) -> Any:
        value, key = inner(place, item), key_of(place, item)
        default = None if default_of is None else default_of(place, item)
        if type(value) is not dict:
            raise refused(value)
        if type(key) not in SCALARS:
            raise Unsure
        return value.get(key, default)

    return run


def get_constant(inner: Closure, key: Any, default: Any) -> Closure:
    """The same with key and default known."""

    def run(place: Place, item: Any) -> Any:
        value = inner(place, item)
        if type(value) is dict:
            return value.get(key, default)
        raise refused(value)

    return run


def view(inner: Closure, *, of: Callable[[dict[Any, Any]], Any]) -> Closure:
    """A mapping's keys, values or items."""

    def run(place: Place, item: Any) -> Any:
        value = inner(place, item)
        if type(value) is dict:
            return of(value)
        raise refused(value)

    return run


def where(inner: Closure, holds: Closure) -> Closure:
    """The items for which a lambda holds, lazily."""

    def run(place: Place, item: Any) -> Stream:
        return Stream(filter(lambda one: holds(place, one), iterable(inner(place, item))))

    return run


def where_equal(inner: Closure, holds: Closure, value_of: Closure, *, key: str, name: str) -> Closure:
    """``where($.key = value)`` in a collection that all places share, found by an index that is made once.

    ``value_of`` is not about the item. ``holds`` is the whole condition, for collections that have no index.
    """
    one_by_one: Callable[[Place, Any], Stream] = where(inner, holds)
    marker = "index", key, name

    def run(place: Place, item: Any) -> Stream:
        shared = place.shared
        if marker not in shared:
            shared[marker] = _index(inner, key, place)
        index: dict[str, list[Any]] | None = shared[marker]
        return one_by_one(place, item) if index is None else Stream(found(index, place))

    def found(index: dict[str, list[Any]], place: Place) -> Iterator[Any]:
        if index:
            value = value_of(place, None)
            yield from index.get(value, ()) if type(value) is str else one_by_one(place, None)

    return run


def _index(inner: Closure, key: str, place: Place) -> dict[str, list[Any]] | None:
    """The items by a text that all of them have under the key; None if that is not so."""
    index: dict[str, list[Any]] = {}
    try:
        for item in iterable(inner(place, None)):
            value = item.get(key) if type(item) is dict else None
            if type(value) is not str:
                return None
            index.setdefault(value, []).append(item)
    except (Missing, Unsure):
        return None
    return index


def select(inner: Closure, value_of: Closure) -> Closure:
    """What a lambda makes of each item, lazily."""

    def run(place: Place, item: Any) -> Stream:
        return Stream(map(lambda one: value_of(place, one), iterable(inner(place, item))))

    return run


def any_item(inner: Closure, holds: Closure | None = None) -> Closure:
    """Whether a lambda holds for an item; without a lambda, whether there is an item."""

    def run(place: Place, item: Any) -> bool:
        items = iterable(inner(place, item))
        if holds is None:
            return any(True for _ in items)
        return any(holds(place, one) for one in items)

    return run


def all_items(inner: Closure, holds: Closure | None = None) -> Closure:
    """Whether a lambda holds for all items; without a lambda, whether all are true."""

    def run(place: Place, item: Any) -> bool:
        items = iterable(inner(place, item))
        return all(items) if holds is None else all(holds(place, one) for one in items)

    return run


def length(inner: Closure) -> Closure:
    """How many items, keys or characters."""

    def run(place: Place, item: Any) -> int:
        value = inner(place, item)
        kind = type(value)
        if kind in _WITH_LENGTH:
            return len(value)
        if kind is Stream:
            return sum(1 for _ in value)
        raise refused(value)

    return run


def matches(inner: Closure, pattern_of: Closure) -> Closure:
    """Whether a regular expression is found in a text."""

    def run(place: Place, item: Any) -> bool:
        value, pattern = inner(place, item), pattern_of(place, item)
        if type(value) is not str:
            raise refused(value)
        if type(pattern) is not str:
            raise Unsure
        return _search(pattern)(value) is not None

    return run


@lru_cache(maxsize=4096)
def _search(pattern: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(pattern).search


def concat(*inner: Closure) -> Closure:
    """``concat(...)``: texts joined, or collections one after the other."""

    def run(place: Place, item: Any) -> Any:
        values = [value_of(place, item) for value_of in inner]
        kinds = set(map(type, values))
        if kinds == {str}:
            return "".join(values)
        if kinds <= ITERABLE:
            return Stream(chain(*values))
        raise Missing if kinds <= DATA | ITERABLE else Unsure

    return run


def concat_collections(*inner: Closure) -> Closure:
    """``x.concat(...)``: collections one after the other, lazily."""

    def run(place: Place, item: Any) -> Stream:
        values = [value_of(place, item) for value_of in inner]
        return Stream(chain(*map(iterable, values)))

    return run


def flatten(inner: Closure) -> Closure:
    """The items of items of items, lazily."""

    def run(place: Place, item: Any) -> Stream:
        return Stream(_flat(iterable(inner(place, item))))

    return run


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if type(item) in ITERABLE:
            yield from _flat(item)
        else:
            yield item


def to_set(inner: Closure) -> Closure:
    """The items without repetition."""

    def run(place: Place, item: Any) -> frozenset[Any]:
        items = list(iterable(inner(place, item)))
        if any(type(one) not in SCALARS for one in items):
            raise Unsure
        return frozenset(items)

    return run


def intersect(left: Closure, right: Closure) -> Closure:
    """What two sets have in common."""

    def run(place: Place, item: Any) -> frozenset[Any]:
        first, second = left(place, item), right(place, item)
        if type(first) is frozenset and type(second) is frozenset:
            return first.intersection(second)
        raise Unsure

    return run


def first(inner: Closure, default_of: Closure | None = None) -> Closure:
    """The first item, or the default."""

    def run(place: Place, item: Any) -> Any:
        items = inner(place, item)
        default = default_of(place, item) if default_of is not None else None
        for one in iterable(items):
            return one
        if default_of is None:
            raise Missing
        return default

    return run


def last(inner: Closure, default_of: Closure | None = None) -> Closure:
    """The last item, or the default."""

    def run(place: Place, item: Any) -> Any:
        items = inner(place, item)
        default = default_of(place, item) if default_of is not None else None
        found = list(iterable(items))
        if found:
            return found[-1]
        if default_of is None:
            raise Missing
        return default

    return run
