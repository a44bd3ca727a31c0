"""Closures that compare new with old data, and those that write data as text."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from rackwright.engine.expressions.kinds import DATA, Missing, Unsure, finished
from rackwright.engine.expressions.parts import Closure
from rackwright.engine.expressions.reading import Place, Reading
from rackwright.engine.expressions.values import UNDEF, freeze, plain
from rackwright.engine.expressions.yaml_text import yaml_text


def finisher(*, clean: bool) -> Callable[[Any], Any]:
    """Give what makes plain data of a value."""
    return finished if clean else plain


def old_value(old: Closure, finish: Callable[[Any], Any]) -> Closure:
    """``old(...)``: the value over old data, UNDEF where there is none."""

    def run(place: Place, item: Any) -> Any:
        try:
            return finish(old(place, None))
        except Missing:
            return UNDEF

    return run


def changed(new: Closure, old: Closure, finish: Callable[[Any], Any]) -> Closure:
    """``changed(...)``: whether new and old value differ; without an old value they do."""

    def run(place: Place, item: Any) -> bool:
        value = new(place, None)
        if place.stands and value is not UNDEF:
            value = finish(value)
            # Of all values only "not a number" differs from itself.
            return type(value) is float and math.isnan(value)
        try:
            before = finish(old(place, None))
        except Missing:
            return True
        return bool(finish(value) != before)

    return run


def changed_path(new: Closure, old: Closure, reading: Reading) -> Closure:
    """``changed($.a.b)``: as the place answers, so that one comparison serves all expressions."""
    thoroughly = changed(new, old, finished)

    def run(place: Place, item: Any) -> bool:
        answer = place.answer(reading)
        if type(answer) is tuple and len(answer) == 3:
            return not answer[2]
        return bool(thoroughly(place, item))

    return run


def added(new: Closure, old: Closure, finish: Callable[[Any], Any]) -> Closure:
    """``added(...)``: what the new value has more; without an old value all of it."""
    old_of = old_value(old, finish)

    def run(place: Place, item: Any) -> Any:
        value, before = finish(new(place, None)), old_of(place, None)
        return value if before is UNDEF else surplus(before, value)

    return run


def deleted(new: Closure, old: Closure, finish: Callable[[Any], Any]) -> Closure:
    """``deleted(...)``: what the old value has more; null without an old value."""
    old_of = old_value(old, finish)

    def run(place: Place, item: Any) -> Any:
        value, before = finish(new(place, None)), old_of(place, None)
        return None if before is UNDEF else surplus(value, before)

    return run


def surplus(less: Any, more: Any) -> Any:
    """Give what of ``more`` is not in ``less``, one level deep; texts are taken by lines."""
    if type(less) is not type(more):
        return more
    if type(more) is dict:
        return {key: value for key, value in more.items() if key not in less or less[key] != value}
    if type(more) is str:
        return _surplus_items(less.splitlines(), more.splitlines())
    if type(more) is list:
        return _surplus_items(less, more)
    return None if less == more else more


def _surplus_items(less: list[Any], more: list[Any]) -> list[Any]:
    start = _same_beginning(less, more)
    if start == len(more):
        return []
    rest = [(freeze(item), item) for item in more[start:]]
    left = Counter(map(freeze, less[start:]))
    left.subtract(Counter(key for key, _ in rest))
    found = []
    for key, item in reversed(rest):
        if left[key] < 0:
            left[key] += 1
            found.append(item)
    return found[::-1]


def _same_beginning(one: list[Any], other: list[Any]) -> int:
    """Most items are the same, and those need no hash. Of equal items the last ones count as surplus."""
    if one == other:
        return len(other)
    for number, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            return number
    return min(len(one), len(other))


def is_undefined(inner: Closure) -> Closure:
    """``x.isUndef()``."""
    return lambda place, item: inner(place, item) is UNDEF


def as_yaml(inner: Closure, finish: Callable[[Any], Any]) -> Closure:
    """``x.toYaml()``: block style, keys in order."""
    return lambda place, item: yaml_text(_data(finish(inner(place, item))))


def as_json(inner: Closure, finish: Callable[[Any], Any]) -> Closure:
    """``x.toJson()``."""
    return lambda place, item: json.dumps(_data(finish(inner(place, item))))


def _data(value: Any) -> Any:
    if type(value) not in DATA:
        raise Unsure
    return value
