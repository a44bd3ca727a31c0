"""Scenarios, runners, contexts, SLA criteria, hook actions and triggers by their names in task files."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from rackwright.core.errors import InvalidInput, NotFound
from rackwright.load.code import load_scenario

Kind = Literal["scenario", "runner", "context", "sla", "hook", "trigger"]

GROUPS: dict[Kind, str] = {
    "scenario": "rackwright.scenario",
    "runner": "rackwright.runner",
    "context": "rackwright.context",
    "sla": "rackwright.sla",
    "hook": "rackwright.hook_action",
    "trigger": "rackwright.trigger",
}
"""Groups of entry points."""


class Plugins:
    """What is installed, and scenarios in files: ``FILE.py:Class`` seen from ``folder``, or ``package.module:Class``.

    ``extra`` adds plugins by kind and name, and goes before what is installed.
    """

    def __init__(self, folder: Path = Path(), extra: Mapping[Kind, Mapping[str, Any]] | None = None) -> None:
        self._folder = folder
        self._extra = extra or {}

    def names(self, kind: Kind) -> list[str]:
        """All names of a kind, sorted."""
        return sorted({*self._extra.get(kind, {}), *_installed(kind)})

    def find(self, kind: Kind, name: str) -> Any:
        """The plugin of a name; ``name@platform`` means ``name`` where no plugin has the whole of it.

        Raises:
            NotFound: when nothing has this name.
            InvalidInput: when it is there and cannot be loaded.
        """
        if kind == "scenario" and ":" in name:
            return self._from_file(name)
        for known in dict.fromkeys((name, name.partition("@")[0])):
            if known in self._extra.get(kind, {}):
                return self._extra[kind][known]
            if known in _installed(kind):
                return _load(kind, known)
        near = difflib.get_close_matches(name, self.names(kind), n=1)
        raise NotFound(
            f"no {kind} is called {name}",
            mend=f"perhaps {near[0]}?" if near else f"install a package with an entry point in {GROUPS[kind]}",
        )

    def _from_file(self, place: str) -> Any:
        where, _, name = place.rpartition(":")
        return load_scenario(f"{self._folder / where}:{name}" if where.endswith(".py") else place)


@functools.cache
def _installed(kind: Kind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUPS[kind])}


@functools.cache
def _load(kind: Kind, name: str) -> Any:
    point = _installed(kind)[name]
    try:
        return point.load()
    except Exception as error:
        raise InvalidInput(
            f"the {kind} {name} cannot be loaded: {type(error).__name__}: {error}",
            where=point.value,
            mend="mend its package, or remove it",
        ) from error
