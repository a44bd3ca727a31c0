"""Errors with very much below them: what they block is blocked in slices, not in the transaction of the failure.

The failed row is written down as a source. From that moment on nothing of its deployment is claimed. A conductor finds
what lies below the sources and is to be blocked, and blocks it slice by slice, heaviest first: so what is above is
blocked before what is below it, and each row waits for something when it is blocked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol


class SpreadingErrands(Protocol):
    """The part of the store's port that is about errors that spread."""

    async def crowded(self, ids: Collection[int], most: int) -> bool:
        """Whether more than ``most`` node tasks lie below these. Reads without locking, and no further than needed."""

    async def spread_out(self) -> int:
        """Take the sources of one deployment, and write down which node tasks below them are to be blocked: those that
        are active, in todo or in error. Gives how many sources those were; 0 too while another transaction works."""

    async def spreading(self, limit: int) -> list[tuple[int, str]]:
        """The next node tasks that are to be blocked, heaviest first, with the reason; none while another transaction
        works on them."""

    async def spread_done(self, ids: Collection[int]) -> None:
        """These node tasks are blocked."""
