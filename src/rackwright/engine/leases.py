"""Leases that racks have given, kept for the process that works for a rack next."""

from __future__ import annotations

from rackwright.core.errors import Conflict
from rackwright.core.leases import LeaseReport, Leases
from rackwright.core.ports import Store, Transaction
from rackwright.engine.transact import transact


async def note(store: Store, rack: int, said: LeaseReport, now: float) -> None:
    """Keep what the process on a seat has given. Raises Conflict when another one works for the rack: what this one
    gives does not count any more."""

    async def work(tx: Transaction) -> None:
        _, holders, _ = await tx.seats([rack])
        holder = holders.get(rack)
        if holder is not None and holder.seat != said.seat:
            raise Conflict(
                f"another process works for this rack (seat {holder.seat})", mend="give no more addresses, and stand by"
            )
        await tx.note_leases(rack, said.seat, said.items)

    await transact(store, work)


async def known(store: Store, rack: int, seat: str) -> Leases:
    """The leases that live and that others than this seat have given."""

    async def work(tx: Transaction) -> Leases:
        return Leases(tuple(await tx.leases(rack, seat)))

    return await transact(store, work)
