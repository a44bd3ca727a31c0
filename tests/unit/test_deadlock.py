"""Rings of node tasks that wait for each other on one node."""

from __future__ import annotations

import pytest

from rackwright.core.deadlock import Standing, rings, told, waits
from rackwright.core.node_task import NodeTask, State


def standing(id: int, state: State = State.ERROR, *, lacks: str = "", writes: str = "", **fields: object) -> Standing:
    row = NodeTask(id=id, deployment=id, task=f"t{id}", scope=9, rack=1, state=state)
    for name, value in fields.items():
        setattr(row, name, value)
    return Standing(row=row, lacks=lacks.split(), writes=writes.split())


def ids(found: list[Standing]) -> list[list[int]]:
    return [sorted(wait.waiting for wait in ring) for ring in rings(waits(found))]


def test_facts_of_each_other_are_a_ring() -> None:
    assert ids([standing(1, lacks="b.x", writes="a"), standing(2, lacks="a.y", writes="b")]) == [[1, 2]]


def test_a_ring_may_go_through_what_is_blocked() -> None:
    """The writer follows a task that lacks what the other one writes."""
    found = [
        standing(1, lacks="b", children=(2,)),
        standing(2, State.BLOCKED, writes="a"),
        standing(3, lacks="a", writes="b"),
    ]
    assert ids(found) == [[1, 2, 3]]


def test_a_critical_error_holds_what_would_mend_it() -> None:
    found = [standing(1, lacks="b", critical=True), standing(2, State.TODO, writes="b")]
    assert ids(found) == [[1, 2]]
    (ring,) = rings(waits(found))
    assert told(ring, {1: "one", 2: "two"}) == (
        "deadlock: one waits for two, for it lacks b; two waits for one, for the critical error of t1 stops the node"
    )


@pytest.mark.parametrize("state", [State.ACTIVE, State.TRANSITION])
def test_what_runs_or_has_run_waits_for_nobody(state: State) -> None:
    assert ids([standing(1, lacks="b", writes="a"), standing(2, state, lacks="a", writes="b")]) == []


def test_a_chain_is_no_ring() -> None:
    assert ids([standing(1, lacks="b"), standing(2, lacks="c", writes="b"), standing(3, State.TODO, writes="c")]) == []
