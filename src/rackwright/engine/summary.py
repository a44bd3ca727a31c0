"""A plan as people read it: what will run, where and why, before anything happens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from rackwright.core.catalog import Task
from rackwright.core.facts import Fact
from rackwright.core.node_task import NodeTask, State
from rackwright.core.ports import Membership
from rackwright.core.relations import flows
from rackwright.core.resolution import natural
from rackwright.engine.reconcile import Shape

Item = dict[str, str]
"""``node``, ``task`` and ``why``."""
Names = Mapping[int, str]
"""Names of scopes by id."""
MOST = 50_000
"""So many node tasks of a kind are told one by one; nobody reads more, and a plan is one value in the store."""


def follow(
    rows: Sequence[NodeTask],
    starting: Iterable[NodeTask],
    task_of: Callable[[NodeTask], Task],
    place_of: Callable[[NodeTask], int | None],
) -> list[tuple[NodeTask, NodeTask]]:
    """Rows that will run too if what runs before them writes something new, each with the row that it follows.

    ``place_of`` gives the rack of a node's row. Rows that start by themselves are not repeated.
    """
    tasks = {row.task: task_of(row) for row in rows}
    readers = {name: _readers(task, tasks.values()) for name, task in tasks.items() if task.writes}
    index: dict[str, list[NodeTask]] = {}
    for row in rows:
        index.setdefault(row.task, []).append(row)
    queue = list(starting)
    seen = {row.id for row in queue}
    found: list[tuple[NodeTask, NodeTask]] = []
    done: set[tuple[str, str, object]] = set()
    for row in queue:
        writer = tasks[row.task]
        for reader in readers.get(row.task, ()):
            where = _where(writer, reader, row, place_of)
            if (row.task, reader.id, where) in done:
                continue
            done.add((row.task, reader.id, where))
            for other in index[reader.id]:
                if other.id not in seen and _where(writer, reader, other, place_of) == where:
                    seen.add(other.id)
                    queue.append(other)
                    found.append((other, row))
    return found


def members(before: Sequence[Membership], after: Sequence[Membership]) -> dict[str, list[str]]:
    """Names of the nodes that come and go."""
    had, has = {member.name for member in before}, {member.name for member in after}
    return {"added": sorted(has - had, key=natural), "removed": sorted(had - has, key=natural)}


def facts(
    changed: Sequence[Fact], old: Mapping[int, Mapping[str, Any]], defaults: Mapping[str, Any], names: Names
) -> list[dict[str, Any]]:
    """What changes from which value to which; ``old`` holds former facts by scope and path."""
    return [
        {
            "scope": names[fact.scope],
            "path": fact.path,
            "old": old.get(fact.scope, {}).get(fact.path, defaults.get(fact.path)),
            "new": fact.value,
        }
        for fact in changed
    ]


def rows(
    shape: Shape,
    names: Names,
    racks: Mapping[int, int | None],
    task_of: Callable[[NodeTask], Task],
    left: Collection[int] = (),
) -> dict[str, Any]:
    """What runs (``run``: for the first time, ``again``), what may follow (``follow``), what a person has to commit
    (``commit``), what goes (``remove``), and what was ``left`` out (ids) and waits to be committed: of each the first
    MOST, and how many ``more`` there are. ``racks`` gives the rack of each scope."""
    told: dict[str, list[Item]] = {"run": [], "again": [], "follow": [], "commit": [], "remove": []}
    told |= {"left": []} if left else {}
    more = dict.fromkeys(told, 0)

    def tell(part: str, row: NodeTask, why: str) -> None:
        if len(told[part]) < MOST:
            told[part].append({"node": names.get(row.scope, str(row.scope)), "task": row.task, "why": why})
        else:
            more[part] += 1

    for row in shape.inserted:
        tell("left" if row.id in left else "run", row, "it has not run yet")
    moved = [row for row in shape.kept if _moved(shape.before[row.id], row)]
    for row in moved:
        part = "commit" if row.state is State.PROPOSED else "again"
        tell("left" if row.id in left else part, row, row.reason)
    known = {row.id for row in moved}
    for row in shape.kept:
        if row.id not in known and row.state in (State.TODO, State.BLOCKED):
            tell("again" if row.runs else "run", row, row.reason or "it is still to run")
    starting = [row for row in (*shape.inserted, *moved) if row.state is not State.PROPOSED]
    for row, by in follow(list(shape.near.rows.values()), starting, task_of, lambda row: racks.get(row.scope)):
        tell("follow", row, f"if {by.task} writes something new")
    for row in shape.removed:
        tell("remove", row, "it is no longer part of the deployment")
    return {**told, "more": {part: count for part, count in more.items() if count}}


def count(summary: Mapping[str, Any], part: str) -> int:
    """How many node tasks a part of a plan's summary is about."""
    return len(summary.get(part, ())) + int(summary.get("more", {}).get(part, 0))


def _moved(was: NodeTask, row: NodeTask) -> bool:
    """True when the plan lets a row run again that was at rest, or again after the run that is under way."""
    return (row.state is not was.state and was.state in (State.ACTIVE, State.ERROR)) or row.revision != was.revision


def _readers(writer: Task, tasks: Iterable[Task]) -> list[Task]:
    return [
        task
        for task in tasks
        if task is not writer and any(flows(w, r) for w in writer.writes for r in task.reads.values())
    ]


def _where(writer: Task, reader: Task, row: NodeTask, place_of: Callable[[NodeTask], int | None]) -> object:
    """The place that a writer and a reader share: the node, the rack, or (None) the whole deployment."""
    if "deployment" in (writer.scope, reader.scope):
        return None
    if writer.scope == reader.scope:
        return row.scope
    return place_of(row)
