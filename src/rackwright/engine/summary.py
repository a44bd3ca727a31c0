"""A plan as people read it: what will run, where and why, before anything happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rackwright.core.catalog import Task
from rackwright.core.node_task import NodeTask, State
from rackwright.core.plan import flows

Item = dict[str, str]
"""``node``, ``task`` and ``why``."""


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


def item(name: str, row: NodeTask, why: str) -> Item:
    """One line of a summary."""
    return {"node": name, "task": row.task, "why": why}


def empty() -> dict[str, Any]:
    """A summary of nothing, with every key that a summary has."""
    return {
        "run": [],
        "again": [],
        "follow": [],
        "commit": [],
        "remove": [],
        "members": {"added": [], "removed": []},
        "facts": [],
        "warnings": [],
    }


def kind_of(row: NodeTask) -> str:
    """Under which heading a row that moved stands."""
    return "commit" if row.state is State.PROPOSED else "again"


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
