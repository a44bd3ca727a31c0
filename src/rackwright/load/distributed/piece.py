"""A piece of a load on an agent: load processes of its host, whose merged seconds go to the controller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rackwright.core.errors import RackwrightError
from rackwright.core.load.result import Second
from rackwright.core.load.schedule import Closed, Share
from rackwright.load.distributed.messages import Began, Delta, Finished, FromAgent, Prepared, Proven
from rackwright.load.generators import Ears
from rackwright.load.local import LocalLoad
from rackwright.load.words import Begin, Report, Work


class Piece:
    """Carries ``work`` out on at most ``processes`` load processes.

    ``tell`` says a word on the channel of control, ``send`` on that of seconds.
    """

    def __init__(
        self,
        load: int,
        number: int,
        work: Work,
        processes: int,
        session: str,
        tell: Callable[[FromAgent], None],
        send: Callable[[Delta], None],
    ) -> None:
        self._load = load
        self._number = number
        self._session = session
        self._tell = tell
        self._send = send
        self._deltas = 0
        self._begin: asyncio.Future[Begin] = asyncio.get_running_loop().create_future()
        self._local = LocalLoad(work, _processes(work, processes), Ears(self._take, self._hear, self._prove))

    async def run(self) -> None:
        """From the first process to the last word."""
        fault = ""
        try:
            await self._local.run(self._ready)
        except RackwrightError as error:
            fault = str(error)
        local = self._local
        self._tell(
            Finished(
                load=self._load,
                piece=self._number,
                deltas=self._deltas,
                length=local.length,
                notes=local.notes,
                faults=local.faults,
                fault=fault,
                health=local.health,
            )
        )

    def begin(self, begin: Begin) -> None:
        """Begin as soon as the processes are ready."""
        if not self._begin.done():
            self._begin.set_result(begin)

    def turn(self, after: float, share: Share) -> None:
        """From a second on, carry out another share."""
        self._local.turn(after, share)

    def stop(self, reason: str, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        self._local.stop(reason, cancel=cancel)
        self.begin(Begin(time.monotonic()))

    async def _ready(self) -> Begin:
        self._tell(Prepared(self._load, self._number))
        return await self._begin

    def _take(self, second: Second) -> None:
        local = self._local
        self._deltas += 1
        self._send(
            Delta(
                session=self._session,
                load=self._load,
                piece=self._number,
                number=self._deltas,
                at=time.monotonic() - local.zero,
                report=Report(
                    upto=second.at + 1.0,
                    seconds=[second],
                    samples=local.take_samples(),
                    iterations=sum(each.iterations for each in local.health),
                    peak_rss=sum(each.peak_rss for each in local.health),
                ),
            )
        )

    def _hear(self, number: int, at: float) -> None:
        self._tell(Began(self._load, number, at))

    def _prove(self, reason: str) -> None:
        self._local.stop(reason)
        self._tell(Proven(self._load, reason))


def _processes(work: Work, available: int) -> int:
    """How many processes are worth it for a share."""
    most = work.schedule.processes(available)
    return max(1, min(most, work.schedule.slots(work.share))) if isinstance(work.schedule, Closed) else most
