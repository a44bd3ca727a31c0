"""Faults of the tasks as such: two of one id, no jig, nowhere to run, keys that nobody reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from rackwright.core.catalog import Catalog, Position, Task
from rackwright.core.lint.finding import Finding, did_you_mean, silent_in_the_original
from rackwright.core.resolution import selector_of

without_jig = ("stage", "group", "skipped")
"""Task types that nothing carries out."""
_CARRIED_ALONG = ("refresh_on", "reexecute_on", "test_pre", "test_post", "stage", "diagnostic_name", "description")
_FIELDS = (*(field.name for field in msgspec.structs.fields(Task) if field.name not in ("extra", "source", "lines")),)


def duplicate_ids(tasks: Iterable[Task]) -> Iterator[Finding]:
    """Give the tasks of one graph whose id an earlier one has."""
    first: dict[str, Position] = {}
    for task in tasks:
        if task.id in first:
            message = f"a second task {task.id} in the same graph; the first is at {first[task.id]}"
            yield Finding("error", "duplicate-id", task.place("id"), message, "rename one")
        first.setdefault(task.id, task.source)


def shapes(catalog: Catalog) -> Iterator[Finding]:
    """Give the faults of each task that show without the others."""
    for graph in catalog.graphs.values():
        yield from duplicate_ids(graph.tasks)
        for task in graph.tasks:
            yield from _unknown_keys(task, strict=catalog.strict)
            if catalog.strict and not task.jig and task.type not in ("", *without_jig):
                message = f"task {task.id}: nothing carries out the type {task.type}"
                yield Finding("error", "no-jig", task.place("type"), message, "add `jig: script`, or another jig")
            if _runs_nowhere(task):
                message = f"task {task.id} names no roles, tags or groups: it runs nowhere"
                yield Finding(silent_in_the_original(catalog), "no-place", task.source, message, "add `roles: [...]`")


def _runs_nowhere(task: Task) -> bool:
    return selector_of(task) is None and task.scope == "node" and task.type not in ("stage", "group")


def _unknown_keys(task: Task, *, strict: bool) -> Iterator[Finding]:
    """Keys that the format does not know: all of them in a strict catalog, else those that look misspelt."""
    for key in task.extra:
        mend = did_you_mean(key, _FIELDS)
        if key not in _CARRIED_ALONG and (strict or mend):
            message = f"task {task.id}: the key {key} means nothing here"
            yield Finding("warning", "unknown-key", task.place(key), message, mend or "remove it")
