"""Faults of facts: two writers of one, reads of what nobody writes, and changes that would reach too far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

from rackwright.core.catalog import Catalog, Position, Read, Role, Task, Write
from rackwright.core.errors import InvalidInput
from rackwright.core.facts import check_writer, touches
from rackwright.core.lint.finding import Finding, did_you_mean, silent_in_the_original
from rackwright.core.task_graph import TaskGraph, task_graph

_NOT_OF_TASKS = ("desired", "observed", "machine", "images")
"""First words of facts that people, the world, the life cycle of machines and the import of images write."""
_ALWAYS_DESIRED = ("desired.address", "desired.macs", "desired.power")
"""Facts that people set on nodes without any role declaring them."""


class _Written(NamedTuple):
    task: Task
    number: int
    write: Write

    @property
    def scope(self) -> str:
        """The kind of scope that the fact hangs on."""
        return "node" if self.write.scope == "nodes" else self.write.scope


def facts(catalog: Catalog) -> Iterator[Finding]:
    """Give every fault of what tasks read and write."""
    everything = [written for graph in catalog.graphs.values() for written in _writes(graph.tasks)]
    for graph in catalog.graphs.values():
        if not any(task.reads or task.writes for task in graph.tasks):
            continue
        survey = task_graph(graph, catalog.roles)
        writes = list(_writes(graph.tasks))
        yield from _owners(writes)
        yield from _two_writers(writes, survey)
        for task in graph.tasks:
            for alias in task.reads:
                yield from _of_read(task, alias, everything, catalog)
        yield from _blast_radius(graph.tasks, writes)


def _writes(tasks: tuple[Task, ...]) -> Iterator[_Written]:
    for task in tasks:
        for number, write in enumerate(task.writes):
            yield _Written(task, number, write)


def _owners(writes: list[_Written]) -> Iterator[Finding]:
    """What people and the world write is no task's; and a node's task writes no fact of all nodes."""
    for task, number, write in writes:
        at = task.place(f"writes.{number}")
        try:
            check_writer(write.path, task.id)
        except InvalidInput as fault:
            yield Finding("error", "wrong-owner", at, f"task {task.id}: {fault.what}", fault.mend)
        if write.scope == "nodes" and task.scope == "node":
            message = f"task {task.id} works on one node and would write {write.path} on every node"
            yield Finding("error", "wrong-owner", at, message, "write it on the own node, or use `scope: deployment`")


def _two_writers(writes: list[_Written], survey: TaskGraph) -> Iterator[Finding]:
    for written in writes:
        places = survey.places.get(written.task.id, frozenset())
        if _is_wider(written) and len(places) > 1:
            message = (
                f"task {written.task.id} runs at many {written.task.scope}s, "
                f"and each would write the one fact {written.write.scope}:{written.write.path}"
            )
            mend = f"use `scope: {written.write.scope}`, and read the nodes' facts as nodes:PATH"
            yield Finding("error", "two-writers", written.task.place(f"writes.{written.number}"), message, mend)
    for one, other in combinations(writes, 2):
        if one.scope != other.scope or not touches(one.write.path, other.write.path):
            continue
        if one.task.id != other.task.id and _meet(one, other, survey):
            message = (
                f"task {other.task.id} writes {other.scope}:{other.write.path}, and so does task {one.task.id} "
                f"({one.task.place(f'writes.{one.number}')}): a fact has one writer"
            )
            at = other.task.place(f"writes.{other.number}")
            yield Finding("error", "two-writers", at, message, "give one of them a path of its own")


def _is_wider(written: _Written) -> bool:
    """True for a task that writes a fact of a scope that holds several of its own."""
    width = {"node": 0, "rack": 1, "deployment": 2}
    return written.write.scope != "nodes" and width[written.write.scope] > width[written.task.scope]


def _meet(one: _Written, other: _Written, survey: TaskGraph) -> bool:
    """True when both can write on one and the same scope."""
    if one.scope == "deployment" or "nodes" in (one.write.scope, other.write.scope):
        return True
    if one.task.scope != other.task.scope:
        return True
    return bool(survey.places[one.task.id] & survey.places[other.task.id])


def _of_read(task: Task, alias: str, everything: list[_Written], catalog: Catalog) -> Iterator[Finding]:
    read = task.reads[alias]
    at = task.place(f"reads.{alias}")
    if read.scope == "nodes" and task.scope == "node":
        message = f"task {task.id} works on one node and reads {read.path} of every node: each change reruns all"
        mend = "let a task of `scope: deployment` gather it, and read what that one writes"
        yield Finding("error", "nodes-read-by-node-task", at, message, mend)
    head = read.path.partition(".")[0]
    if head == "desired":
        yield from _of_desired(task, read, at, catalog.roles)
    elif head not in _NOT_OF_TASKS:
        mend = _how_to_write(read, everything)
        if mend:
            message = f"task {task.id} reads {read}, which no task writes"
            yield Finding(silent_in_the_original(catalog), "unwritten-read", at, message, mend)


def _how_to_write(read: Read, everything: list[_Written]) -> str:
    """What would give the read a writer; '' when it has one."""
    scope = "node" if read.scope == "nodes" else read.scope
    scopes = sorted({written.scope for written in everything if touches(read.path, written.write.path)})
    if scope in scopes:
        return ""
    known = {written.write.path for written in everything if written.scope == scope}
    if scopes:
        return f"it is written on another scope: read {scopes[0]}:{read.path}"
    return did_you_mean(read.path, known) or "add it to the `writes` of a task"


def _of_desired(task: Task, read: Read, at: Position, roles: Mapping[str, Role]) -> Iterator[Finding]:
    """A wish that no role declares is nobody's default; people may still set it, so this is a warning."""
    declared = {f"desired.{role.name}.{name}" for role in roles.values() for name in _attributes(role)}
    open_roles = [f"desired.{role.name}" for role in roles.values() if _is_open(role)]
    if read.path in _ALWAYS_DESIRED or any(touches(read.path, path) for path in (*declared, *open_roles)):
        return
    message = f"task {task.id} reads {read}, which no role declares"
    mend = did_you_mean(read.path, declared) or "declare it in the attributes of a role"
    yield Finding("warning", "unwritten-read", at, message, mend)


def _attributes(role: Role) -> Mapping[str, object]:
    properties = role.attributes.get("properties")
    return properties if isinstance(properties, dict) else {}


def _is_open(role: Role) -> bool:
    """True when a role's schema admits attributes that it does not list."""
    return bool(role.attributes.get("patternProperties")) or isinstance(
        role.attributes.get("additionalProperties"), dict
    )


def _blast_radius(tasks: tuple[Task, ...], writes: list[_Written]) -> Iterator[Finding]:
    gathered = _gathered(tasks, writes)
    for task in tasks:
        if task.scope != "node":
            continue
        for alias, read in task.reads.items():
            for written in gathered:
                if written.scope == read.scope and touches(read.path, written.write.path):
                    message = (
                        f"task {task.id} on each node reads {read}, which task {written.task.id} makes of the facts of "
                        f"many nodes: a change of one node reruns it on all"
                    )
                    mend = "mark the write `slow: true` if it seldom changes, or write it per node as nodes:PATH"
                    yield Finding("warning", "blast-radius", task.place(f"reads.{alias}"), message, mend)


def _gathered(tasks: tuple[Task, ...], writes: list[_Written]) -> list[_Written]:
    """The facts of racks and deployments that change when any one node's fact does, directly or through others."""
    shared = [written for written in writes if written.scope != "node" and not written.write.slow]
    gathering = {task.id for task in tasks if any(read.scope == "nodes" for read in task.reads.values())}
    grown = True
    while grown:
        found = [written for written in shared if written.task.id in gathering]
        more = {
            task.id
            for task in tasks
            for read in task.reads.values()
            for written in found
            if task.scope != "node" and written.scope == read.scope and touches(read.path, written.write.path)
        }
        grown = bool(more - gathering)
        gathering |= more
    return [written for written in shared if written.task.id in gathering]
