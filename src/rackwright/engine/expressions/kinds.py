"""The values inside compiled expressions: plain data as it is, and what the language computes lazily.

Lists stand for the language's tuples. Views of dicts and frozensets are what they are there. A lazy collection is a
``Stream``: like there it is always true, has no length and equals nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from rackwright.engine.expressions.values import plain


class Missing(Exception):
    """The language surely fails here: a key is not there, or a value has no such method."""


class Unsure(Exception):
    """A case that the closures were not written for: the language itself must answer."""


class Stream:
    """A collection that is computed when it is iterated; some can be iterated once only."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


SCALARS: Final[frozenset[type]] = frozenset({str, int, float, bool, type(None)})
KEYS: Final[type] = type({"a": 1}.keys())
VALUES: Final[type] = type({"a": 1}.values())
ITEMS: Final[type] = type({"a": 1}.items())
DATA: Final[frozenset[type]] = SCALARS | {dict, list}
SETS: Final[frozenset[type]] = frozenset({frozenset, KEYS, ITEMS})
ITERABLE: Final[frozenset[type]] = SETS | {list, tuple, Stream, VALUES}
"""What the functions of collections take."""


def iterable(value: Any) -> Any:
    """Give a value that is a collection. Raises Missing for scalars and mappings, Unsure for what is unknown."""
    kind = type(value)
    if kind in ITERABLE:
        return value
    raise _refusal(kind)


def refused(value: Any) -> Exception:
    """Give the error of a method or operator that is not there for this kind of value."""
    kind = type(value)
    return Missing() if kind in ITERABLE else _refusal(kind)


def finished(value: Any) -> Any:
    """Give plain data: what is lazy is computed. Data is given as it is, so it must hold nothing lazy."""
    kind = type(value)
    if kind in DATA:
        return value
    if kind is Stream or kind is VALUES:
        return [finished(item) for item in value]
    return plain(value)


def kept(value: Any) -> Any:
    """Give a value that can be used many times: streams in it are computed."""
    kind = type(value)
    if kind is Stream or kind is VALUES:
        return Stream([kept(item) for item in value]) if kind is Stream else value
    return value


def deeply_kept(value: Any) -> Any:
    """The same where lists and mappings may hold streams."""
    kind = type(value)
    if kind is Stream:
        return Stream([deeply_kept(item) for item in value])
    if kind is list or kind is tuple:
        return kind(map(deeply_kept, value))
    if kind is dict:
        return {key: deeply_kept(inner) for key, inner in value.items()}
    return value


def _refusal(kind: type) -> Exception:
    return Missing() if kind in DATA else Unsure(kind.__name__)
