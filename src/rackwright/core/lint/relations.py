"""Faults of what tasks follow: names that no task has, relations that can never match, cycles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from rackwright.core.catalog import Catalog, Graph, Task
from rackwright.core.lint.finding import Finding, Severity, did_you_mean, silent_in_the_original
from rackwright.core.resolution import EVERYONE, NodeId, is_pattern, matching
from rackwright.core.task_graph import TaskGraph, cycles, is_sound, names_of, task_graph

SELF = "self"
_PRIMARY = "primary-"
_FORWARD = ("required_for", "cross_depended_by")


class Relation(msgspec.Struct, frozen=True):
    """One relation of a task as written: its key path, the task that it names, and whom it means (``near`` for the
    own node and the deployment)."""

    path: str
    name: str
    near: bool
    whom: Any = None


def relations_of(task: Task) -> Iterator[Relation]:
    """Give all relations of a task, save those that an expression computes."""
    for key in ("requires", "required_for"):
        for number, name in enumerate(getattr(task, key)):
            yield Relation(f"{key}.{number}", name, near=True)
    for key in ("cross_depends", "cross_depended_by"):
        for number, entry in enumerate(getattr(task, key)):
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                whom = next((entry[field] for field in ("tags", "role", "roles") if field in entry), EVERYONE)
                yield Relation(f"{key}.{number}", entry["name"], near=False, whom=whom)


def relations(catalog: Catalog) -> Iterator[Finding]:
    """Give every fault of the relations of every graph."""
    severity = silent_in_the_original(catalog)
    for graph in catalog.graphs.values():
        if graph.tasks:
            survey = task_graph(graph, catalog.roles)
            for task in graph.tasks:
                yield from _of_group(task, survey)
                for relation in relations_of(task):
                    yield from _of_relation(task, relation, survey, severity)
            yield from _cycles(catalog, graph)


def _of_group(group: Task, survey: TaskGraph) -> Iterator[Finding]:
    """A group that adds an unknown task cannot be expanded at all: always an error."""
    for number, name in enumerate(group.tasks):
        if name not in survey.tasks:
            message = f"group {group.id} adds {name}, and no task has that name"
            mend = did_you_mean(name, survey.tasks) or "add the task, or remove the name"
            yield Finding("error", "unknown-name", group.place(f"tasks.{number}"), message, mend)


def _of_relation(task: Task, relation: Relation, survey: TaskGraph, severity: Severity) -> Iterator[Finding]:
    at = task.place(relation.path)
    key = relation.path.partition(".")[0]
    if not is_sound(relation.name):
        message = f"task {task.id}: {key} holds a regex that is wrong: {relation.name}"
        yield Finding("error", "bad-expression", at, message, "correct the pattern between the slashes")
        return
    found = matching(relation.name, survey.tasks)
    if not found:
        what = "matches no task" if is_pattern(relation.name) else "is no task of this graph"
        message = f"task {task.id}: {key} names {relation.name}, which {what}"
        mend = did_you_mean(relation.name.strip("/^$"), survey.tasks) or "add the task, or remove the name"
        yield Finding(severity, "unknown-name", at, message, mend)
        return
    if _is_dead(task, relation, found, survey):
        message, mend = _why_dead(task, relation, found, survey)
        yield Finding(severity, "dead-relation", at, f"task {task.id}: {key} names {relation.name}, {message}", mend)


def _is_dead(task: Task, relation: Relation, found: tuple[str, ...], survey: TaskGraph) -> bool:
    """True when the relation matches nothing and nothing else says what it meant to say.

    ``x`` beside ``primary-x`` in one list means whichever there is; one of the two is enough.
    """
    own = survey.places[task.id]
    theirs = frozenset(place for name in found for place in survey.places[name])
    only_groups = all(survey.tasks[name].type == "group" for name in found)
    if task.type == "group" or not own or not (theirs or only_groups) or _meets(relation, own, theirs, survey):
        return False
    after = relation.path.startswith(("requires", "cross_depends"))
    others = {name for other in found for name in (other, other.removeprefix(_PRIMARY), _PRIMARY + other)}
    return not any((other, task.id) in survey.pairs if after else (task.id, other) in survey.pairs for other in others)


def _why_dead(task: Task, relation: Relation, found: tuple[str, ...], survey: TaskGraph) -> tuple[str, str]:
    """Why a relation matches nothing, and how to mend it."""
    key = relation.path.partition(".")[0]
    near, far = ("requires", "cross_depends") if key in ("requires", "cross_depends") else _FORWARD
    if all(survey.tasks[name].type == "group" for name in found):
        return "a group, and groups are never carried out themselves", "name a task of the group"
    if all(survey.places[name] <= {None} for name in found) and not relation.near:
        return (
            "a task of the deployment itself: a relation to nodes never reaches it",
            f"write it in `{near}`, or add `role: null`",
        )
    if relation.near:
        return f"which never runs on a node where {task.id} does", f"write it in `{far}`, with the role of the other"
    return "which does not run on the nodes that the relation means", "correct the role, or leave it out"


def _meets(relation: Relation, own: frozenset[NodeId], theirs: frozenset[NodeId], survey: TaskGraph) -> bool:
    homes = {home for place in own for home in (place, *survey.resolution.racks([place] if place else []))}
    if relation.near:
        return bool((homes | {None}) & theirs)
    if relation.whom is None:
        return None in theirs
    if relation.whom == SELF:
        return bool(homes & theirs)
    selector = relation.whom if isinstance(relation.whom, str) else names_of(relation.whom)
    if not all(map(is_sound, names_of(selector))):
        return True
    nodes = survey.resolution.nodes(selector)
    return bool({*nodes, *survey.resolution.racks(nodes)} & theirs)


def _cycles(catalog: Catalog, graph: Graph) -> Iterator[Finding]:
    by_id = {task.id: task for task in graph.tasks}
    for cycle in cycles(graph, catalog.roles):
        certain = catalog.strict or cycle.always
        when = "" if cycle.always else ", where one node carries the tags of all of them"
        message = f"these tasks wait for one another: {cycle}{when}"
        if len(set(cycle.tasks)) == 1:
            message = f"task {cycle.tasks[0]} on one node waits for itself on another, and that one for this"
        at = by_id[cycle.tasks[0]].source
        yield Finding("error" if certain else "warning", "cycle", at, message, "remove one of these relations")
