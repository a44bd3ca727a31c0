"""Leases of dynamic addresses: what one process of a rack has given must be known to the next one.

Addresses of nodes follow from facts, and every process of the rack knows those. What a stranger was given only the
server knows that gave it. So the process that works for a rack tells of it, and the region keeps it for whoever comes
next. Times go as seconds that are left: the clocks of two hosts may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """A dynamic address that was given."""

    address: str
    client: str
    """To whom: an Ethernet address; over IPv6 the identifier of the client and of its association (``DUID/IAID``).
    Empty: the address is in use by somebody unknown."""
    seconds: float
    """For which it lasts from now on; not above 0: it has ended."""


class LeaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """Leases that were given, prolonged or ended since the last report of the process on this seat (see ``seats``)."""

    seat: str
    items: tuple[Lease, ...] = ()


class Leases(msgspec.Struct, frozen=True):
    """The answer to who asks for leases: those that live and that another seat has told of."""

    items: tuple[Lease, ...] = ()


class LeaseErrands(Protocol):
    """The part of the store's port that is about leases."""

    async def note_leases(self, rack: int, seat: str, leases: Sequence[Lease]) -> None:
        """Keep these, by address, as told by this seat; what has ended, now or since, is dropped."""

    async def leases(self, rack: int, besides: str) -> list[Lease]:
        """Those that live, by address, but for what this seat has told."""
