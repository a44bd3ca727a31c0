"""Who may work for a rack: one process at a time, as long as its lease lives.

A process works in a data folder of its own, which gives it its seat: a name that stays the same from start to start.
Two processes cannot share a folder. So a new start on the same seat takes over at once, for the one before it is gone;
one on another seat waits until the lease of the one that sits there has ended.
"""

from __future__ import annotations

import msgspec

from rackwright.core.errors import Conflict

RENEW_BELOW = 2 / 3
"""The lease is written anew when less than this share of it is left: not with every request."""

MARGIN = 1 / 6
"""This share of it is to be left when a process that has said for how long it says nothing speaks again."""


class Holder(msgspec.Struct, frozen=True):
    """The process that works for a rack: its start, its seat, and until when it is believed to live (seconds since the
    epoch)."""

    incarnation: str
    seat: str
    until: float


def sit(
    holder: Holder | None,
    incarnation: str,
    seat: str,
    now: float,
    lease: float,
    *,
    silent: float = 0.0,
    waited: float = 0.0,
) -> Holder:
    """Let a process work for the rack that ``holder`` works for now; gives the holder from now on. ``silent``: for so
    many seconds it may say nothing more. ``waited``: so long ago it said this. It may be out of reach since, so the
    lease counts from then.

    Raises Conflict while a process on another seat holds the rack."""
    said = now - waited
    asking = Holder(incarnation, seat, said + lease)
    if holder is None:
        return asking
    # A lease that ends later than any can was given by a clock that was set back since.
    lives = now < holder.until <= now + 2 * lease
    if holder.incarnation != incarnation and holder.seat != seat and lives:
        raise Conflict(
            f"another process works for this rack (seat {holder.seat or 'unnamed'}); "
            f"its lease lasts for {holder.until - now:.0f} s more",
            mend="stop one of the two, or give this one a rack of its own; once the other is gone, this one goes on",
        )
    enough = min(max(lease * RENEW_BELOW, silent + lease * MARGIN), lease)
    if holder.incarnation == incarnation and lives and holder.until - said > enough:
        return holder
    return asking
