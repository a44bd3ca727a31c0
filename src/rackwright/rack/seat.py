"""Whether this process works for its rack now, or stands by while another one does.

The region decides, with the answers to claims and heartbeats (see ``core.seats``). What it said last is kept on the
disk: a process that starts with the region away goes on with what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()


class Seat:
    """One process's seat. ``mark``: the file that is there while it is taken; its folder is made when need be."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._held = os.path.exists(mark)
        self._said = False
        self._until, self._word = 0.0, -math.inf
        self._taken, self._lost = asyncio.Event(), asyncio.Event()
        (self._taken if self._held else self._lost).set()

    @property
    def held(self) -> bool:
        """Whether this process works for the rack, as far as it knows."""
        return self._held

    @property
    def is_sure(self) -> bool:
        """Whether the region's word still holds: nobody else was given the rack. Without it the region may be away, or
        only out of reach."""
        return self._held and time.monotonic() < self._until

    @property
    def age(self) -> float:
        """Seconds since the region was asked to whom the rack belongs, and said that it is this one's; infinite: it has
        not, since the start."""
        return time.monotonic() - self._word

    def take(self, seconds: float = 0.0, asked: float | None = None) -> None:
        """The region says that it does, for so many seconds from when it was ``asked`` (by the monotonic clock; None:
        now), unless it says so again. An answer may be long on its way: somebody else may have the rack by then."""
        began = time.monotonic() if asked is None else asked
        if began >= self._word:
            self._word, self._until = began, began + seconds
        if not self._held:
            os.makedirs(os.path.dirname(self._mark), mode=0o700, exist_ok=True)
            with open(self._mark, "w", encoding="ascii"):
                log.info("this process works for the rack from now on")
        self._note(True)

    def lose(self, why: str) -> None:
        """The region says that another one does."""
        if self._held or not self._said:
            log.warning("another process works for the rack; this one stands by", reason=why)
            with contextlib.suppress(FileNotFoundError):
                os.remove(self._mark)
        self._said = True
        self._note(False)

    async def while_held(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do this work whenever the seat is held, for ever; it is cancelled when the seat is lost. What breaks it is
        raised."""
        while True:
            await self._taken.wait()
            working, leaving = asyncio.create_task(work()), asyncio.create_task(self._lost.wait())
            try:
                await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
                broken = working.done()
            finally:
                leaving.cancel()
                working.cancel()
                await asyncio.wait({working, leaving})
            if broken:
                return await working

    def _note(self, held: bool) -> None:
        self._held = held
        now, former = (self._taken, self._lost) if held else (self._lost, self._taken)
        now.set()
        former.clear()
