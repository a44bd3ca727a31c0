"""Handing work to racks: claims in batches, heartbeats, and the return of what a dead process held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from rackwright.core import annealing
from rackwright.core.errors import Conflict, InvalidInput, NotFound, RackwrightError
from rackwright.core.files import named_files
from rackwright.core.limits import Allowance
from rackwright.core.messages import Claim, ClaimRequest, Claims, Heartbeat, HeartbeatAnswer, Result, Results, Verdicts
from rackwright.core.node_task import Neighbourhood, NodeTask
from rackwright.core.ports import NotedReads, Store, Transaction
from rackwright.core.seats import sit
from rackwright.engine import evaluation, shares
from rackwright.engine.evaluation import NOTHING, Past, pasts
from rackwright.engine.intake import any_failed, judged, take, take_results
from rackwright.engine.library import GONE, CatalogLibrary
from rackwright.engine.neighbours import lock_below
from rackwright.engine.situations import Situation, situations
from rackwright.engine.transact import transact

UNWANTED = "its condition is false"
"""Why a node task that need not run is skipped."""


async def claim(
    store: Store, library: CatalogLibrary, rack: int, request: ClaimRequest, now: float, lease: float
) -> list[Claim]:
    """Give a rack's process at most ``request.capacity`` node tasks that may run now; they are its own for ``lease``
    seconds. What an earlier process of the rack held goes back to the queue first. Does not wait."""
    while True:
        claims, settled = await transact(store, lambda tx: _asked(tx, library, rack, request, now, lease))
        if claims or not settled:
            return claims


async def exchange(
    store: Store, library: CatalogLibrary, rack: int, results: Results, now: float, lease: float
) -> Verdicts:
    """Take a batch of results and hand out the node tasks that it asks for in the same transaction: one commit instead
    of two. Where attempts failed, or limits are set, nothing is handed out: waves and limits are judged first."""
    request = results.next
    if request is None or any(item.outcome in ("failed", "retryable") for item in results.items):
        return await take_results(store, library, rack, results, now)
    wanted = request

    async def work(tx: Transaction) -> Verdicts:
        limited = await _seated(tx, rack, wanted, now, lease)
        verdicts = await take(tx, library, rack, results.items, now)
        if limited or any_failed(verdicts):
            return verdicts
        claims, _ = await _claim(tx, library, rack, wanted, now, lease, limited)
        return structs.replace(verdicts, next=Claims(claims, lease))

    try:
        verdicts = await transact(store, work)
    except (InvalidInput, Conflict, NotFound):
        return await take_results(store, library, rack, results, now)
    await judged(store, verdicts, now)
    return verdicts


async def heartbeat(store: Store, rack: int, beat: Heartbeat, now: float, lease: float) -> HeartbeatAnswer:
    """Prolong the leases of what the process works on. Gives what is no longer its own, and those node tasks that it
    keeps something running for and that are no more."""

    async def work(tx: Transaction) -> HeartbeatAnswer:
        _, holder = await tx.seen(rack, now)
        own = holder is not None and holder.incarnation == beat.incarnation
        if holder is not None and own:
            gone = beat.process is not None and beat.process.state == "ended"
            await tx.seat(rack, None if gone else structs.replace(holder, until=now + lease))
        lost = await tx.extend(rack, beat.incarnation, beat.working, now + lease)
        known = await tx.existing(beat.keeping) if beat.keeping else set()
        drop = [id for id in beat.keeping if id not in known]
        return HeartbeatAnswer(lost, drop, lost=holder is not None and not own)

    return await transact(store, work)


async def give_back(tx: Transaction, ids: list[int], reason: str, now: float, still: Callable[[NodeTask], bool]) -> int:
    """End the attempts of these node tasks without a result, and put them back in the queue. They were found without a
    lock: only those are given back for which what was found is ``still`` true."""
    near = await lock_below(tx, ids)
    lost = 0
    for id in ids:
        row = near.rows.get(id)
        if row is not None and row.state in annealing.LEGAL["lose"] and not row.parked and still(row):
            annealing.lose(near, row, reason, now)
            lost += 1
    await tx.save(near)
    return lost


async def _asked(
    tx: Transaction, library: CatalogLibrary, rack: int, request: ClaimRequest, now: float, lease: float
) -> tuple[list[Claim], int]:
    return await _claim(tx, library, rack, request, now, lease, await _seated(tx, rack, request, now, lease))


async def _seated(tx: Transaction, rack: int, request: ClaimRequest, now: float, lease: float) -> bool:
    """Let this process work for the rack; what an earlier one held goes back to the queue. True where any limit is
    set. Raises Conflict while another process works for the rack."""
    limited, before = await tx.seen(rack, now)
    holder = sit(before, request.incarnation, request.seat, now, lease)
    if holder is before:
        return limited
    await tx.seat(rack, holder)
    if before is None or before.incarnation != holder.incarnation:
        reason = "the rack's process was started anew"
        orphans = await tx.held(rack, request.incarnation)
        await give_back(tx, orphans, reason, now, lambda row: row.incarnation != request.incarnation)
    return limited


async def _claim(
    tx: Transaction, library: CatalogLibrary, rack: int, request: ClaimRequest, now: float, lease: float, limited: bool
) -> tuple[list[Claim], int]:
    """The claims, and how many node tasks were settled on the way because nothing was to be carried out."""
    near = await _ready(tx, rack, request.capacity, now, limited)
    seen = await situations(tx, library, list(near.rows.values()))
    past = await pasts(tx, seen)
    claims: list[Claim] = []
    inline: list[Result] = []
    noted: list[NotedReads] = []
    for row in near.rows.values():
        at = seen[row.id]
        annealing.claim(
            near, row, fingerprint=at.fingerprint, incarnation=request.incarnation, now=now, until=now + lease,
            noop=at.deployment.noop,
        )  # fmt: skip
        made, held = prepare(library, row, at, past.get(row.id, NOTHING))
        if isinstance(made, Claim):
            claims.append(made)
        else:
            inline.append(made)
        if held and at.reads and not at.deployment.noop:
            noted.append(evaluation.noted(row, at))
    await tx.save(near)
    await tx.note_reads(noted)
    if inline:
        await take(tx, library, rack, inline, now)
    return claims, len(inline)


async def _admitted(tx: Transaction, rack: int, capacity: int, now: float, limited: bool) -> list[NodeTask]:
    """The rows that may run and that budgets and limits let through; they are asked only where there are some."""
    if not limited:
        return await tx.claimable(rack, capacity, now)
    left = await shares.lock_for(tx, rack)
    limits, running = await tx.limits(rack)
    allowance = Allowance(limits, running, rack)
    crowded = left.full() if left is not None else ()
    rows = await tx.claimable(rack, allowance.capacity(capacity), now, allowance.full(), crowded)
    return allowance.admit(rows if left is None else await shares.admitted(tx, rows, left))


async def _ready(tx: Transaction, rack: int, capacity: int, now: float, limited: bool) -> Neighbourhood:
    """The rows that may run, and blocked again those whose gate has closed since they became todo."""
    rows = await _admitted(tx, rack, capacity, now, limited)
    near = Neighbourhood(rows={row.id: row for row in rows})
    gates = {gate for row in rows for gate in row.gates}
    if gates:
        near.barriers = await tx.barriers(gates)
        for row in rows:
            annealing.settle(near, row)
        shut = Neighbourhood(rows={id: near.rows.pop(id) for id in list(near.touched)}, touched=set(near.touched))
        near.touched.clear()
        await tx.save(shut)
    return near


def prepare(library: CatalogLibrary, row: NodeTask, at: Situation, past: Past) -> tuple[Claim | Result, bool]:
    """The claim to be carried out, or, where there is nothing to carry out, its result; and whether this attempt acts
    on what it read: then this is what the next one is compared with."""
    refused = _refused(row, at)
    if refused is not None:
        return refused, False
    try:
        place = evaluation.wanted(library.compiler, row, at, past)
        if place is None:
            return _ended(row, "skipped", UNWANTED), False
        if not at.task.jig:
            return _ended(row, "skipped", "nothing to carry out"), True
        return _claimed(row, at, evaluation.parameters(library.compiler, at, place)), True
    except RackwrightError as error:
        return _ended(row, "failed", str(error)), False


def _refused(row: NodeTask, at: Situation) -> Result | None:
    """The result of a node task that cannot, or need not, be evaluated."""
    if at.task.type == GONE:
        reason = f"the catalog {at.shelf.catalog.name} no longer has {row.task} in its graph {row.graph}: plan it again"
        return _ended(row, "failed", reason)
    if at.inputs.missing:
        return _ended(row, "failed", _missing(at))
    if annealing.skips(row, at.task, at.fingerprint):
        return _ended(row, "skipped", "destructive, and it has run on these inputs before: its jig is skipped")
    return None


def _claimed(row: NodeTask, at: Situation, parameters: Any) -> Claim:
    return Claim(
        id=row.id,
        attempt=row.attempt,
        revision=row.revision,
        deployment=at.deployment.name,
        task=row.task,
        scope=at.scope.name,
        address=at.address,
        jig=at.task.jig,
        parameters=parameters,
        inputs=at.inputs.values,
        writes=tuple(write.path for write in at.task.writes),
        files=_files(at, parameters),
        timeout=at.task.timeout,
        noop=at.deployment.noop,
    )


def _files(at: Situation, parameters: Any) -> dict[str, str]:
    """The catalog's texts that the parameters name."""
    files = at.shelf.catalog.files
    return {path: files[path] for path in named_files(parameters) if path in files} if files else {}


def _missing(at: Situation) -> str:
    names = ", ".join(at.inputs.missing)
    return f"{at.scope.name} lacks what {at.task.id} reads: {names} (set it, or let a task write it)"


def _ended(row: NodeTask, outcome: Any, reason: str) -> Result:
    return Result(id=row.id, attempt=row.attempt, revision=row.revision, outcome=outcome, reason=reason)
