"""Rows of PostgreSQL as the core's types, and back. The orders of columns are those of the .sql files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import asyncpg

from rackwright.core.node_task import Barrier, NodeTask, Run, State
from rackwright.core.ports import Deployment, Membership, PlanRecord, Scope
from rackwright.core.serving import Serving
from rackwright.store.texts import plain

STATES = {int(state): state for state in State}

NODE_TASK = (
    "id", "deployment_id", "graph", "task", "scope_id", "rack_id", "state", "waits", "priority", "critical", "attempt",
    "tries", "runs", "revision", "fingerprint", "claimed", "forced", "incarnation", "claimed_at", "lease_until",
    "not_before", "reason", "children", "feeds", "gates", "offline",
)  # fmt: skip
BARRIER = ("id", "deployment_id", "graph", "name", "waits", "released", "width", "children", "feeds")


def node_task(row: asyncpg.Record) -> NodeTask:
    """A row of NODE_TASK's columns; more columns may follow. By position: by name it would take nine times as long."""
    return NodeTask(
        row[0], row[1], row[3], row[4], row[5], row[2], STATES[row[6]], row[7], row[8], row[9], row[10], row[11],
        row[12], row[13], row[14], row[15], row[16], row[17], row[18], row[19], row[20], row[21], tuple(row[22]),
        tuple(row[23]), tuple(row[24]), row[25],
    )  # fmt: skip


def node_task_row(row: NodeTask) -> tuple[Any, ...]:
    """The values of NODE_TASK's columns."""
    return (
        row.id, row.deployment, row.graph, row.task, row.scope, row.rack, row.state, row.waits, row.priority,
        row.critical, row.attempt, row.tries, row.runs, row.revision, row.fingerprint, row.claimed, row.forced,
        row.incarnation, row.claimed_at, row.lease_until, row.not_before, plain(row.reason), row.children, row.feeds,
        row.gates, row.offline,
    )  # fmt: skip


def moved(row: NodeTask) -> tuple[Any, ...]:
    """What a move may change, for ``save_rows``."""
    return (
        row.id, row.state, row.waits, row.attempt, row.tries, row.runs, row.revision, row.fingerprint, row.claimed,
        row.forced, row.incarnation, row.claimed_at, row.lease_until, row.not_before,
        plain(row.reason) if row.reason else "",
    )  # fmt: skip


def reshaped(row: NodeTask) -> tuple[Any, ...]:
    """What a new shape of the graph may change, for ``reshape_rows``."""
    return (
        row.id, row.rack, row.state, row.waits, row.priority, row.critical, row.attempt, row.tries, row.runs,
        row.revision, row.fingerprint, row.claimed, row.forced, row.incarnation, row.claimed_at, row.lease_until,
        row.not_before, plain(row.reason), _array(row.children), _array(row.feeds), _array(row.gates),
        row.offline,
    )  # fmt: skip


def run_row(run: Run) -> tuple[Any, ...]:
    """The values of ``add_runs``."""
    return (
        run.node_task, run.deployment, run.task, run.scope, run.rack, run.attempt, run.outcome, plain(run.reason),
        run.revision, run.fingerprint, run.started_at, run.ended_at, run.incarnation, run.outputs or None,
    )  # fmt: skip


def run(row: asyncpg.Record) -> Run:
    """A row of ``last_run``."""
    return Run(
        node_task=row[0], deployment=row[1], task=row[2], scope=row[3], rack=row[4], attempt=row[5], outcome=row[6],
        reason=row[7], revision=row[8], fingerprint=row[9], started_at=row[10], ended_at=row[11],
    )  # fmt: skip


def barrier(row: asyncpg.Record) -> Barrier:
    """A barrier without its children; more columns may follow."""
    return Barrier(
        id=row[0], deployment=row[1], graph=row[2], name=row[3], waits=row[4], released=row[5], feeds=tuple(row[6])
    )


def barrier_row(found: Barrier) -> tuple[Any, ...]:
    """The values of BARRIER's columns."""
    return (
        found.id, found.deployment, found.graph, found.name, found.waits, found.released, len(found.children),
        found.children, found.feeds,
    )  # fmt: skip


def scope(row: asyncpg.Record) -> Scope:
    """A row of ``scopes``."""
    return Scope(row[0], row[1], row[2], row[3], row[4], row[5], row[6] or {}, row[7])


def deployment(row: asyncpg.Record) -> Deployment:
    """A row of ``deployments``."""
    return Deployment(
        id=row[0], name=row[1], parent=row[2], catalog=row[3], catalog_name=row[4], stopped=row[5], created_at=row[6],
        noop=row[7],
    )  # fmt: skip


def membership(row: asyncpg.Record) -> Membership:
    """A row of ``memberships``."""
    return Membership(
        deployment=row[0], scope=row[1], name=row[2], rack=row[3], roles=tuple(row[4]), tags=tuple(row[5])
    )


def plan(row: asyncpg.Record) -> PlanRecord:
    """A row of ``plan``."""
    return PlanRecord(
        id=row[0], deployment=row[1], changes=row[2], apply=row[3], state=row[4], summary=row[5], fence=row[6],
        error=row[7], created_by=row[8], created_at=row[9], finished_at=row[10],
    )  # fmt: skip


def _array(ids: Iterable[int]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"


def serving(generation: int, applied: int, effect: float | None, report: dict[str, Any]) -> Serving:
    """How far a rack is with what it serves."""
    return Serving(generation=generation, applied=applied, effect=effect, report=report)
