"""A piece of a load on an agent: load processes of its host, whose merged seconds go to the controller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rackwright.core.load.result import Second
from rackwright.load import words
from rackwright.load.distributed.messages import (
    Began,
    Delta,
    Finished,
    FromAgent,
    Held,
    Offer,
    Prepared,
    Proven,
    Settle,
    Start,
)
from rackwright.load.distributed.trouble import trouble_of
from rackwright.load.generators import Ears
from rackwright.load.local import LocalLoad
from rackwright.load.words import Begin, Report, Turn, Work


class Piece:
    """Carries ``work`` out on so many load processes.

    ``tell`` says a word on the channel of control, ``send`` on that of seconds; ``heard`` gives the moment at which the
    controller last said something.
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
        heard: Callable[[], float],
    ) -> None:
        self._load = load
        self._number = number
        self._session = session
        self._tell = tell
        self._send = send
        self._heard = heard
        self._leash = work.leash
        self._deltas = 0
        self._begin: asyncio.Future[Begin] = asyncio.get_running_loop().create_future()
        ears = Ears(self._take, self._hear, self._prove)
        self._local = LocalLoad(work, processes, ears, self)

    async def run(self) -> None:
        """From the first process to the last word."""
        trouble = None
        try:
            await self._local.run(self._ready)
        except Exception as error:
            trouble = trouble_of(error)
        local = self._local
        self._tell(
            Finished(
                load=self._load,
                piece=self._number,
                deltas=self._deltas,
                length=local.length,
                notes=local.notes,
                faults=local.faults,
                trouble=trouble,
                health=local.health,
            )
        )

    def obey(self, word: Start | Offer | Settle) -> None:
        """Begin as soon as the processes are ready, or take another share."""
        if isinstance(word, Start):
            self._start(Begin(word.zero, word.deals))
        elif isinstance(word, Offer):
            self._local.turn(Turn(word.turn, word.share, word.ahead))
        else:
            self._local.settle(words.Settle(word.turn, word.place))

    def _start(self, begin: Begin) -> None:
        if not self._begin.done():
            self._begin.set_result(begin)

    def hold(self, turn: int, limit: float) -> None:
        """No start from the place ``limit`` on is made before the turn is settled."""
        self._tell(Held(load=self._load, piece=self._number, turn=turn, limit=limit))

    @property
    def lease(self) -> float:
        """The moment until which the controller gives the share to nobody else."""
        return self._heard() + self._leash

    def stop(self, reason: str, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        self._local.stop(reason, cancel=cancel)
        self._start(Begin(time.monotonic()))

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
