"""Who works for racks: processes take their seats, keep them by heartbeats, and what a dead one held comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from rackwright.core import annealing
from rackwright.core.errors import Conflict
from rackwright.core.messages import ClaimRequest, Heartbeat, HeartbeatAnswer
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import Store, Transaction
from rackwright.core.seats import Holder, sit
from rackwright.engine.neighbours import lock_below
from rackwright.engine.transact import transact

ANEW = "the rack's process was started anew"

NAMED_WITHIN = 0.75
"""Of the lease: an attempt with less left than this is held when it is named. Most have ended before, and a heartbeat
that is lost or that finds a row locked leaves time for two more."""


class Seats(msgspec.Struct):
    """What came of requests for node tasks before any is handed out. ``limited``: any limit is set. ``asking`` has the
    requests that are to be answered, by rack, ``places`` where each stands among all; ``refused`` is by place, and so
    is ``busy``: other transactions are about these racks."""

    limited: bool
    asking: dict[int, ClaimRequest] = {}
    places: dict[int, int] = {}
    refused: dict[int, Conflict] = {}
    busy: set[int] = set()


async def take_seats(
    tx: Transaction, asked: Sequence[tuple[int, ClaimRequest | None]], now: float, lease: float
) -> Seats:
    """Let these processes work for their racks, whose rows are locked from here on; what earlier ones held goes back to
    the queue. A process is refused while another one works for its rack. Of several of one rack the last that was not
    is to be answered."""
    limited, before, busy = await tx.seats({rack for rack, request in asked if request is not None})
    seats, holders = Seats(limited), dict(before)
    for place, (rack, request) in enumerate(asked):
        if request is not None and rack in busy:
            seats.busy.add(place)
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
    await tx.seat({rack: (before[rack], holder) for rack, holder in changed.items()}, now)
    await _bring_back(tx, before, changed, now)
    return seats


async def heartbeat(store: Store, rack: int, beat: Heartbeat, now: float, lease: float) -> HeartbeatAnswer:
    """Let the process keep its seat, and what it works on with it. Gives what is no longer its own, and those node
    tasks that it keeps something running for and that are no more."""
    return (await transact(store, lambda tx: heartbeats(tx, [(rack, beat)], now, lease)))[0]


async def heartbeats(
    tx: Transaction, beats: Sequence[tuple[int, Heartbeat]], now: float, lease: float
) -> list[HeartbeatAnswer]:
    """The same for many racks in one transaction.

    It must not wait for requests for work and results, however long these take, or racks would be taken for dead that
    live. So it writes only to their seats, and once to each attempt: when its rack has named it, it is held for as long
    as the seat is.
    """
    sitting = await tx.keep_seats({(rack, beat.incarnation, _until(beat, now, lease)) for rack, beat in beats}, now)
    holders = await tx.holders({rack for rack, beat in beats if (rack, beat.incarnation) not in sitting})
    others = {(rack, beat.incarnation) for rack, beat in beats if _is_another(holders.get(rack), beat)}
    mine = await tx.hold(
        [(rack, beat.incarnation, *pair) for rack, beat in beats for pair in beat.working], now + lease * NAMED_WITHIN
    )
    keeping = {id for _, beat in beats for id in beat.keeping}
    known = await tx.existing(keeping) if keeping else set()
    return [
        HeartbeatAnswer(
            cancel=[pair for pair in beat.working if (rack, beat.incarnation, *pair) not in mine],
            drop=[id for id in beat.keeping if id not in known],
            lost=(rack, beat.incarnation) in others,
        )
        for rack, beat in beats
    ]


def _is_another(holder: Holder | None, beat: Heartbeat) -> bool:
    return holder is not None and holder.incarnation != beat.incarnation


def _until(beat: Heartbeat, now: float, lease: float) -> float:
    ends = beat.process is not None and beat.process.state == "ended"
    return now if ends else now + lease


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
