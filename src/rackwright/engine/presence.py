"""A process tells again and again that it is there, how it is, and what it measured."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import time
import uuid
from collections.abc import AsyncIterator

import structlog

import rackwright
from rackwright.core.errors import RackwrightError
from rackwright.core.services import BEAT, Beat, Process, Roster, ServiceState
from rackwright.engine.telemetry import Telemetry

LAST_WORD = 2.0
"""Seconds that the last beat of a process may take."""

log = structlog.get_logger()


def this_process(kind: str, name: str) -> Process:
    """This process, as it tells of itself."""
    return Process(
        id=uuid.uuid4().hex,
        kind=kind,
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=rackwright.__version__,
        started_at=time.time(),
    )


class Pulse:
    """Makes the beats of one process."""

    def __init__(self, process: Process, telemetry: Telemetry) -> None:
        self.process = process
        self.telemetry = telemetry
        self.state: ServiceState = "running"
        self._number = 0

    def beat(self) -> Beat:
        """The next beat."""
        self._number += 1
        return Beat(
            process=self.process,
            number=self._number,
            state=self.state,
            loop_lag=round(self.telemetry.worst_lag(), 4),
            sample=self.telemetry.sample(),
        )


class Presence:
    """Writes the beats of this process, and with them those of others that only reach the database through it: all in
    one statement, every BEAT seconds. A database that is away is waited for."""

    def __init__(self, roster: Roster, pulse: Pulse) -> None:
        self.roster = roster
        self.pulse = pulse
        self._others: dict[str, Beat] = {}
        self._now = asyncio.Event()

    @property
    def telemetry(self) -> Telemetry:
        """What this process measures."""
        return self.pulse.telemetry

    def tell(self, beat: Beat) -> None:
        """Take a beat of another process; a change of its state is written at once."""
        before = self._others.get(beat.process.id)
        if before is None or before.number < beat.number:
            self._others[beat.process.id] = beat
        if beat.state != "running":
            self._now.set()

    def drain(self) -> None:
        """This process is about to end: say so at once."""
        self.pulse.state = "draining"
        self._now.set()

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Beat as long as the block lasts; at its end say that the process has ended."""
        beating = asyncio.create_task(self._beat_on())
        try:
            async with self.telemetry.watched():
                yield
        finally:
            beating.cancel()
            await asyncio.wait({beating})
            self.pulse.state = "ended"
            with contextlib.suppress(RackwrightError, TimeoutError):
                async with asyncio.timeout(LAST_WORD):
                    await self._write()

    async def _beat_on(self) -> None:
        away = False
        while True:
            self._now.clear()
            try:
                await self._write()
                away = False
            except RackwrightError as error:
                if not away:
                    log.warning("the process cannot tell that it is there", why=str(error))
                away = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT * random.uniform(0.9, 1.0)):
                    await self._now.wait()

    async def _write(self) -> None:
        others, self._others = self._others, {}
        try:
            await self.roster.beat([self.pulse.beat(), *others.values()])
        except RackwrightError:
            self._others = others | self._others
            raise
