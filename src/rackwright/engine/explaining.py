"""Answers to people who ask why: one node task with all that decides about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import msgspec

from rackwright.core.errors import InvalidInput, NotFound, RackwrightError
from rackwright.core.explanation import ConditionSeen, Explanation, LastRun, Obstacle, Reading, Verdict, compare
from rackwright.core.inputs import WHOLE
from rackwright.core.limits import Allowance
from rackwright.core.node_task import NodeTask, Run, State
from rackwright.core.ports import Scope, Store, Transaction
from rackwright.engine import evaluation, shares
from rackwright.engine.evaluation import NOTHING, Past
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.situations import Situation, situations
from rackwright.engine.transact import transact

SHOWN = 20
"""At most so many node tasks are named that one waits for."""
SILENT = 60.0
"""Seconds after which a rack's process that has not been heard of is taken for gone."""


async def explain(
    store: Store, library: CatalogLibrary, node: str, task: str, *, deployment: str | None, now: float
) -> Explanation:
    """Tell why a task on a node (or on a rack or deployment, by its name) runs, is skipped or waits. ``now`` is in
    seconds since the epoch.

    Raises NotFound when there is no such node task, InvalidInput when several deployments have it and none is named.
    """

    async def work(tx: Transaction) -> Explanation:
        row = await node_task(tx, node, task, deployment)
        at = (await situations(tx, library, [row]))[row.id]
        past = (await evaluation.pasts(tx, {row.id: at}, everything=True)).get(row.id)
        condition = _condition(library, row, at, past or NOTHING)
        obstacles = [found async for found in _obstacles(tx, row, at, now)]
        last = await tx.last_run(row.id)
        verdict, why = _verdict(row, at, condition, obstacles, last)
        return Explanation(
            deployment=at.deployment.name,
            node=at.scope.name,
            task=row.task,
            graph=row.graph,
            state=row.state.word,
            verdict=verdict,
            why=why,
            waits_for=obstacles,
            condition=condition,
            reads=_reads(at, past),
            attempt=row.attempt,
            runs=row.runs,
            last_run=None if last is None else _last(last),
        )

    return await transact(store, work)


async def node_task(tx: Transaction, node: str, task: str, deployment: str | None) -> NodeTask:
    """The row of a task on what is called ``node``, in the deployment or in the only one that has it; of several
    graphs the one that deploys. Raises NotFound or InvalidInput."""
    scope = await scope_called(tx, node)
    standing = await tx.standing_on(scope.id)
    names = {id: found.name for id, found in (await tx.deployments({row.deployment for row in standing})).items()}
    rows = [row for row in standing if row.task == task and deployment in (None, names[row.deployment])]
    if not rows:
        known = sorted({row.task for row in standing if deployment in (None, names[row.deployment])})
        near = difflib.get_close_matches(task, known, n=3)
        raise NotFound(
            f"{node} has no task {task}" + (f" in the deployment {deployment}" if deployment else ""),
            mend=f"did you mean {' or '.join(near)}?" if near else f"it has: {', '.join(known) or 'none'}",
        )
    found = {names[row.deployment] for row in rows}
    if len(found) > 1:
        raise InvalidInput(
            f"{node} has the task {task} in several deployments", mend=f"name one of them: {', '.join(sorted(found))}"
        )
    return min(rows, key=lambda row: (row.graph != "deploy", row.graph))


async def scope_called(tx: Transaction, name: str) -> Scope:
    """The node of a name, else the rack, else the deployment. Raises NotFound that names the nearest."""
    for kind in ("node", "rack", "deployment"):
        found = await tx.named(kind, [name])
        if name in found:
            return found[name]
    near = difflib.get_close_matches(name, await tx.named("node", None), n=3)
    raise NotFound(
        f"nothing is called {name!r}",
        where=f"node {name}",
        mend=f"did you mean {' or '.join(near)}?" if near else "`rackwright get nodes` lists those that are",
    )


def _condition(library: CatalogLibrary, row: NodeTask, at: Situation, past: Past) -> ConditionSeen:
    written = at.task.condition
    text = written if isinstance(written, str) else msgspec.json.encode(written).decode()
    if isinstance(written, dict) and "yaql_exp" in written:
        text = str(written["yaql_exp"])
    try:
        return ConditionSeen(text, evaluation.wanted(library, row, at, past) is not None)
    except RackwrightError as error:
        return ConditionSeen(text, None, str(error))


def _reads(at: Situation, past: Past | None) -> list[Any]:
    reads = {place_of(alias): str(read) for alias, read in at.task.reads.items()}
    now = Reading(fingerprints=at.reads, values=at.places)
    return compare(reads, now, None if past is None else Reading(fingerprints=past.reads, values=past.values))


def place_of(alias: str) -> str:
    """The place in ``$`` of a read's alias."""
    return alias.removeprefix(f"{WHOLE}.")


async def _obstacles(tx: Transaction, row: NodeTask, at: Situation, now: float) -> Any:
    if row.state is State.PROPOSED:
        yield Obstacle("commit", "a person has to commit it")
    if row.state not in (State.PROPOSED, State.TODO, State.BLOCKED):
        return
    barriers = await tx.barriers(row.gates)
    closed = sorted((barrier for barrier in barriers.values() if not barrier.open), key=lambda barrier: barrier.id)
    for found in await _parents(tx, row, [barrier.id for barrier in closed]):
        yield found
    for barrier in closed:
        yield Obstacle("barrier", f"the barrier {barrier.name} is closed: {barrier.waits} are not active")
    for found in [
        *_of_the_place(row, at, now),
        *await _of_the_steering(tx, row),
        *await _of_the_rack(tx, row, now),
        *await _of_others(tx, row),
    ]:
        yield found


async def _parents(tx: Transaction, row: NodeTask, closed: list[int]) -> list[Obstacle]:
    if not row.waits and not closed:
        return []
    parents = await tx.waited_for(row.id, closed, SHOWN)
    scopes = await tx.scopes({parent.scope for parent in parents})
    return [
        Obstacle("parent", f"{parent.task} on {scopes[parent.scope].name} is {parent.state.word}")
        for parent in parents
        if parent.scope in scopes
    ]


def _of_the_place(row: NodeTask, at: Situation, now: float) -> Iterable[Obstacle]:
    if at.deployment.stopped:
        yield Obstacle("stopped", f"the deployment {at.deployment.name} is stopped")
    if not at.scope.alive and not row.offline:
        yield Obstacle("node", f"{at.scope.name} is not alive")
    if not at.scope.available:
        yield Obstacle("node", f"{at.scope.name} is held back")
    if row.not_before > now:
        yield Obstacle("pause", f"it is tried again in {row.not_before - now:.0f} s")
    for path in at.inputs.missing:
        yield Obstacle("missing", f"it reads {path}, which is not there")


async def _of_the_steering(tx: Transaction, row: NodeTask) -> list[Obstacle]:
    """What holds its deployment, its wave, limits that are reached, and budgets of which nothing is left."""
    found = []
    steering = await tx.steering(row.deployment)
    if steering is not None:
        wave = await tx.wave_of(row.deployment, row.scope)
        if steering.held:
            found.append(Obstacle("held", f"its deployment is held: {steering.held}"))
        if wave is not None and steering.open_wave is not None and wave > steering.open_wave:
            found.append(Obstacle("wave", f"it is in wave {wave}, and the deployment is at wave {steering.open_wave}"))
    if row.state is State.TODO and row.rack is not None:
        limits, running = await tx.limits(row.rack)
        if limits and not Allowance(limits, running, row.rack).admit([row]):
            found.append(Obstacle("limit", "as many node tasks run as a limit or its strategy allows"))
        left = await shares.standing(tx)
        full = [place for place in (await tx.shares_of([row.id])).get(row.id, ()) if place in left.full()]
        found += [Obstacle("budget", f"nothing is left of the budget of {place}") for place in full]
    return found


async def _of_the_rack(tx: Transaction, row: NodeTask, now: float) -> list[Obstacle]:
    rack = (await tx.scopes([row.rack])).get(row.rack) if row.rack is not None else None
    if rack is None:
        return [Obstacle("rack", "no rack carries it out")]
    heard = await tx.heard(rack.id)
    if heard is None:
        return [Obstacle("rack", f"the process of the rack {rack.name} has never been heard of")]
    silent = now - heard
    if silent < SILENT:
        return []
    return [Obstacle("rack", f"the process of the rack {rack.name} has not been heard of for {silent:.0f} s")]


async def _of_others(tx: Transaction, row: NodeTask) -> list[Obstacle]:
    """What else happens on its scope: one task at a time, and none after a critical error."""
    others = [other for other in await tx.standing_on(row.scope) if other.id != row.id]
    busy = [Obstacle("busy", f"{other.task} runs there now") for other in others if other.state is State.TRANSITION]
    failed = [other for other in others if other.state is State.ERROR and other.critical]
    return busy + [Obstacle("critical", f"{other.task}, which is critical, is in error there") for other in failed]


def _verdict(
    row: NodeTask, at: Situation, condition: ConditionSeen, obstacles: list[Obstacle], last: Run | None
) -> tuple[Verdict, str]:
    if row.state is State.ACTIVE:
        if last is not None and last.outcome == "skipped":
            return "skipped", last.reason
        return "active", "it ended well, and nothing that it reads has changed since"
    if row.state is State.TRANSITION:
        return "running", f"{at.rack or 'a rack'} works on attempt {row.attempt}"
    if row.state is State.ERROR:
        return "error", row.reason
    if obstacles:
        return "waits", obstacles[0].what + (f", and {len(obstacles) - 1} more" if len(obstacles) > 1 else "")
    if condition.value is False:
        return "skipped", "nothing keeps it, but its condition is false"
    return "runs", row.reason or ("it is to run again" if row.runs else "it has not run yet")


def _last(run: Run) -> LastRun:
    return LastRun(
        attempt=run.attempt,
        outcome=run.outcome,
        reason=run.reason,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )
