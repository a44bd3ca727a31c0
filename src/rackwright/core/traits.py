"""Traits: what machines are chosen by. Each follows from one fact of the node; a zone also from one of its rack."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

TAG, RULE = "tag:", "rule:"
"""Before the name of a tag: one that people gave, and one that a rule gave."""
POOL, ZONE, RACK_ZONE = "desired.pool", "desired.zone", "desired.rack.zone"
TAGS, RULES = "desired.tags", "tags"
"""Below these each tag has a fact: one of people, or of a rule."""


def follows(path: str, value: Any) -> dict[str, Any]:
    """The traits that follow from a fact, by name; None for those of which it says nothing. Empty: none ever do.

    ``cpu`` counts threads, ``memory`` is in bytes, ``disk`` in bytes of the largest one, ``nics`` counts interfaces,
    ``speed`` is that of the fastest one in Mbit/s.
    """
    if path in _READINGS:
        return {name: read(value) for name, read in _READINGS[path].items()}
    head, _, tag = path.rpartition(".")
    return {_PREFIXES[head] + tag: True if value is True else None} if head in _PREFIXES else {}


def tags(traits: Collection[str]) -> list[str]:
    """The tags among traits of these names, each once."""
    return sorted({name.partition(":")[2] for name in traits if name.startswith((TAG, RULE))})


def has_tag(traits: Collection[str], tag: str) -> bool:
    """Whether a tag is among traits of these names."""
    return TAG + tag in traits or RULE + tag in traits


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of(key: str) -> Callable[[Any], float | None]:
    return lambda value: _number(value.get(key)) if isinstance(value, dict) else None


def _most(key: str) -> Callable[[Any], float | None]:
    def most(value: Any) -> float | None:
        numbers = [_number(item.get(key)) for item in _items(value)]
        return max((number for number in numbers if number is not None), default=None)

    return most


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int | None:
    return len(_items(value)) or None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


_PREFIXES = {TAGS: TAG, RULES: RULE}
_READINGS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "observed.inventory.cpu": {"cpu": _of("threads")},
    "observed.inventory.memory": {"memory": _of("bytes")},
    "observed.inventory.disks": {"disk": _most("bytes")},
    "observed.inventory.nics": {"nics": _count, "speed": _most("speed")},
    POOL: {"pool": _text},
    ZONE: {"zone": _text},
    RACK_ZONE: {"zone": _text},
}
