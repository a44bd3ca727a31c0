"""Who works for racks: processes take their seats, keep them by heartbeats, and what a dead one held comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import structs

from rackwright.core import annealing
from rackwright.core.errors import Conflict
from rackwright.core.messages import ClaimRequest, Heartbeat, HeartbeatAnswer
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import Store, Transaction
from rackwright.core.seats import Holder, sit
from rackwright.engine.neighbours import lock_below
from rackwright.engine.transact import transact

ANEW = "the rack's process was started anew"


class Seats(msgspec.Struct):
    """What came of requests for node tasks before any is handed out. ``limited``: any limit is set. ``asking`` has the
    requests that are to be answered, by rack, ``places`` where each stands among all; ``refused`` is by place."""

    limited: bool
    asking: dict[int, ClaimRequest] = {}
    places: dict[int, int] = {}
    refused: dict[int, Conflict] = {}


async def take_seats(
    tx: Transaction, asked: Sequence[tuple[int, ClaimRequest | None]], now: float, lease: float
) -> Seats:
    """Let these processes work for their racks, whose rows are locked from here on; what earlier ones held goes back to
    the queue. A process is refused while another one works for its rack. Of several of one rack the last that was not
    is to be answered."""
    limited, before = await tx.seen({rack for rack, request in asked if request is not None}, now)
    seats, holders = Seats(limited), dict(before)
    for place, (rack, request) in enumerate(asked):
        if request is None or rack not in before:
            continue
        try:
            holders[rack] = sit(
                holders[rack], request.incarnation, request.seat, now, lease,
                silent=request.wait, waited=request.waited,
            )  # fmt: skip
        except Conflict as other:
            seats.refused[place] = other
            continue
        seats.asking[rack], seats.places[rack] = request, place
    changed = {rack: holder for rack, holder in holders.items() if holder is not None and holder is not before[rack]}
    await tx.seat(changed)
    await _bring_back(tx, before, changed, now)
    return seats


async def heartbeat(store: Store, rack: int, beat: Heartbeat, now: float, lease: float) -> HeartbeatAnswer:
    """Prolong the leases of what the process works on. Gives what is no longer its own, and those node tasks that it
    keeps something running for and that are no more."""
    return (await transact(store, lambda tx: heartbeats(tx, [(rack, beat)], now, lease)))[0]


async def heartbeats(
    tx: Transaction, beats: Sequence[tuple[int, Heartbeat]], now: float, lease: float
) -> list[HeartbeatAnswer]:
    """The same for many racks in one transaction."""
    _, holders = await tx.seen({rack for rack, _ in beats}, now)
    kept: dict[int, Holder | None] = {}
    for rack, beat in beats:
        holder = holders.get(rack)
        if holder is not None and holder.incarnation == beat.incarnation:
            gone = beat.process is not None and beat.process.state == "ended"
            kept[rack] = None if gone else structs.replace(holder, until=now + lease)
    await tx.seat(kept)
    mine = await tx.extend(
        [(rack, beat.incarnation, *pair) for rack, beat in beats for pair in beat.working], now + lease
    )
    keeping = {id for _, beat in beats for id in beat.keeping}
    known = await tx.existing(keeping) if keeping else set()
    return [
        HeartbeatAnswer(
            cancel=[pair for pair in beat.working if (rack, beat.incarnation, *pair) not in mine],
            drop=[id for id in beat.keeping if id not in known],
            lost=holders.get(rack) is not None and rack not in kept,
        )
        for rack, beat in beats
    ]


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


async def _bring_back(
    tx: Transaction, before: Mapping[int, Holder | None], after: Mapping[int, Holder], now: float
) -> None:
    """Put back what earlier processes of these racks held."""
    for rack, holder in after.items():
        was = before[rack]
        if was is not None and was.incarnation == holder.incarnation:
            continue
        orphans = await tx.held(rack, holder.incarnation)
        if orphans:
            await give_back(tx, orphans, ANEW, now, _held_by_another(holder))


def _held_by_another(holder: Holder) -> Callable[[NodeTask], bool]:
    return lambda row: row.incarnation != holder.incarnation
