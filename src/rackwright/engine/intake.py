"""The one door: facts and results come in here, in one transaction with every move that follows from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from rackwright.core import annealing, outputs
from rackwright.core.audit import Change
from rackwright.core.catalog import Task
from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, Fact, FactWrite, check_writer
from rackwright.core.messages import Result, Results, Verdict, Verdicts
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.core.parking import LONGEST, Parked
from rackwright.core.ports import Deployment, Event, Membership, Scope, Store, Transaction
from rackwright.engine import steering
from rackwright.engine.happenings import of_facts
from rackwright.engine.library import CatalogLibrary, Shelf
from rackwright.engine.lifecycle import follow
from rackwright.engine.outcomes import outcomes
from rackwright.engine.ripple import ripple
from rackwright.engine.spreading import join_for_failures, lock_for_ends
from rackwright.engine.transact import transact

GOOD = ("ok", "skipped")
"""Outcomes after which a node task is active."""


async def put_facts(store: Store, library: CatalogLibrary, writes: Sequence[FactWrite]) -> list[Fact]:
    """Store facts of people or of the world; gives those that really changed.

    Raises InvalidInput when a path is not the writer's, Conflict when another one wrote it.
    """
    for write in writes:
        check_writer(write.path, write.writer)

    async def work(tx: Transaction) -> list[Fact]:
        near = Neighbourhood()
        before = await _before(tx, writes)
        changed = await tx.put_facts(writes)
        await tx.announce(of_facts(changed))
        events = await ripple(tx, library, near, changed)
        await tx.save(near)
        await tx.record(events)
        await tx.note(await _wished(tx, before, changed))
        return changed

    return await transact(store, work)


async def _before(tx: Transaction, writes: Sequence[FactWrite]) -> dict[tuple[int, str], Any]:
    """What people had set before, where they set something now."""
    theirs = [write for write in writes if write.writer == PEOPLE]
    if not theirs:
        return {}
    facts = await tx.facts({write.scope for write in theirs}, {write.path for write in theirs})
    return {(fact.scope, fact.path): fact.value for fact in facts}


async def _wished(tx: Transaction, before: dict[tuple[int, str], Any], changed: Sequence[Fact]) -> list[Change]:
    """What people changed by setting facts, scope by scope."""
    by_scope: dict[int, list[Fact]] = {}
    for fact in changed:
        if fact.writer == PEOPLE:
            by_scope.setdefault(fact.scope, []).append(fact)
    scopes = await tx.scopes(list(by_scope)) if by_scope else {}
    return [
        Change(
            kind="facts",
            text=f"set: {', '.join(fact.path for fact in facts)}",
            deployment=scopes[id].name if scopes[id].kind == "deployment" else None,
            scope=scopes[id].name if scopes[id].kind != "deployment" else None,
            before={fact.path: before.get((id, fact.path)) for fact in facts},
            after={fact.path: fact.value for fact in facts},
        )
        for id, facts in by_scope.items()
    ]


async def take_results(store: Store, library: CatalogLibrary, rack: int, results: Results, now: float) -> Verdicts:
    """Take a batch of results from a rack: one verdict each. A result of an older attempt, or of a node task that is
    not the rack's, is refused and changes nothing."""
    verdicts = Verdicts(await _taken(store, library, rack, results.items, now))
    await judged(store, verdicts, now)
    return verdicts


def any_failed(verdicts: Verdicts) -> bool:
    """Whether any of the results has put its node task in error."""
    return any(verdict.taken and verdict.reason == "failed" for verdict in verdicts.items)


async def judged(store: Store, verdicts: Verdicts, now: float) -> None:
    """After a batch was taken: let waves and tolerances be judged anew where an attempt has failed."""
    if any_failed(verdicts):
        await steering.keep(store, now)


async def _taken(
    store: Store, library: CatalogLibrary, rack: int, items: Sequence[Result], now: float
) -> list[Verdict]:
    """What cannot be stored takes nothing else of its batch with it: it is the failure of its own node task."""
    try:
        return await transact(store, lambda tx: _take_one(tx, library, rack, items, now))
    except (InvalidInput, Conflict, NotFound) as error:
        if len(items) > 1:
            half = len(items) // 2
            first = await _taken(store, library, rack, items[:half], now)
            return first + await _taken(store, library, rack, items[half:], now)
        failure = _failure(items[0], str(error))
        return await transact(store, lambda tx: _take_one(tx, library, rack, [failure], now))


async def _take_one(
    tx: Transaction, library: CatalogLibrary, rack: int, items: Sequence[Result], now: float
) -> list[Verdict]:
    (verdicts,) = await take(tx, library, [(rack, items)], now)
    return verdicts.items


async def take(
    tx: Transaction,
    library: CatalogLibrary,
    batches: Sequence[tuple[int | None, Sequence[Result]]],
    now: float,
    handing: Collection[int] = (),
) -> list[Verdicts]:
    """Take batches of results, each with its rack, within a transaction that is open already: what they move, put and
    bring about is one set. Gives the verdicts of each batch. ``handing`` are the racks whose work it hands out next."""
    items = [item for _, batch in batches for item in batch]
    bad = {item.id for item in items if item.outcome in ("failed", "retryable")}
    near = await lock_for_ends(tx, {item.id for item in items} - bad, bad)
    rows = [near.rows[item.id] for item in items if item.id in near.rows]
    deployments = await tx.deployments({row.deployment for row in rows})
    desk = _Desk(
        now=now,
        near=near,
        deployments=deployments,
        shelves={id: await library.shelf(tx, found.catalog) for id, found in deployments.items()},
        scopes=await tx.scopes({row.scope for row in rows}),
        members=await _members(tx, near, items),
    )
    judged = [[desk.judge(rack, item) for item in batch] for rack, batch in batches]
    turned = {item.id for batch in judged for item, _ in batch if item.outcome == "failed"} - bad
    if turned:
        await join_for_failures(tx, near, turned)
    verdicts = [
        Verdicts([desk.take(rack, item, writes) for item, writes in batch])
        for (rack, _), batch in zip(batches, judged, strict=True)
    ]
    changed = await tx.put_facts(desk.writes)
    desk.events += await ripple(tx, library, near, changed)
    await tx.save(near, handing)
    await tx.park(desk.parked)
    await tx.keep_reads(desk.ended_well)
    desk.events += await outcomes(tx, library, desk.shelves, near, rows)
    desk.events += await follow(tx, library, deployments, near, rows, now)
    await tx.record(desk.events)
    return verdicts


class _Desk(msgspec.Struct):
    """Where batches of results are judged: what is known of them, and what comes of them."""

    now: float
    near: Neighbourhood
    deployments: dict[int, Deployment]
    shelves: dict[int, Shelf]
    scopes: dict[int, Scope]
    members: dict[int, list[Membership]]
    ended_well: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """Node task and attempt of results after which the world is as the attempt's reads wanted it."""
    parked: list[Parked] = msgspec.field(default_factory=list)
    writes: list[FactWrite] = msgspec.field(default_factory=list)
    events: list[Event] = msgspec.field(default_factory=list)

    def judge(self, rack: int | None, item: Result) -> tuple[Result, list[FactWrite]]:
        """What one result of a rack puts, and what it is after all: see ``_judge``."""
        row = self.near.rows.get(item.id)
        if row is None or row.rack != rack:
            return item, []
        task, _ = self.shelves[row.deployment].seen(row.graph, row.task)
        return _judge(row, task, item, self.members.get(row.deployment, []))

    def take(self, rack: int | None, item: Result, writes: list[FactWrite]) -> Verdict:
        """Move the node task of one result of a rack that was judged; note the facts that it puts and what is to be
        told."""
        row = self.near.rows.get(item.id)
        if row is None or row.rack != rack:
            return Verdict(item.id, item.attempt, False, "there is no such node task of this rack")
        if item.outcome == "parked":
            return self._park(row, item)
        (task, sight), scope = self.shelves[row.deployment].seen(row.graph, row.task), self.scopes[row.scope]
        ended = annealing.Ended(
            attempt=item.attempt, revision=item.revision, outcome=item.outcome, reason=item.reason, alive=scope.alive
        )
        try:
            outcome = annealing.finish(self.near, row, task, ended, self.now)
        except Conflict as late:
            return Verdict(item.id, item.attempt, False, late.what)
        if outcome == "rehearsed":
            return Verdict(item.id, item.attempt, True, outcome)
        if item.outcome in GOOD and outcome != "lost" and (task.reads or sight.expressive):
            self.ended_well.append((row.id, item.attempt))
        self.writes += writes
        if writes:
            self.near.runs[-1] = msgspec.structs.replace(self.near.runs[-1], outputs=outputs.kept(writes, row.scope))
        self.events += _told(row, outcome, item.reason, self.deployments[row.deployment].name, scope)
        return Verdict(item.id, item.attempt, True, outcome)

    def _park(self, row: NodeTask, item: Result) -> Verdict:
        """Let the attempt of one result go on by itself."""
        deadline = self.now + min(max(item.until, 0.0), LONGEST)
        reason = f"parked: {item.reason or 'waits for an event'}"
        try:
            annealing.park(self.near, row, attempt=item.attempt, until=deadline, reason=reason)
        except Conflict as late:
            return Verdict(item.id, item.attempt, False, late.what)
        waiting = Parked(
            node_task=row.id,
            attempt=row.attempt,
            scope=row.scope,
            deadline=deadline,
            awaits=item.until_fact,
            result=item,
        )
        self.parked.append(waiting)
        return Verdict(item.id, item.attempt, True, "parked")


async def _members(tx: Transaction, near: Neighbourhood, items: Sequence[Result]) -> dict[int, list[Membership]]:
    """The members of those deployments whose results put facts per node."""
    deployments = {near.rows[item.id].deployment for item in items if item.node_facts and item.id in near.rows}
    return {id: await tx.memberships(id) for id in deployments}


def _judge(row: NodeTask, task: Task, item: Result, members: Sequence[Membership]) -> tuple[Result, list[FactWrite]]:
    """What the result puts, and the result itself; it is a failure when it writes what the task does not declare, or on
    a node that is no member, or that stands in another rack than the one the task works on."""
    if not item.facts and not item.node_facts:
        return item, []
    nodes = {member.name: member.scope for member in members if task.scope != "rack" or member.rack == row.scope}
    own = {write.path for write in task.writes if write.scope != "nodes"}
    others = {write.path for write in task.writes if write.scope == "nodes"}
    strange = [path for path in item.facts if not _declared(path, own)]
    strange += [path for facts in item.node_facts.values() for path in facts if not _declared(path, others)]
    strange += [f"node {name}" for name in item.node_facts if name not in nodes]
    if strange and item.outcome == "ok":
        reason = f"{task.id} wrote {', '.join(sorted(set(strange)))}, which it does not declare; add it to its writes"
        return _failure(item, reason), []
    if item.outcome != "ok":
        return item, []
    writer = f"task {task.id}"
    put = [FactWrite(row.scope, path, value, writer) for path, value in item.facts.items()]
    for name, facts in item.node_facts.items():
        put += [FactWrite(nodes[name], path, value, writer) for path, value in facts.items()]
    return item, put


def _failure(item: Result, reason: str) -> Result:
    return Result(id=item.id, attempt=item.attempt, revision=item.revision, outcome="failed", reason=reason)


def _declared(path: str, writes: set[str]) -> bool:
    return any(path == write or path.startswith(f"{write}.") for write in writes)


def _told(row: NodeTask, outcome: str, reason: str, deployment: str, scope: Scope) -> list[Event]:
    if outcome not in ("failed", "retried", "tolerated") and row.state is not State.PROPOSED:
        return []
    kind = {"failed": "error", "retried": "retried", "tolerated": "tolerated"}.get(outcome, "proposed")
    return [Event(kind=kind, text=reason or row.reason, deployment=deployment, scope=scope.name, task=row.task)]
