"""Columns that are the same in every row travel once.

The driver spends most of its time on turning arrays of values into bytes. The rows of one move are much alike, so
what does not differ among them is sent as a single value: the named query is rewritten for it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

from rackwright.store.postgres.queries import QUERIES

_ARRAYS = re.compile(r"unnest\(([^)]*)\) AS new \(([^)]*)\)")


def fold(rows: Sequence[tuple[Any, ...]]) -> tuple[tuple[bool, ...], list[Any]]:
    """Turn rows into columns, each an array or, where all values are equal, that value; the first is always an array.
    Gives which are arrays, and the columns. There must be a row."""
    arrays = [list(column) for column in zip(*rows, strict=True)]
    wide = (True, *(column.count(column[0]) < len(column) for column in arrays[1:]))
    return wide, [column if many else column[0] for column, many in zip(arrays, wide, strict=True)]


@functools.cache
def folded(name: str, wide: tuple[bool, ...]) -> str:
    """A named query over ``unnest(...) AS new (...)``, with the columns that are no arrays taken out of it."""
    text = QUERIES[name]
    found = _ARRAYS.search(text)
    if found is None:
        raise ValueError(f"the query {name} does not read from unnest(...) AS new (...)")
    arrays, names = ([part.strip() for part in group.split(",")] for group in found.groups())
    columns = list(zip(arrays, names, wide, strict=True))
    kept = [(array, column) for array, column, many in columns if many]
    source = f"unnest({', '.join(array for array, _ in kept)}) AS new ({', '.join(column for _, column in kept)})"
    text = text[: found.start()] + source + text[found.end() :]
    for array, column, many in columns:
        if not many:
            text = re.sub(rf"\bnew\.{column}\b", array.removesuffix("[]"), text)
    return text
