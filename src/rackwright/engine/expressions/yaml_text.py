"""Data as YAML text, byte for byte as PyYAML writes it in block style, at a fraction of the time.

Texts that are surely written as they are, or in single quotes, are written here. Everything else (specials, texts that
are long enough to be folded, several lines) is left to PyYAML, in a document that puts it at the same place.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import yaml

_PARENT: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_WIDTH: Final = 80
"""PyYAML folds after this column."""
_LONGEST_KEY: Final = 100
"""PyYAML writes keys of more than 128 bytes in another form."""
_STEP: Final = 2
_SAFE: Final = re.compile(r"[A-Za-z0-9/_][A-Za-z0-9/_.,:+=@%~-]*(?: [A-Za-z0-9/_.,+=@%~()-]+)*\Z").match
"""No character that means something in YAML; a colon only in the first word, not at its end (see _is_safe)."""


_DUMPER: Final[Any] = type("_Dumper", (_PARENT,), {"ignore_aliases": lambda self, data: True})
"""Writes a value that occurs twice two times, and not the second time as a reference."""


class _Unusual(Exception):
    """The document has something that only PyYAML writes."""


def yaml_text(value: Any) -> str:
    """Give plain data (mappings, lists, texts, numbers, true, false, null) as a YAML document."""
    lines: list[str] = []
    try:
        if type(value) is dict and value:
            _write_mapping(value, 0, "", lines)
        elif type(value) is list and value:
            _write_list(value, 0, "", lines)
        else:
            return _dump(value)
    except (_Unusual, TypeError):
        return _dump(value)
    lines.append("")
    return "\n".join(lines)


def _dump(value: Any) -> str:
    return str(yaml.dump(value, Dumper=_DUMPER, default_flow_style=False))


def _write_mapping(value: dict[Any, Any], indent: int, lead: str, lines: list[str]) -> None:
    """``lead`` begins the first line: the indent, or what stands before the first key on its line."""
    pad = " " * indent
    for key in sorted(value):
        inner = value[key]
        kind = type(inner)
        name = _key(key) if type(key) is str else _refuse()
        if kind is str:
            text = _text(inner)
            if text is None or (" " in text and indent + len(name) + len(text) + 2 > _WIDTH):
                text = _placed(indent, key, inner)
            lines.append(f"{lead}{name}: {text}")
        elif kind is dict and inner:
            lines.append(f"{lead}{name}:")
            _write_mapping(inner, indent + _STEP, pad + "  ", lines)
        elif kind is list and inner:
            lines.append(f"{lead}{name}:")
            _write_list(inner, indent, pad, lines)
        else:
            lines.append(f"{lead}{name}: {_scalar(inner)}")
        lead = pad


def _write_list(value: list[Any], indent: int, lead: str, lines: list[str]) -> None:
    pad = " " * indent
    for inner in value:
        kind = type(inner)
        if kind is str:
            text = _text(inner)
            if text is None or (" " in text and indent + len(text) + 2 > _WIDTH):
                text = _placed(indent, None, inner)
            lines.append(f"{lead}- {text}")
        elif kind is dict and inner:
            _write_mapping(inner, indent + _STEP, lead + "- ", lines)
        elif kind is list and inner:
            _write_list(inner, indent + _STEP, lead + "- ", lines)
        else:
            lines.append(f"{lead}- {_scalar(inner)}")
        lead = pad


def _refuse() -> str:
    raise _Unusual


def _scalar(value: Any) -> str:
    kind = type(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is dict or kind is list:
        return "{}" if kind is dict else "[]"
    if kind is not float:
        raise _Unusual
    return _number(repr(value))


@lru_cache(maxsize=4096)
def _number(text: str) -> str:
    return _dump([float(text)])[2:-1]


@lru_cache(maxsize=65536)
def _text(text: str) -> str | None:
    """Give a text as it is written where it is not folded, None when that depends on its place."""
    if _is_safe(text):
        return f"'{text}'" if _looks_like_another_kind(text) else text
    if not text.isascii() or any(character.isspace() for character in text):
        return None
    return _dump([text])[2:-1]


@lru_cache(maxsize=65536)
def _key(key: str) -> str:
    if len(key) > _LONGEST_KEY or not key.isascii():
        raise _Unusual
    if _is_safe(key):
        return f"'{key}'" if _looks_like_another_kind(key) else key
    line = _dump({key: None})
    return _refuse() if line.startswith("? ") else line[: -len(": null\n")]


@lru_cache(maxsize=4096)
def _placed(indent: int, key: str | None, text: str) -> str:
    """Give a text as PyYAML writes it at this indent, after this key or as an item."""
    document: Any = {"a": [text]} if key is None else {key: text}
    for _ in range(indent // _STEP):
        document = {"a": document}
    before = indent // _STEP + (key is None)
    lines = _dump(document).split("\n", before)
    name = "- " if key is None else f"{_key(key)}: "
    return lines[before][indent + len(name) : -1]


def _is_safe(text: str) -> bool:
    return _SAFE(text) is not None and ": " not in text and text[-1] != ":"


def _looks_like_another_kind(text: str) -> bool:
    resolvers = _PARENT.yaml_implicit_resolvers
    return any(pattern.match(text) for _, pattern in resolvers.get(text[0], ()))
