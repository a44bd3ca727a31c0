"""Which texts of its catalog a task names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

folders = ("files", "scripts", "templates")
"""Folders of a catalog whose files are texts that tasks may name."""

_IN_FOLDERS = re.compile(rf"(?:{'|'.join(folders)})/\S+")


def named_files(parameters: Any) -> dict[str, str]:
    """The paths of files that a task's parameters name, and the dotted place of each below ``parameters``.

    ``script`` without a line break is a path; and every text that is a path below one of the ``folders``.
    """
    named = {path: place for place, path in _paths(parameters, "")}
    script = parameters.get("script") if isinstance(parameters, dict) else None
    if isinstance(script, str) and script and "\n" not in script:
        named[script] = "script"
    return named


def _paths(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if _IN_FOLDERS.fullmatch(value):
            yield place, value
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, below in pairs:
        yield from _paths(below, f"{place}.{key}" if place else str(key))
