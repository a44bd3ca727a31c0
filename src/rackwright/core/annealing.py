"""The moves of node tasks: which transitions are legal, what each does to the neighbours, and nothing else.

The table is OpenCrowbar's with this product's decisions. ``activatable`` means: no direct parent that is not active,
and no closed gate; a row that is wanted is ``todo`` when it is activatable and ``blocked`` when not.

| verb       | legal from                | to                                                                         |
|------------|---------------------------|----------------------------------------------------------------------------|
| propose    | any but transition        | proposed                                                                   |
| commit     | proposed                  | todo or blocked                                                            |
| retry      | error, active, blocked    | todo or blocked                                                            |
| claim      | todo                      | transition, with a new attempt                                             |
| finish     | transition, same attempt  | active; todo or blocked (inputs changed, node gone, retry rule); error;    |
|            |                           | proposed after a rehearsal                                                 |
| park       | transition, same attempt  | transition, held by nobody                                                 |
| lose       | transition                | todo or blocked                                                            |
| change     | active, error             | todo or blocked; proposed when destructive and run before                  |
| deactivate | any but proposed          | todo or blocked; what is parked stays: it may wait for this very node;     |
|            |                           | what is offline stays: it needs no living node                             |

What a move does to others: leaving ``active`` adds one to what each child and barrier waits for, entering it takes one
away; a child in todo that waits again goes back to blocked, an active child stays (it runs again only when what it
read changes). An error blocks every descendant that is neither proposed nor in transition, active ones too.
"""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import Conflict
from rackwright.core.node_task import PARKED, Barrier, Neighbourhood, NodeTask, Run, State

LEGAL: dict[str, frozenset[State]] = {
    "propose": frozenset(State) - {State.TRANSITION},
    "commit": frozenset({State.PROPOSED}),
    "retry": frozenset({State.ERROR, State.ACTIVE, State.BLOCKED}),
    "claim": frozenset({State.TODO}),
    "finish": frozenset({State.TRANSITION}),
    "lose": frozenset({State.TRANSITION}),
    "change": frozenset(State),
    "deactivate": frozenset(State) - {State.PROPOSED},
}
"""From which states each verb may be used."""

RETRYABLE_ATTEMPTS = 5
"""A failure that its driver calls retryable is tried this often in all, even without a retry rule."""

REHEARSAL = b"noop:"
"""Stands before the fingerprint of an attempt that only tells what it would do."""

Outcome = Literal["ok", "failed", "retryable", "skipped"]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended, as far as the rules care."""

    attempt: int
    revision: int
    outcome: Outcome
    reason: str = ""
    alive: bool = True
    """False: the node is known to be gone, so that nothing can be active on it."""


def propose(near: Neighbourhood, row: NodeTask, reason: str = "") -> None:
    """Take a node task back to be committed by a person."""
    _check("propose", row)
    _move(near, row, State.PROPOSED, reason)


def commit(near: Neighbourhood, row: NodeTask) -> None:
    """A person agrees: the node task is wanted, a destructive one as well."""
    _check("commit", row)
    row.forced = True
    _want(near, row)


def retry(near: Neighbourhood, row: NodeTask, reason: str = "") -> None:
    """A person wants it carried out again, whatever it is: error, active or blocked."""
    _check("retry", row)
    row.forced = True
    _want(near, row, reason)


def claim(
    near: Neighbourhood,
    row: NodeTask,
    *,
    fingerprint: bytes,
    incarnation: str,
    now: float,
    until: float,
    noop: bool = False,
) -> None:
    """Hand a node task to a rack's process: a new attempt with a lease ``until``, on inputs of this fingerprint; with
    ``noop`` only a rehearsal, after which it is proposed."""
    _check("claim", row)
    row.attempt += 1
    row.claimed = REHEARSAL + fingerprint if noop else fingerprint
    row.incarnation = incarnation
    row.claimed_at = now
    row.lease_until = until
    _move(near, row, State.TRANSITION, "")


def finish(near: Neighbourhood, row: NodeTask, task: Task, ended: Ended, now: float) -> str:
    """Take the end of an attempt. Gives the outcome for history; raises Conflict when the attempt is not the newest."""
    if row.state is not State.TRANSITION or row.attempt != ended.attempt:
        raise Conflict(f"attempt {ended.attempt} of {task.id} is not the newest ({row.attempt}, {row.state.word})")
    outcome = _conclude(near, row, task, ended, now)
    _remember(near, row, outcome, ended, now)
    return outcome


def park(near: Neighbourhood, row: NodeTask, *, attempt: int, until: float, reason: str) -> None:
    """The attempt goes on by itself until an event, at most ``until``: no process holds it any more, and nothing else
    runs on its scope. Raises Conflict when the attempt is not the newest."""
    if row.state is not State.TRANSITION or row.attempt != attempt:
        raise Conflict(f"attempt {attempt} of {row.task} is not the newest ({row.attempt}, {row.state.word})")
    row.incarnation, row.lease_until, row.reason = PARKED, until, reason
    near.touched.add(row.id)


def lose(near: Neighbourhood, row: NodeTask, reason: str, now: float) -> None:
    """The executor is gone: the attempt ends without a result and the node task goes back to the queue."""
    _check("lose", row)
    ended = Ended(attempt=row.attempt, revision=row.revision, outcome="failed", reason=reason)
    _remember(near, row, "lost", ended, now)
    _want(near, row, reason)


def change(near: Neighbourhood, row: NodeTask, task: Task, *, fingerprint: bytes, revision: int, reason: str) -> bool:
    """What the node task reads has changed: ``fingerprint`` is that of its inputs now. True when the row moved.

    Same inputs as it became active with: nothing happens (early cutoff). A running one finishes first: its result
    will be of an older revision.
    """
    if row.state is State.TRANSITION:
        if fingerprint != row.claimed:
            row.revision = revision
            row.reason = reason
            near.touched.add(row.id)
        return False
    if row.tries or row.not_before:
        row.tries, row.not_before = 0, 0.0
        near.touched.add(row.id)
    if row.state is State.ACTIVE and fingerprint != row.fingerprint:
        row.revision = revision
        if task.destructive and row.runs:
            _move(near, row, State.PROPOSED, f"{reason}; destructive: commit it to let it run again")
        else:
            _want(near, row, reason)
        return True
    if row.state is State.ERROR:
        row.revision = revision
        _want(near, row, reason)
        return True
    return False


def deactivate(near: Neighbourhood, row: NodeTask, reason: str, now: float) -> None:
    """The node is gone: nothing on it is active any more, and what ran there is lost. What is parked there goes on: a
    machine that restarts is gone for a while. What needs no living node goes on as well."""
    _check("deactivate", row)
    if row.parked or row.offline:
        return
    if row.state is State.TRANSITION:
        lose(near, row, reason, now)
    else:
        _want(near, row, reason)


def block(near: Neighbourhood, row: NodeTask, reason: str) -> None:
    """Something above it has failed. What is proposed or runs stays as it is."""
    if row.state not in (State.PROPOSED, State.TRANSITION, State.BLOCKED):
        if row.state is State.ERROR:
            row.tries = 0
        _move(near, row, State.BLOCKED, reason)


def skips(row: NodeTask, task: Task, fingerprint: bytes) -> bool:
    """True when a destructive task has run before on the same inputs and nobody asked for another run: its jig is
    skipped, and it still goes active."""
    return task.destructive and row.runs > 0 and not row.forced and row.fingerprint == fingerprint


def settle(near: Neighbourhood, row: NodeTask) -> None:
    """Put a wanted row where it belongs: todo when it is activatable, else blocked."""
    if row.state in (State.TODO, State.BLOCKED):
        belongs = State.TODO if activatable(near, row) else State.BLOCKED
        if belongs is not row.state:
            was, row.state = row.state, belongs
            near.touched.add(row.id)
            near.moved(row, was)


def activatable(near: Neighbourhood, row: NodeTask) -> bool:
    """True when no direct parent and no gate holds the row back. Gates must be in the neighbourhood."""
    if row.waits or not row.gates:
        return row.waits == 0
    return all(near.barriers[gate].open for gate in row.gates if gate in near.barriers)


def _conclude(near: Neighbourhood, row: NodeTask, task: Task, ended: Ended, now: float) -> str:
    if row.claimed is not None and row.claimed.startswith(REHEARSAL):
        _move(near, row, State.PROPOSED, f"rehearsed: {ended.reason or ended.outcome}; commit it to let it run")
        return "rehearsed"
    good = ended.outcome in ("ok", "skipped")
    if row.revision != ended.revision:
        if task.destructive and good:
            row.runs += 1
            row.fingerprint = row.claimed
            _move(near, row, State.PROPOSED, f"{row.reason}; destructive: commit it to let it run again")
        else:
            _want(near, row, row.reason)
        return "superseded"
    if not ended.alive and not row.offline:
        _want(near, row, "the node is not alive")
        return "lost"
    if not good and _tries_left(row, task, ended.outcome):
        tries = row.tries
        _want(near, row, ended.reason)
        row.tries = tries + 1
        row.not_before = now + _pause(row, task, tries)
        return "retried"
    if good or not task.fail_on_error:
        _activate(near, row)
        return {"ok": "active", "skipped": "skipped"}.get(ended.outcome, "tolerated")
    _fail(near, row, ended.reason)
    return "failed"


def _pause(row: NodeTask, task: Task, tries: int) -> float:
    """Seconds until the next try. What failed together is spread by the jitter: the same for the same attempt, so that
    the rules stay without chance."""
    rule = task.retry
    spread = zlib.crc32(b"%d/%d" % (row.id, row.attempt)) / 2**31 - 1
    return rule.delay * rule.backoff**tries * (1 + rule.jitter * spread)


def _tries_left(row: NodeTask, task: Task, outcome: Outcome) -> bool:
    allowed = max(task.retry.attempts, RETRYABLE_ATTEMPTS) if outcome == "retryable" else task.retry.attempts
    return row.tries + 1 < allowed


def _activate(near: Neighbourhood, row: NodeTask) -> None:
    row.runs += 1
    row.tries, row.not_before = 0, 0.0
    row.fingerprint = row.claimed
    row.forced = False
    _move(near, row, State.ACTIVE, "")


def _fail(near: Neighbourhood, row: NodeTask, reason: str) -> None:
    row.tries += 1
    row.forced = False
    _move(near, row, State.ERROR, reason)
    why = f"blocked by an error of {row.task}"
    if row.id in near.later:
        near.spread[row.id] = why
        return
    for below in _descendants(near, row):
        block(near, below, why)


def _descendants(near: Neighbourhood, row: NodeTask) -> list[NodeTask]:
    """Every row of the neighbourhood below this one, by id; rows say themselves which barriers gate them."""
    gated: dict[int, list[int]] = {}
    for other in near.rows.values():
        for gate in other.gates:
            gated.setdefault(gate, []).append(other.id)
    found: dict[int, NodeTask] = {}
    seen: set[int] = set()
    rows, barriers = list(row.children), list(row.feeds)
    while rows or barriers:
        if rows:
            below = near.rows.get(rows.pop())
            if below is not None and below.id not in found and below.id != row.id:
                found[below.id] = below
                rows.extend(below.children)
                barriers.extend(below.feeds)
            continue
        barrier = near.barriers.get(barriers.pop())
        if barrier is not None and barrier.id not in seen:
            seen.add(barrier.id)
            rows.extend(gated.get(barrier.id, ()))
            barriers.extend(barrier.feeds)
    return [found[key] for key in sorted(found)]


def _want(near: Neighbourhood, row: NodeTask, reason: str = "") -> None:
    row.tries, row.not_before = 0, 0.0
    _move(near, row, State.TODO if activatable(near, row) else State.BLOCKED, reason)


def _move(near: Neighbourhood, row: NodeTask, to: State, reason: str) -> None:
    was, row.state, row.reason = row.state, to, reason
    near.touched.add(row.id)
    if was is not to:
        near.moved(row, was)
    if (was is State.ACTIVE) is not (to is State.ACTIVE):
        _count(near, row, 1 if was is State.ACTIVE else -1)


def _count(near: Neighbourhood, row: NodeTask | Barrier, by: int) -> None:
    """Let the children and barriers of what entered (-1) or left (+1) its active state wait for that many more."""
    if isinstance(row, NodeTask):
        for child in row.children:
            below = near.rows.get(child)
            if below is not None:
                below.waits += by
                near.touched.add(child)
                settle(near, below)
    for feed in row.feeds:
        barrier = near.barriers[feed]
        was = barrier.open
        barrier.waits += by
        near.touched_barriers.add(feed)
        if was is not barrier.open:
            barrier.released = 0
            _count(near, barrier, -1 if barrier.open else 1)


def _remember(near: Neighbourhood, row: NodeTask, outcome: str, ended: Ended, now: float) -> None:
    near.runs.append(
        Run(
            node_task=row.id,
            deployment=row.deployment,
            task=row.task,
            scope=row.scope,
            rack=row.rack,
            attempt=row.attempt,
            outcome=outcome,
            reason=ended.reason,
            revision=ended.revision,
            fingerprint=row.claimed,
            started_at=row.claimed_at,
            ended_at=now,
            incarnation=row.incarnation,
        )
    )


def _check(verb: str, row: NodeTask) -> None:
    if row.state not in LEGAL[verb]:
        raise Conflict(
            f"{row.task} is {row.state.word}: it cannot be given the verb {verb}",
            mend="from " + ", ".join(sorted(state.word for state in LEGAL[verb])) + " only",
        )
