"""Handing work to racks: claims in batches, for one rack or for many in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from msgspec import structs

from rackwright.core import annealing
from rackwright.core.errors import Conflict, InvalidInput, NotFound, RackwrightError
from rackwright.core.files import named_files
from rackwright.core.limits import Allowance
from rackwright.core.messages import Claim, ClaimRequest, Claims, Result, Results, Verdicts
from rackwright.core.node_task import Neighbourhood, NodeTask
from rackwright.core.ports import NotedReads, Store, Transaction
from rackwright.engine import evaluation, shares
from rackwright.engine.evaluation import NOTHING, Past, pasts
from rackwright.engine.group_commit import Apart, PutOff
from rackwright.engine.intake import any_failed, judged, take, take_results
from rackwright.engine.library import GONE, CatalogLibrary
from rackwright.engine.seating import take_seats
from rackwright.engine.situations import Situation, situations
from rackwright.engine.transact import transact

HANDED = 2000
"""Node tasks that several racks together are handed out in one transaction: whoever comes behind it waits for it."""
UNWANTED = "its condition is false"
"""Why a node task that need not run is skipped."""


async def claim(
    store: Store, library: CatalogLibrary, rack: int, request: ClaimRequest, now: float, lease: float
) -> list[Claim]:
    """Give a rack's process at most ``request.capacity`` node tasks that may run now; they are its own for ``lease``
    seconds. What an earlier process of the rack held goes back to the queue first. Does not wait. Raises Conflict while
    another process works for the rack."""
    asked = [(rack, Results(request.incarnation, [], request))]
    (found,) = await transact(store, lambda tx: exchange_all(tx, library, asked, now, lease))
    return handed(_answered(found))


def handed(found: Verdicts) -> list[Claim]:
    """The node tasks in the answer to a batch without results."""
    return found.next.items if found.next is not None else []


async def exchange(
    store: Store, library: CatalogLibrary, rack: int, results: Results, now: float, lease: float
) -> Verdicts:
    """Take a batch of results and hand out the node tasks that it asks for in the same transaction: one commit instead
    of two. Where attempts failed, or limits are set, nothing is handed out: waves and limits are judged first."""
    asked = [(rack, results)]

    async def alone() -> Verdicts:
        (found,) = await transact(store, lambda tx: exchange_all(tx, library, asked, now, lease))
        return _answered(found)

    return await settled(store, library, rack, results, now, alone())


def _answered(found: Verdicts | Conflict | PutOff) -> Verdicts:
    if isinstance(found, Conflict):
        raise found
    assert isinstance(found, Verdicts), "who asks alone is not put off"
    return found


async def settled(
    store: Store, library: CatalogLibrary, rack: int, results: Results, now: float, exchanged: Awaitable[Verdicts]
) -> Verdicts:
    """What becomes of a batch that is exchanged. One that cannot be stored is taken result by result: what is wrong
    with one is the failure of its own node task."""
    try:
        verdicts = await exchanged
    except (InvalidInput, Conflict, NotFound):
        return await take_results(store, library, rack, results, now)
    await judged(store, verdicts, now)
    return verdicts


async def exchange_all(
    tx: Transaction, library: CatalogLibrary, asked: Sequence[tuple[int, Results]], now: float, lease: float
) -> list[Verdicts | Conflict | PutOff]:
    """Exchange the batches of many racks in one transaction. A process that has lost its rack is handed out nothing;
    one that brings no results, and only asks, is told so, or is put off where others have so much to be handed out.

    Raises Apart where limits are set and one of several only asks: each has to see what the one before it was given.
    """
    wanting = [(rack, None if _broken(batch) else batch.next) for rack, batch in asked]
    seats = await take_seats(tx, wanting, now, lease)
    only = {place for place, (_, batch) in enumerate(asked) if not batch.items}
    if seats.limited and only and len(asked) > 1:
        raise Apart
    brought = [(rack, batch.items) for rack, batch in asked]
    handing = () if seats.limited else seats.asking.keys()
    verdicts = await take(tx, library, brought, now, handing) if len(only) < len(asked) else [Verdicts() for _ in asked]
    fine = {
        rack: request
        for rack, request in seats.asking.items()
        if not any_failed(verdicts[seats.places[rack]]) and (not seats.limited or seats.places[rack] in only)
    }
    answers: list[Verdicts | Conflict | PutOff] = list(verdicts)
    for place in only & seats.refused.keys():
        answers[place] = seats.refused[place]
    turn, later = await _in_turn(tx, fine, {rack: len(batch.items) for rack, batch in asked if batch.items}, now)
    for place in only & seats.busy.union(seats.places[rack] for rack in later):
        answers[place] = PutOff.LATER
    for rack, claims in (await _hand_out(tx, library, turn, now, lease, seats.limited)).items():
        place = seats.places[rack]
        answers[place] = structs.replace(verdicts[place], next=Claims(claims, lease))
    return answers


def _broken(batch: Results) -> bool:
    return any(item.outcome in ("failed", "retryable") for item in batch.items)


async def _in_turn(
    tx: Transaction, asking: Mapping[int, ClaimRequest], brought: Mapping[int, int], now: float
) -> tuple[dict[int, ClaimRequest], list[int]]:
    """The racks that are handed out node tasks now, and those that there are too many for. Where many ask, most have
    nothing to do: these are in neither. As many results as racks have ``brought`` may have released about as much."""
    wanted = {rack: request.capacity for rack, request in asking.items()}
    if sum(wanted.values()) <= HANDED:
        return dict(asking), []
    ready = await tx.ready(wanted, now)
    left, turn, later = HANDED, dict[int, ClaimRequest](), list[int]()
    for rack, request in asking.items():
        much = min(request.capacity, ready.get(rack, 0) + brought.get(rack, 0))
        if much > left and turn:
            later.append(rack)
        elif much:
            turn[rack] = request
            left -= much
    return turn, later


async def _hand_out(
    tx: Transaction,
    library: CatalogLibrary,
    asking: Mapping[int, ClaimRequest],
    now: float,
    lease: float,
    limited: bool,
) -> dict[int, list[Claim]]:
    """Claims for these racks. What needs nobody to carry it out is settled on the way, and what that lets run is handed
    out too."""
    given: dict[int, list[Claim]] = {rack: [] for rack in asking}
    left = {rack: request.capacity for rack, request in asking.items()}
    while left:
        near = await _ready(tx, left, now, limited)
        claims, inline = await _begun(tx, library, near, asking, now, lease)
        for rack, found in claims.items():
            given[rack] += found
        if inline:
            await take(tx, library, list(inline.items()), now, () if limited else inline.keys())
        left = {rack: room for rack in inline if (room := asking[rack].capacity - len(given[rack])) > 0}
    return given


async def _begun(
    tx: Transaction,
    library: CatalogLibrary,
    near: Neighbourhood,
    asking: Mapping[int, ClaimRequest],
    now: float,
    lease: float,
) -> tuple[dict[int, list[Claim]], dict[int, list[Result]]]:
    """Begin an attempt of each of these node tasks. Gives the claims, and the results of those of which nothing is to
    be carried out, by rack."""
    seen = await situations(tx, library, list(near.rows.values()))
    past = await pasts(tx, seen)
    claims: dict[int, list[Claim]] = {}
    inline: dict[int, list[Result]] = {}
    noted: list[NotedReads] = []
    for row in near.rows.values():
        at, rack = seen[row.id], row.rack or 0
        annealing.claim(
            near, row, fingerprint=at.fingerprint, incarnation=asking[rack].incarnation, now=now, until=now + lease,
            noop=at.deployment.noop,
        )  # fmt: skip
        made, held = prepare(library, row, at, past.get(row.id, NOTHING))
        if isinstance(made, Claim):
            claims.setdefault(rack, []).append(made)
        else:
            inline.setdefault(rack, []).append(made)
        if held and at.reads and not at.deployment.noop:
            noted.append(evaluation.noted(row, at))
    await tx.save(near)
    await tx.note_reads(noted)
    return claims, inline


async def _admitted(tx: Transaction, room: Mapping[int, int], now: float, limited: bool) -> list[NodeTask]:
    """The rows that may run and that budgets and limits let through; they are asked only where there are some, and then
    for one rack."""
    if not limited:
        return await tx.claimable(room, now)
    admitted: list[NodeTask] = []
    for rack, capacity in room.items():
        left = await shares.lock_for(tx, rack)
        limits, running = await tx.limits(rack)
        allowance = Allowance(limits, running, rack)
        crowded = left.full() if left is not None else ()
        rows = await tx.claimable({rack: allowance.capacity(capacity)}, now, allowance.full(), crowded)
        admitted += allowance.admit(rows if left is None else await shares.admitted(tx, rows, left))
    return admitted


async def _ready(tx: Transaction, room: Mapping[int, int], now: float, limited: bool) -> Neighbourhood:
    """The rows that may run, and blocked again those whose gate has closed since they became todo."""
    rows = await _admitted(tx, room, now, limited)
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
        place = evaluation.wanted(library, row, at, past)
        if place is None:
            return _ended(row, "skipped", UNWANTED), False
        if not at.task.jig:
            return _ended(row, "skipped", "nothing to carry out"), True
        return _claimed(row, at, evaluation.parameters(library, at, place)), True
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
