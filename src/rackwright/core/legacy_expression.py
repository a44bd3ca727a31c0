"""Conditions in Fuel's old expression language: ``settings:storage.ceph == true and not (cluster:mode in 'ha')``.

Binding, from loosest to tightest: ``or``, ``and``, ``==`` and ``!=``, ``in``, ``not``. A model path is
``model:key.key``; what is missing on its way is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from rackwright.core.errors import InvalidInput

Models = Mapping[str, Any]
"""What model paths look into, by model name."""

Condition = Callable[[Models], Any]
"""A parsed expression: takes the models, gives its value."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"[^"]*"|'[^']*')
      | (?P<path>\w*:[\w.\-]+)\??
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<operator>==|!=|\(|\))
      | (?P<word>[A-Za-z_]\w*)
    )""",
    re.VERBOSE,
)
_CONSTANTS = {"true": True, "false": False, "null": None}
_OPERATORS = ("or", "and", "in", "not")
_RENAMED = (
    (re.compile(r"^settings:additional_components\.([\w-]+)(?:\.value)?$"), r"settings:\1.enabled"),
    (re.compile(r"^settings:common\.([\w-]+)(?:\.value)?$"), r"settings:\1"),
    (re.compile(r"^(settings:.+)\.value$"), r"\1"),
)
"""Where old settings paths are found today."""
_MODELS: dict[str, tuple[str, ...]] = {"settings": (), "cluster": ("cluster",)}
"""Where the data of a model is found."""


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


@lru_cache(maxsize=4096)
def parse(text: str) -> Condition:
    """Parse an expression. Raises InvalidInput that names the column of the fault."""
    return _Parser(text).whole()


def legacy_paths(text: str) -> tuple[tuple[str, ...], ...]:
    """Give the paths that an expression may read: ``settings:a.b`` is ("a", "b"), ``cluster:c`` is ("cluster", "c").

    Other models hold nothing. Raises InvalidInput as ``parse`` does.
    """
    parse(text)
    found = set()
    for token in _tokens(text):
        model, _, keys = current_path(token.text).partition(":")
        if token.kind == "path" and model in _MODELS:
            found.add((*_MODELS[model], *keys.split(".")))
    return tuple(sorted(found))


def current_path(path: str) -> str:
    """Give where a settings path of old catalogs is found today; other paths stay as they are."""
    for pattern, place in _RENAMED:
        path = pattern.sub(place, path)
    return path


def _fault(text: str, what: str, column: int) -> InvalidInput:
    return InvalidInput(
        f"{what} in the condition {text!r}",
        where=f"column {column}",
        mend="use values, paths such as settings:a.b, ==, !=, in, not, and, or, and parentheses",
    )


def _tokens(text: str) -> list[_Token]:
    tokens, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            raise _fault(text, f"the character {text[place]!r} means nothing", place + 1)
        kind = match.lastgroup
        said = match[kind]
        known = kind != "word" or said in _CONSTANTS or said in _OPERATORS
        if not known:
            raise _fault(text, f"the word {said!r} means nothing", match.start(kind) + 1)
        tokens.append(_Token(kind, said, match.start(kind) + 1))
        place = match.end()
    return [*tokens, _Token("end", "the end", end + 1)]


class _Parser:
    """Recursive descent: one method for each strength of binding."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._place = 0

    def whole(self) -> Condition:
        """Parse the text to its end."""
        condition = self._either()
        if self._next.kind != "end":
            raise self._unexpected()
        return condition

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _unexpected(self) -> InvalidInput:
        return _fault(self._text, f"unexpected {self._next.text}", self._next.column)

    def _take(self, *texts: str) -> str | None:
        """Step over the next token if it is one of these operators, and give it."""
        token = self._next
        if token.kind not in ("word", "operator") or token.text not in texts:
            return None
        self._place += 1
        return token.text

    def _either(self) -> Condition:
        left = self._both()
        while self._take("or"):
            left = _either(left, self._both())
        return left

    def _both(self) -> Condition:
        left = self._compared()
        while self._take("and"):
            left = _both(left, self._compared())
        return left

    def _compared(self) -> Condition:
        left = self._contained()
        while operator := self._take("==", "!="):
            left = _compared(left, self._contained(), equal=operator == "==")
        return left

    def _contained(self) -> Condition:
        left = self._negated()
        while self._take("in"):
            left = _contained(left, self._negated(), self._text)
        return left

    def _negated(self) -> Condition:
        if self._take("not"):
            inner = self._negated()
            return lambda models: not inner(models)
        return self._value()

    def _value(self) -> Condition:
        if self._take("("):
            inner = self._either()
            if not self._take(")"):
                raise self._unexpected()
            return inner
        token = self._next
        if token.kind in ("end", "operator") or token.text in _OPERATORS:
            raise self._unexpected()
        self._place += 1
        if token.kind == "path":
            return _path(token.text)
        value = _constant(token)
        return lambda models: value


def _constant(token: _Token) -> Any:
    if token.kind == "string":
        return token.text[1:-1]
    if token.kind == "number":
        return float(token.text) if "." in token.text else int(token.text)
    return _CONSTANTS[token.text]


def _path(text: str) -> Condition:
    model, _, keys = current_path(text).partition(":")
    parts = keys.split(".")

    def look_up(models: Models) -> Any:
        value = models.get(model)
        for part in parts:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    return look_up


def _either(left: Condition, right: Condition) -> Condition:
    return lambda models: left(models) or right(models)


def _both(left: Condition, right: Condition) -> Condition:
    return lambda models: left(models) and right(models)


def _compared(left: Condition, right: Condition, *, equal: bool) -> Condition:
    return lambda models: (left(models) == right(models)) is equal


def _contained(left: Condition, right: Condition, text: str) -> Condition:
    def contains(models: Models) -> bool:
        whole = right(models)
        if whole is None:
            return False
        try:
            return left(models) in whole
        except TypeError as error:
            raise InvalidInput(
                f"the right side of 'in' is neither text nor a list in the condition {text!r}",
                mend="compare with ==, or look in a list",
            ) from error

    return contains
