"""Faults of where tasks run: roles and tags that no role of the catalog brings, wrong regexes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from rackwright.core.catalog import Catalog, Task
from rackwright.core.lint.finding import Finding, Severity, did_you_mean, silent_in_the_original
from rackwright.core.lint.relations import SELF
from rackwright.core.resolution import EVERYONE, MASTER, is_pattern, matching
from rackwright.core.task_graph import is_sound, names_of

_FIELDS = ("tags", "roles", "groups")


def placements(catalog: Catalog) -> Iterator[Finding]:
    """Give every selector that means nobody. Names are known only where the catalog has roles."""
    severity = silent_in_the_original(catalog)
    tags = {tag for role in catalog.roles.values() for tag in role.tags or (role.name,)}
    tags |= {f"primary-{tag}" for role in catalog.roles.values() for tag in role.primary}
    for graph in catalog.graphs.values():
        for task in graph.tasks:
            for named in _names(task):
                found = _wrong_regex(task, named) or _unknown(task, named, tags, severity)
                if found is not None:
                    yield found


class _Named(NamedTuple):
    """A name in a selector: its key path, the name, and whether it is the whole selector and no list's item."""

    path: str
    name: str
    alone: bool


def _names(task: Task) -> Iterator[_Named]:
    for field in _FIELDS:
        selector = getattr(task, field)
        alone = isinstance(selector, str)
        for number, name in enumerate(names_of(selector)):
            yield _Named(field if alone else f"{field}.{number}", name, alone)
    for key in ("cross_depends", "cross_depended_by"):
        for number, entry in enumerate(getattr(task, key)):
            for field in ("tags", "role", "roles") if isinstance(entry, dict) else ():
                selector = entry.get(field)
                for name in names_of(selector):
                    yield _Named(f"{key}.{number}.{field}", name, isinstance(selector, str))


def _wrong_regex(task: Task, named: _Named) -> Finding | None:
    if is_sound(named.name):
        return None
    message = f"task {task.id}: the regex {named.name} is wrong"
    return Finding(
        "error", "bad-expression", task.place(named.path), message, "correct the pattern between the slashes"
    )


def _unknown(task: Task, named: _Named, tags: Collection[str], severity: Severity) -> Finding | None:
    keys, name = named.path.split("."), named.name
    special = name == MASTER or (named.alone and name == EVERYONE) or (name == SELF and len(keys) > 1)
    if not tags or special or matching(name, sorted(tags)):
        return None
    verb = "matches" if is_pattern(name) else "is"
    message = f"task {task.id}: {keys[0]} names {name}, which {verb} no role or tag of the catalog"
    mend = did_you_mean(name, tags) or f"add a role that brings it; known: {', '.join(sorted(tags))}"
    if name == EVERYONE:
        mend = "write '*' alone, not in a list"
    code = "unknown-tag" if "tags" in keys else "unknown-role"
    return Finding(severity, code, task.place(named.path), message, mend)
