"""What the expressions of a task look at: told from their texts, once, when the catalog is shelved."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.inputs import ITSELF, Path, derive
from rackwright.core.legacy_expression import legacy_paths
from rackwright.engine.expressions import expressions_in

Paths = Callable[[str], Iterable[Path]]
"""Gives the paths under ``$`` that an expression may read."""

_COMPARES = re.compile(r"\b(?:changed|changedAny|changedAll|old|added|deleted)\s*\(|\$%old\b")


class Sight(msgspec.Struct, frozen=True):
    """How a task's expressions see the world."""

    expressive: bool = False
    """There is an expression in its condition or parameters."""
    itself: bool = False
    """They look at what the node is: ``uid``, ``roles``, ``name``, ``fqdn``."""
    compares: bool = False
    """They compare with what the task saw when it last became active, so that has to be kept."""


BLIND = Sight()


def look(task: Task, paths: Paths) -> tuple[Task, Sight]:
    """The task with the reads that its expressions imply, and what they look at."""
    texts = [text for _, text in expressions_in((task.condition, task.parameters))]
    found = {path for text in texts for path in paths(text)}
    if isinstance(task.condition, str):
        found |= _legacy(task.condition)
    elif not texts:
        return task, BLIND
    seen = msgspec.structs.replace(task, reads={**task.reads, **derive(task, found)})
    return seen, Sight(
        expressive=True,
        itself=any(path[0] in ITSELF and path[0] not in task.reads if path else not task.reads for path in found),
        compares=any(map(compares, texts)),
    )


def compares(expression: str) -> bool:
    """True when an expression may ask for old data."""
    return _COMPARES.search(expression) is not None


def _legacy(condition: str) -> set[Path]:
    try:
        return set(legacy_paths(condition))
    except InvalidInput:
        # It fails where it is evaluated, with its place.
        return set()
