"""The named queries: read once from the package's .sql files."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _parse(text: str) -> Iterator[tuple[str, str]]:
    """Cut a file into (name, statement); a statement starts at its ``-- name:`` line and ends before the next."""
    parts = _NAME.split(text)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        yield name, f"-- {name}\n" + body.strip().rstrip(";")


def _load() -> dict[str, str]:
    queries: dict[str, str] = {}
    for file in files("rackwright.store").joinpath("sql").iterdir():
        if file.name.endswith(".sql"):
            for name, statement in _parse(file.read_text(encoding="utf-8")):
                if name in queries:
                    raise ValueError(f"two queries are called {name}")
                queries[name] = statement
    return queries


QUERIES = _load()
"""Statement by name; the name stays in it as a comment, so that the server's own views show it."""


@functools.cache
def _limited(name: str, limit: int) -> str:
    return QUERIES[name].replace(":limit", str(limit))


def limited(name: str, most: int) -> tuple[str, int]:
    """A query with its limit written out: the power of two from ``most`` up, so that there are few statements to
    prepare. Gives (statement, limit)."""
    limit = 1 << max(most - 1, 0).bit_length()
    return _limited(name, limit), limit
