"""The thread that brings logs and results to the rack, again and again until they are taken."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable

from rackwright.agent.door import Away, Door, Refused
from rackwright.agent.spool import Attempt, Spool

PIECE = 48 << 10
"""Bytes of a log in one message."""
EVERY = 0.5
"""Seconds between looks while something is under way."""
LONGEST = 15.0
"""Seconds between tries while the rack is away."""


class Courier:
    """Brings what the spool holds to the door. ``taken`` is told of every result that the rack has."""

    def __init__(self, door: Door, spool: Spool, taken: Callable[[Attempt], None]) -> None:
        self._door, self._spool, self._taken = door, spool, taken
        self._sent: dict[Attempt, int] = {}
        self._news = threading.Event()
        self._stopping = False

    def wake(self) -> None:
        """There is something new."""
        self._news.set()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopping = True
        self._news.set()

    def run(self) -> None:
        """Bring until it is stopped."""
        wait = EVERY
        while not self._stopping:
            try:
                open_ends = self.bring()
                wait = EVERY
            except Away:
                open_ends, wait = True, min(LONGEST, wait * 2)
            self._news.wait(wait if open_ends else None)
            self._news.clear()

    def bring(self) -> bool:
        """Bring what there is now; whether there may be more to come. Raises Away when the rack is."""
        waiting = [attempt for attempt in self._spool.attempts() if not self._spool.taken(attempt)]
        for attempt in waiting:
            result = self._spool.result(attempt)
            self._say(attempt)
            if result is not None:
                self._end(attempt, result)
        return bool(waiting)

    def _say(self, attempt: Attempt) -> None:
        while piece := self._spool.said(attempt, self._sent.get(attempt, 0), PIECE):
            offset = self._sent.get(attempt, 0)
            said = {"id": attempt[0], "attempt": attempt[1], "offset": offset, "data": base64.b64encode(piece).decode()}
            try:
                self._door.post("/agent/log", said)
            except Refused as refused:
                if refused.status in (401, 403):
                    raise Away(str(refused)) from None
            self._sent[attempt] = offset + len(piece)

    def _end(self, attempt: Attempt, result: dict[str, object]) -> None:
        try:
            self._door.post("/agent/result", {"id": attempt[0], "attempt": attempt[1], **result})
        except Refused as refused:
            # A void token is mended by registering again; any other refusal will not change.
            if refused.status in (401, 403):
                raise Away(str(refused)) from None
        self._spool.take(attempt)
        self._sent.pop(attempt, None)
        self._taken(attempt)
