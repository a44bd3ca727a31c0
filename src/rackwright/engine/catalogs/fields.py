"""The fields of one mapping, taken key by key; every fault is kept with its place, none stops the reading."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rackwright.core.catalog import Position, Selector, place
from rackwright.core.lint.finding import Finding, did_you_mean
from rackwright.engine.catalogs.yaml_text import Entry

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class Fields:
    """What is still to be taken of one entry. A null value counts as absent, as in the original format."""

    def __init__(self, entry: Entry, owner: str, findings: list[Finding]) -> None:
        self.owner = owner
        self.source = entry.place
        self.lines = entry.lines
        self._left: dict[Any, Any] = dict(entry.value)
        self._findings = findings

    def fault(self, path: str, message: str, mend: str) -> None:
        """Keep a fault of the value at ``path``."""
        at = place(self.source, self.lines, path)
        self._findings.append(Finding("error", "bad-value", at, f"{self.owner}: {message}", mend))

    def place(self, path: str) -> Position:
        """Where ``path`` stands."""
        return place(self.source, self.lines, path)

    def take(self, key: str, *spellings: str) -> tuple[str, Any]:
        """Take a field under any of its spellings: the spelling found (the first when none is) and the value."""
        present = [name for name in (key, *spellings) if name in self._left]
        values = {name: self._left.pop(name) for name in present}
        if len(present) > 1:
            self.fault(present[1], f"{present[1]} says again what {present[0]} says", f"keep {key} only")
        return (present[0], values[present[0]]) if present else (key, None)

    def left(self) -> dict[str, Any]:
        """The fields that nothing took."""
        return {str(key): value for key, value in self._left.items()}

    def refuse_left(self, known: Iterable[str]) -> None:
        """Fault every field that nothing took; ``known`` are the fields that there are."""
        for key in self.left():
            self.fault(key, f"no such field: {key}", did_you_mean(key, known) or f"fields: {', '.join(sorted(known))}")

    def text(self, key: str, *, default: str = "", required: bool = False) -> str:
        """A text that is not empty."""
        _, value = self.take(key)
        if value is None and not required:
            return default
        if value is None or value == "":
            self.fault(key, f"no {key}", f"add `{key}: ...`")
            return default
        if not isinstance(value, str):
            self.fault(key, f"{key} must be a text, not {shown(value)}", f'write {key}: "{value}"')
            return default
        return value

    def choice(self, key: str, known: tuple[str, ...], *, default: str = "", required: bool = False) -> str:
        """One of the known words."""
        value = self.text(key, default=default, required=required)
        if value and value not in known:
            mend = did_you_mean(value, known) or f"one of {', '.join(known)}"
            self.fault(key, f"unknown {key} {value}", mend)
            return default
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        _, value = self.take(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.fault(key, f"{key} must be true or false, not {shown(value)}", f"write {key}: true")
        return default

    def names(self, key: str) -> tuple[str, ...]:
        """A list of names."""
        _, value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.fault(key, f"{key} must be a list of names, not {shown(value)}", f"write {key}: [name, ...]")
            return ()
        return self._texts(key, value)

    def selector(self, key: str, *spellings: str) -> Selector | None:
        """A name, '*', '/regex/' or a list of them. An empty list counts as absent."""
        found, value = self.take(key, *spellings)
        if value is None or value == []:
            return None
        if isinstance(value, str):
            return value
        if not isinstance(value, list):
            mend = f"write {found}: [name, ...]"
            self.fault(found, f"{found} must be a name or a list of names, not {shown(value)}", mend)
            return None
        return self._texts(found, value)

    def mapping(self, key: str) -> dict[str, Any] | None:
        """A mapping."""
        _, value = self.take(key)
        if value is None or isinstance(value, dict):
            return value
        self.fault(
            key, f"{key} must be a mapping, not {shown(value)}", f"write `{key}:` and its fields below it, indented"
        )
        return None

    def seconds(self, key: str, *, default: float) -> float:
        """A duration: a number of seconds above 0, or a text as 90s, 5m, 1h30m."""
        _, value = self.take(key)
        if value is None:
            return default
        seconds = duration(value)
        if seconds is None or seconds <= 0:
            self.fault(key, f"{key} is no duration: {shown(value)}", "write seconds (90), or a text as 90s, 5m, 1h30m")
            return default
        return seconds

    def number(self, key: str, *, default: float, least: float) -> float:
        """A number that is not less than ``least``."""
        _, value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            self.fault(
                key, f"{key} must be a number of {least:g} or more, not {shown(value)}", f"write {key}: {default:g}"
            )
            return default
        return value

    def inner(self, key: str, value: dict[str, Any]) -> Fields:
        """The fields of a mapping inside this one."""
        prefix = f"{key}."
        lines = {path[len(prefix) :]: line for path, line in self.lines.items() if path.startswith(prefix)}
        return Fields(Entry(value, self.place(key), lines), f"{self.owner}, {key}", self._findings)

    def _texts(self, key: str, values: list[Any]) -> tuple[str, ...]:
        for number, value in enumerate(values):
            if not isinstance(value, str) or not value:
                self.fault(f"{key}.{number}", f"{key} holds what is no name: {shown(value)}", "write names only")
        return tuple(value for value in values if isinstance(value, str) and value)


def duration(value: object) -> float | None:
    """Seconds of a number or of a text as 90s, 5m, 1h30m; None when it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        return None
    parts = zip(("d", "h", "m", "s"), match.groups(), strict=True)
    return float(sum(_UNITS[unit] * int(count) for unit, count in parts if count))


def shown(value: object) -> str:
    """A value as messages name it: its kind, and the value itself where it is short."""
    kinds = {dict: "a mapping", list: "a list", bool: "a flag", int: "a number", float: "a number", str: "a text"}
    kind = kinds.get(type(value), "nothing" if value is None else type(value).__name__)
    return kind if isinstance(value, dict | list) or value is None else f"{kind} ({value!s:.40})"
