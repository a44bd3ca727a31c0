"""What both stores do alike with texts and JSON values."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from rackwright.core.errors import InvalidInput

_ESCAPED_NUL = rb"\u0000"
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def plain(text: str) -> str:
    """A text that can be stored: without NUL and broken surrogates, which programs print and PostgreSQL refuses."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def stored(value: Any, where: str) -> Any:
    """``value`` as it reads back from JSON. Raises InvalidInput when it cannot be stored; ``where`` says whose."""
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"a value cannot be stored as JSON: {error}", where=where) from error
    # The search is slow and hardly ever needed.
    if _ESCAPED_NUL in encoded and _NUL.search(encoded):
        raise InvalidInput("a value holds the character NUL, which cannot be stored", where=where)
    return msgspec.json.decode(encoded)


def same(one: Any, other: Any) -> bool:
    """True when two JSON values are equal: numbers by value, true and false never equal to numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return bool(one == other)
