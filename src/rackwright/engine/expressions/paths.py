"""Closures that reach into data: ``$.a.b``, ``$node``, ``$common.c`` and attributes of computed values."""

from __future__ import annotations

from typing import Any

from rackwright.engine.expressions.kinds import ITERABLE, Missing, Stream, refused
from rackwright.engine.expressions.parts import Closure
from rackwright.engine.expressions.reading import Path, Place, Root


def whole(root: Root) -> Closure:
    """All of a root."""
    wholes: dict[Root, Closure] = {
        "new": lambda place, item: place.new_data.whole,
        "old": lambda place, item: place.old_data.whole,
        "node": lambda place, item: place.node,
        "common": lambda place, item: place.common,
    }
    return wholes[root]


def path_of(root: Root, path: Path, *, own: bool) -> Closure:
    """Walk a path from a root; ``own`` says that places have a say in its first key."""
    head, rest = path[0], path[1:]
    first = _merged_head(root, head) if own and root in ("new", "old") else _plain_head(root, head)
    if not rest:
        return first
    if len(rest) == 1:
        return attribute_of(first, rest[0])

    def run(place: Place, item: Any) -> Any:
        value = first(place, item)
        for key in rest:
            value = attribute(value, key)
        return value

    return run


def head_or(root: Root, head: str, default: Any, *, own: bool) -> Closure:
    """``$.get(head, default)`` of a root."""
    merged: dict[Root, Closure] = {
        "new": lambda place, item: place.new_data.get(head, default),
        "old": lambda place, item: place.old_data.get(head, default),
    }
    plain: dict[Root, Closure] = {
        "new": lambda place, item: place.common.get(head, default),
        "old": lambda place, item: place.old_common.get(head, default),
        "node": lambda place, item: place.node.get(head, default),
        "common": lambda place, item: place.common.get(head, default),
    }
    return merged[root] if own and root in merged else plain[root]


def attribute_of(inner: Closure, key: str) -> Closure:
    """One attribute of a computed value."""

    def run(place: Place, item: Any) -> Any:
        value = inner(place, item)
        if type(value) is dict and key in value:
            return value[key]
        return attribute(value, key)

    return run


def attribute_if_any(inner: Closure, key: str) -> Closure:
    """``?.``: null stays null."""

    def run(place: Place, item: Any) -> Any:
        value = inner(place, item)
        return None if value is None else attribute(value, key)

    return run


def attribute(value: Any, key: str) -> Any:
    """A mapping's value; of a collection the attribute of each item, lazily. Raises Missing."""
    kind = type(value)
    if kind is dict:
        if key in value:
            return value[key]
        raise Missing
    if kind in ITERABLE:
        return Stream(attribute(item, key) for item in value)
    raise refused(value)


def _merged_head(root: Root, head: str) -> Closure:
    def new(place: Place, item: Any) -> Any:
        try:
            return place.new_data.head(head)
        except KeyError:
            raise Missing from None

    def old(place: Place, item: Any) -> Any:
        try:
            return place.old_data.head(head)
        except KeyError:
            raise Missing from None

    return old if root == "old" else new


def _plain_head(root: Root, head: str) -> Closure:
    def common(place: Place, item: Any) -> Any:
        try:
            return place.common[head]
        except KeyError:
            raise Missing from None

    def old(place: Place, item: Any) -> Any:
        try:
            return place.old_common[head]
        except KeyError:
            raise Missing from None

    def node(place: Place, item: Any) -> Any:
        try:
            return place.node[head]
        except KeyError:
            raise Missing from None

    return {"new": common, "common": common, "old": old, "node": node}[root]
