"""Deadlocks on one node: node tasks of several deployments that wait for each other in a ring.

Within a deployment the plan refuses cycles. Between deployments nobody plans: there a node task waits for a fact that
another deployment's task writes, or for a critical error to go away that stops everything on its node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from rackwright.core.digraph import knots, shortest_cycle
from rackwright.core.facts import touches
from rackwright.core.node_task import NodeTask, State


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A node task on the node: its row, the facts (paths) of the node that it lacks, and those that its task writes
    there."""

    row: NodeTask
    lacks: Collection[str] = ()
    writes: Collection[str] = ()


class Wait(msgspec.Struct, frozen=True):
    """One node task (id) waits for another one, and why."""

    waiting: int
    waited_for: int
    why: str


def waits(standing: Iterable[Standing]) -> list[Wait]:
    """Who waits for whom among the node tasks of one node: for a parent, for a fact, for a critical error to go."""
    idle = [one for one in standing if one.row.state not in (State.ACTIVE, State.TRANSITION)]
    rows = {one.row.id: one.row for one in idle}
    found = [
        Wait(child, row.id, f"it follows {row.task}")
        for row in rows.values()
        for child in row.children
        if child in rows
    ]
    for one in idle:
        for path in one.lacks:
            writers = [
                other.row for other in idle if other is not one and any(touches(write, path) for write in other.writes)
            ]
            found += [Wait(one.row.id, writer.id, f"it lacks {path}") for writer in writers]
    critical = [row for row in rows.values() if row.critical and row.state is State.ERROR]
    found += [
        Wait(row.id, stopper.id, f"the critical error of {stopper.task} stops the node")
        for row in rows.values()
        for stopper in critical
        if row.state is State.TODO
    ]
    return found


def rings(found: Collection[Wait]) -> list[tuple[Wait, ...]]:
    """The shortest ring of each knot: each waits for the next one, the last for the first."""
    follows: dict[int, list[int]] = {}
    why: dict[tuple[int, int], Wait] = {}
    for wait in found:
        follows.setdefault(wait.waiting, []).append(wait.waited_for)
        why[wait.waiting, wait.waited_for] = wait
    cycles = [shortest_cycle(knot, follows) for knot in knots(follows)]
    return [tuple(why[pair] for pair in zip(ring, (*ring[1:], ring[0]), strict=True)) for ring in cycles]


def told(ring: Collection[Wait], names: Mapping[int, str]) -> str:
    """The ring in words; ``names`` are those of its node tasks."""
    steps = "; ".join(f"{names[wait.waiting]} waits for {names[wait.waited_for]}, for {wait.why}" for wait in ring)
    return f"deadlock: {steps}"
