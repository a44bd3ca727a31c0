"""The data of expressions: frozen on the way in (shared, hashable), plain on the way out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from yaql.language import utils

from rackwright.core.errors import InvalidInput

LARGEST = 100_000_000
"""Elements that one computed collection may have: far above any fleet, so that an endless one still ends."""


class _Undefined:
    """What ``old(...)`` gives where the old data has no answer. It equals nothing but itself."""

    def __repr__(self) -> str:
        return "UNDEF"


UNDEF = _Undefined()


class Attributes(Mapping[str, Any]):
    """A mapping in which a key that is not there is null. Not merged by ``union``."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = freeze(data)

    def __getitem__(self, key: str) -> Any:
        return self._data.get(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


def freeze(value: Any) -> Any:
    """Give data of a form that expressions may share and hash: lists become tuples, mappings frozen ones."""
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, utils.FrozenDict | Attributes):
        return value
    if isinstance(value, Mapping):
        return utils.FrozenDict({key: freeze(inner) for key, inner in value.items()})
    if isinstance(value, Set):
        return frozenset(map(freeze, value))
    return tuple(map(freeze, value)) if isinstance(value, Iterable) else value


def plain(value: Any) -> Any:
    """Give dicts, lists and scalars; what is lazy in ``value`` is computed now, sets become sorted lists.

    Raises InvalidInput when a computed collection does not end.
    """
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Set):
        return sorted(map(plain, value), key=_sort_key)
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, Iterable):
        items = [plain(inner) for inner in itertools.islice(value, LARGEST + 1)]
        if len(items) > LARGEST:
            raise InvalidInput(f"a collection of an expression has more than {LARGEST} elements")
        return items
    return value


def union(common: Any, own: Any) -> Any:
    """Merge frozen data: mappings deeply, anything else is the own one. Unchanged parts are shared, not copied."""
    if not (isinstance(common, utils.FrozenDict) and isinstance(own, utils.FrozenDict)):
        return own
    merged = dict(common.items())
    for key, value in own.items():
        merged[key] = union(merged[key], value) if key in merged else value
    return utils.FrozenDict(merged)


def _sort_key(value: Any) -> tuple[str, Any]:
    """Order of mixed values: by kind, then by value; the same in every process."""
    if isinstance(value, bool | None):
        return "", str(value)
    if isinstance(value, int | float):
        return "0", value
    return ("a", value) if isinstance(value, str) else ("z", repr(value))
