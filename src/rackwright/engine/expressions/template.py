"""Templates: data with ``{yaql_exp: ...}`` in it, and in Fuel's catalogs texts with ``{NAMES}``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rackwright.core.expansion import EXPRESSION_KEY

VERBATIM = "regex"
"""The value under this key is copied untouched."""


def fill(template: Any, evaluate: Callable[[Any], Any], write: Callable[[str], str]) -> Any:
    """Give the template with ``evaluate(expression)`` for every expression and ``write(text)`` for every text."""
    if isinstance(template, str):
        return write(template)
    if isinstance(template, Mapping):
        if EXPRESSION_KEY in template:
            return evaluate(template[EXPRESSION_KEY])
        return {key: value if key == VERBATIM else fill(value, evaluate, write) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [fill(value, evaluate, write) for value in template]
    return template


def expressions_in(template: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Give every expression of a template with its path (``/parameters/data``)."""
    if isinstance(template, Mapping):
        if EXPRESSION_KEY in template:
            yield path, template[EXPRESSION_KEY]
            return
        for key, value in template.items():
            if key != VERBATIM:
                yield from expressions_in(value, f"{path}/{key}")
    elif isinstance(template, list | tuple):
        for number, value in enumerate(template):
            yield from expressions_in(value, f"{path}/{number}")


def format_text(text: str, names: Mapping[str, Any]) -> str:
    """Replace ``{NAME}`` as Python's ``str.format`` does; a text that cannot be formatted is given unchanged."""
    if "{" not in text and "}" not in text:
        return text
    try:
        return text.format_map(names)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        return text
