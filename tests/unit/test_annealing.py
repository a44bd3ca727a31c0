"""The table of moves, row by row, and the rules that a build system for files does not need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rackwright.core import annealing
from rackwright.core.annealing import Ended
from rackwright.core.catalog import Retry
from rackwright.core.errors import Conflict
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from tests.unit.fleets import NOW, fleet, task, validate


def claim(near: Neighbourhood, row: NodeTask, fingerprint: bytes = b"one") -> None:
    annealing.claim(near, row, fingerprint=fingerprint, incarnation="first", now=NOW, until=NOW + 30)


def finish(near: Neighbourhood, row: NodeTask, outcome: Any = "ok", **fields: Any) -> str:
    ended = Ended(attempt=row.attempt, revision=row.revision, outcome=outcome, reason="told")
    return annealing.finish(near, row, task(row.task, **fields), ended, NOW)


def run(near: Neighbourhood, row: NodeTask, fingerprint: bytes = b"one") -> None:
    claim(near, row, fingerprint)
    finish(near, row)


def run_all(near: Neighbourhood, rows: dict[str, NodeTask]) -> None:
    for row in rows.values():
        annealing.commit(near, row)
        run(near, row)


def through_an_error_above() -> dict[str, NodeTask]:
    """A parent and a child that were active, and a parent that failed and is active again."""
    near, rows = fleet("ab", [("a", "b")])
    run_all(near, rows)
    annealing.retry(near, rows["a"])
    claim(near, rows["a"])
    finish(near, rows["a"], "failed")
    annealing.retry(near, rows["a"])
    run(near, rows["a"])
    return rows


def test_pauses_are_spread_by_the_jitter_and_stay_the_same_for_the_same_attempt() -> None:
    pauses = []
    for number in range(1, 40):
        for _ in range(2):
            near, rows = fleet("a")
            rows["a"].attempt = number
            annealing.commit(near, rows["a"])
            claim(near, rows["a"])
            finish(near, rows["a"], "failed", retry=Retry(attempts=2, delay=10, jitter=0.5))
            pauses.append(rows["a"].not_before - NOW)
    assert pauses[::2] == pauses[1::2]
    assert 5 <= min(pauses) < 7
    assert 13 < max(pauses) <= 15


def test_what_is_parked_is_held_by_nobody_and_its_attempt_still_counts() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    claim(near, rows["a"])
    with pytest.raises(Conflict):
        annealing.park(near, rows["a"], attempt=7, until=NOW + 9, reason="waits")
    annealing.park(near, rows["a"], attempt=1, until=NOW + 9, reason="waits")
    assert (rows["a"].state, rows["a"].parked, rows["a"].lease_until) == (State.TRANSITION, True, NOW + 9)
    annealing.deactivate(near, rows["a"], "gone", NOW)
    assert rows["a"].parked
    assert finish(near, rows["a"]) == "active"
    assert not rows["a"].parked


def test_a_committed_task_without_parents_is_todo_and_one_with_parents_is_blocked() -> None:
    near, rows = fleet("ab", [("a", "b")])
    annealing.commit(near, rows["a"])
    annealing.commit(near, rows["b"])
    assert (rows["a"].state, rows["b"].state) == (State.TODO, State.BLOCKED)
    validate(near)


def test_a_child_becomes_todo_when_its_last_parent_becomes_active() -> None:
    near, rows = fleet("abc", [("a", "c"), ("b", "c")])
    for row in rows.values():
        annealing.commit(near, row)
    run(near, rows["a"])
    assert rows["c"].state is State.BLOCKED
    run(near, rows["b"])
    assert rows["c"].state is State.TODO
    validate(near)


def test_a_late_result_is_refused_and_changes_nothing() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    claim(near, rows["a"])
    annealing.lose(near, rows["a"], "gone", NOW)
    claim(near, rows["a"])
    late = Ended(attempt=1, revision=0, outcome="ok")
    with pytest.raises(Conflict, match="not the newest"):
        annealing.finish(near, rows["a"], task("a"), late, NOW)
    assert rows["a"].state is State.TRANSITION
    assert finish(near, rows["a"]) == "active"
    with pytest.raises(Conflict):
        finish(near, rows["a"])


def test_an_error_blocks_every_descendant_also_active_ones_but_no_neighbour() -> None:
    near, rows = fleet("abcx", [("a", "b"), ("b", "c")])
    run_all(near, rows)
    annealing.retry(near, rows["a"])
    claim(near, rows["a"])
    assert finish(near, rows["a"], "failed") == "failed"
    states = {name: row.state for name, row in rows.items()}
    assert states == {"a": State.ERROR, "b": State.BLOCKED, "c": State.BLOCKED, "x": State.ACTIVE}
    validate(near)


def test_what_an_error_blocked_runs_again_once_the_parent_is_active() -> None:
    rows = through_an_error_above()
    assert rows["b"].state is State.TODO


def test_running_an_active_parent_again_leaves_its_active_children_alone() -> None:
    near, rows = fleet("ab", [("a", "b")])
    run_all(near, rows)
    annealing.retry(near, rows["a"])
    assert (rows["a"].state, rows["b"].state) == (State.TODO, State.ACTIVE)
    run(near, rows["a"])
    assert rows["b"].state is State.ACTIVE
    validate(near)


def test_same_inputs_are_no_change() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    run(near, rows["a"], b"one")
    assert not annealing.change(near, rows["a"], task("a"), fingerprint=b"one", revision=7, reason="x")
    assert rows["a"].state is State.ACTIVE
    assert annealing.change(near, rows["a"], task("a"), fingerprint=b"two", revision=8, reason="x")
    assert rows["a"].state is State.TODO


def test_a_stale_destructive_task_goes_back_to_be_committed() -> None:
    near, rows = fleet("ab", [("a", "b")])
    run_all(near, rows)
    destructive = task("a", destructive=True)
    assert annealing.change(near, rows["a"], destructive, fingerprint=b"two", revision=1, reason="size")
    assert rows["a"].state is State.PROPOSED
    assert "commit" in rows["a"].reason
    annealing.commit(near, rows["a"])
    assert rows["a"].state is State.TODO
    assert not annealing.skips(rows["a"], destructive, b"two")
    validate(near)


def test_a_destructive_task_that_has_run_is_skipped_when_only_an_error_above_brought_it_back() -> None:
    rows = through_an_error_above()
    assert rows["b"].state is State.TODO
    assert annealing.skips(rows["b"], task("b", destructive=True), b"one")
    assert not annealing.skips(rows["b"], task("b"), b"one")


def test_inputs_that_change_while_a_task_runs_let_it_run_again() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    claim(near, rows["a"], b"one")
    ended = Ended(attempt=1, revision=rows["a"].revision, outcome="ok")
    assert not annealing.change(near, rows["a"], task("a"), fingerprint=b"two", revision=9, reason="changed: size")
    assert rows["a"].state is State.TRANSITION
    assert annealing.finish(near, rows["a"], task("a"), ended, NOW) == "superseded"
    assert rows["a"].state is State.TODO
    run(near, rows["a"], b"two")
    assert rows["a"].state is State.ACTIVE


def test_a_destructive_task_whose_inputs_change_while_it_runs_is_not_run_again_by_itself() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    claim(near, rows["a"], b"one")
    destructive = task("a", destructive=True)
    ended = Ended(attempt=1, revision=0, outcome="ok")
    annealing.change(near, rows["a"], destructive, fingerprint=b"two", revision=9, reason="changed: size")
    annealing.finish(near, rows["a"], destructive, ended, NOW)
    assert rows["a"].state is State.PROPOSED


def test_a_failed_task_is_tried_as_often_as_it_says_with_growing_pauses() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    retry = Retry(attempts=3, delay=2.0, backoff=3.0)
    pauses = []
    for expected in ("retried", "retried", "failed"):
        claim(near, rows["a"])
        assert finish(near, rows["a"], "failed", retry=retry) == expected
        pauses.append(rows["a"].not_before - NOW)
    assert pauses[:2] == [2.0, 6.0]
    assert rows["a"].state is State.ERROR
    assert [entry.outcome for entry in near.runs] == ["retried", "retried", "failed"]


def test_a_failure_that_is_not_fatal_counts_as_done() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    claim(near, rows["a"])
    assert finish(near, rows["a"], "failed", fail_on_error=False) == "tolerated"
    assert rows["a"].state is State.ACTIVE


def test_a_task_in_error_is_wanted_again_when_what_it_reads_changes() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    claim(near, rows["a"])
    finish(near, rows["a"], "failed")
    assert annealing.change(near, rows["a"], task("a"), fingerprint=b"two", revision=3, reason="changed: size")
    assert rows["a"].state is State.TODO


def test_nothing_becomes_active_on_a_node_that_is_gone() -> None:
    near, rows = fleet("a")
    annealing.commit(near, rows["a"])
    claim(near, rows["a"])
    ended = Ended(attempt=1, revision=0, outcome="ok", alive=False)
    annealing.finish(near, rows["a"], task("a"), ended, NOW)
    assert rows["a"].state is State.TODO


def test_a_node_that_goes_away_has_nothing_active_left() -> None:
    near, rows = fleet("abcd", [("a", "b"), ("b", "d")])
    for name in "abd":
        annealing.commit(near, rows[name])
    run(near, rows["a"])
    claim(near, rows["b"])
    for name in "abd":
        annealing.deactivate(near, rows[name], "gone", NOW)
    assert [rows[name].state for name in "abcd"] == [State.TODO, State.BLOCKED, State.PROPOSED, State.BLOCKED]
    assert near.runs[-1].outcome == "lost"
    validate(near)


def test_a_barrier_opens_with_its_last_parent_and_holds_its_children_until_then() -> None:
    near, rows = fleet("abxy", barriers={"all": (["a", "b"], ["x", "y"])})
    for row in rows.values():
        annealing.commit(near, row)
    assert rows["x"].state is State.BLOCKED
    run(near, rows["a"])
    assert not near.barriers[1].open
    run(near, rows["b"])
    assert near.barriers[1].open
    for name in "xy":
        annealing.settle(near, rows[name])
    assert (rows["x"].state, rows["y"].state) == (State.TODO, State.TODO)


def test_barriers_open_and_close_in_chains() -> None:
    near, rows = fleet("ab", barriers={"first": (["a"], []), "second": ([], ["b"])})
    near.barriers[1].feeds = (2,)
    near.barriers[2].waits = 1
    for row in rows.values():
        annealing.commit(near, row)
    run(near, rows["a"])
    assert near.barriers[2].open
    annealing.retry(near, rows["a"])
    assert not near.barriers[2].open
    assert near.barriers[2].released == 0


@pytest.mark.parametrize("verb", sorted(annealing.LEGAL))
@pytest.mark.parametrize("state", list(State))
def test_every_verb_is_refused_in_every_state_that_the_table_does_not_name(verb: str, state: State) -> None:
    near, rows = fleet("a")
    row = rows["a"]
    row.state = state
    moves: dict[str, Callable[[], object]] = {
        "propose": lambda: annealing.propose(near, row),
        "commit": lambda: annealing.commit(near, row),
        "retry": lambda: annealing.retry(near, row),
        "claim": lambda: claim(near, row),
        "finish": lambda: finish(near, row),
        "lose": lambda: annealing.lose(near, row, "", NOW),
        "change": lambda: annealing.change(near, row, task("a"), fingerprint=b"", revision=1, reason=""),
        "deactivate": lambda: annealing.deactivate(near, row, "", NOW),
    }
    if state in annealing.LEGAL[verb]:
        moves[verb]()
    else:
        with pytest.raises(Conflict):
            moves[verb]()
        assert row.state is state
