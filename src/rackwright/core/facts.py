"""Facts: values about scopes, each with a revision and one writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rackwright.core.errors import InvalidInput

PEOPLE = "people"
"""Writer of ``desired.*``."""
WORLD = "world"
"""Writer of ``observed.*``."""


class FactWrite(msgspec.Struct, frozen=True):
    """A value to be put: ``value`` None deletes the fact."""

    scope: int
    path: str
    value: Any
    writer: str


class Fact(msgspec.Struct, frozen=True):
    """A stored value; ``revision`` grows with every real change of any fact."""

    scope: int
    path: str
    value: Any
    revision: int
    writer: str


def check_writer(path: str, writer: str) -> None:
    """Refuse a path that is not the writer's: people own ``desired.*``, the world ``observed.*``, tasks all else.

    Raises InvalidInput that says who the owner is.
    """
    head = path.split(".", 1)[0]
    owner = {"desired": PEOPLE, "observed": WORLD}.get(head)
    if owner is not None and writer != owner:
        raise InvalidInput(
            f"{writer} may not write the fact {path}: {head}.* belongs to {owner}",
            mend="write a path of the task's own",
        )
    if owner is None and writer in (PEOPLE, WORLD):
        raise InvalidInput(
            f"{writer} may not write the fact {path}: it belongs to a task",
            mend="set desired.<role>.<attribute> instead",
        )


def touches(read: str, path: str) -> bool:
    """True when a change of the fact ``path`` may change what a read of ``read`` sees: same path, above or below."""
    return read == path or path.startswith(read + ".") or read.startswith(path + ".")


def lookup(leaves: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Find ``path`` among facts by path: the fact itself, a tree of the facts below it, or a place inside a fact
    above it. Gives (found, value)."""
    if path in leaves:
        return True, leaves[path]
    prefix = path + "."
    below = [(key[len(prefix) :], value) for key, value in leaves.items() if key.startswith(prefix)]
    return (True, nest(below)) if below else place_in(leaves, path)


def place_in(leaves: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Find ``path`` as one fact, or as a place inside the nearest fact above it. Gives (found, value)."""
    if path in leaves:
        return True, leaves[path]
    head = path.rpartition(".")[0]
    while head:
        if head in leaves:
            return _walk(leaves[head], path[len(head) + 1 :])
        head = head.rpartition(".")[0]
    return False, None


def nest(leaves: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Turn dotted paths into a tree of dicts: ``{"a.b": 1}`` gives ``{"a": {"b": 1}}``."""
    tree: dict[str, Any] = {}
    for path, value in sorted(leaves):
        *parents, last = path.split(".")
        place = tree
        for part in parents:
            inner = place.get(part)
            if not isinstance(inner, dict):
                inner = place[part] = {}
            place = inner
        place[last] = value
    return tree


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn a tree of role -> attribute -> value into facts by path, two levels deep: deeper values stay whole."""
    return {f"{prefix}{role}.{name}": value for role, values in tree.items() for name, value in values.items()}


def _walk(value: Any, path: str) -> tuple[bool, Any]:
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return False, None
        value = value[part]
    return True, value
