"""Small fleets for tests of the core: rows and barriers from a list of edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rackwright.core.catalog import Task
from rackwright.core.node_task import Barrier, Neighbourhood, NodeTask, State

NOW = 1000.0


def fleet(
    names: Iterable[str],
    edges: Iterable[tuple[str, str]] = (),
    barriers: Mapping[str, tuple[list[str], list[str]]] | None = None,
) -> tuple[Neighbourhood, dict[str, NodeTask]]:
    """Proposed rows by name, with direct edges (parent, child) and barriers (name -> parents, children)."""
    near = Neighbourhood()
    rows = {}
    for number, name in enumerate(names, start=1):
        rows[name] = NodeTask(id=number, deployment=100, task=name, scope=number, rack=1)
    for parent, child in edges:
        rows[parent].children = (*rows[parent].children, rows[child].id)
        rows[child].waits += 1
    for number, (name, (parents, children)) in enumerate((barriers or {}).items(), start=1):
        barrier = Barrier(id=number, deployment=100, name=name, waits=len(parents))
        for parent in parents:
            rows[parent].feeds = (*rows[parent].feeds, number)
        for child in children:
            rows[child].gates = (*rows[child].gates, number)
        barrier.children = tuple(rows[child].id for child in children)
        near.barriers[number] = barrier
    near.rows = {row.id: row for row in rows.values()}
    return near, rows


def task(name: str, **fields: Any) -> Task:
    """A node task's task, by its name."""
    return Task(id=name, type="noop", jig="noop", roles="*", **fields)


def validate(near: Neighbourhood) -> None:
    """The self-check of a whole fleet: every counter says what a recount says, and todo means that nothing waits."""
    assert {row.id: row.waits for row in near.rows.values()} == _recounted_rows(near)
    assert {barrier.id: barrier.waits for barrier in near.barriers.values()} == _recounted_barriers(near)
    for row in near.rows.values():
        if row.state is State.TODO:
            assert row.waits == 0, f"{row.task} is todo and waits for {row.waits}"
        if row.state is State.BLOCKED and row.waits == 0:
            gates = [near.barriers[gate] for gate in row.gates]
            assert any(not gate.open or gate.released < len(gate.children) for gate in gates), f"{row.task} is lost"
    running = [row.scope for row in near.rows.values() if row.state is State.TRANSITION]
    assert len(running) == len(set(running))


def _recounted_rows(near: Neighbourhood) -> dict[int, int]:
    waits = dict.fromkeys(near.rows, 0)
    for row in near.rows.values():
        for child in row.children if row.state is not State.ACTIVE else ():
            waits[child] += 1
    return waits


def _recounted_barriers(near: Neighbourhood) -> dict[int, int]:
    waits = dict.fromkeys(near.barriers, 0)
    shut = [row.feeds for row in near.rows.values() if row.state is not State.ACTIVE]
    shut += [barrier.feeds for barrier in near.barriers.values() if not barrier.open]
    for feeds in shut:
        for feed in feeds:
            waits[feed] += 1
    return waits
