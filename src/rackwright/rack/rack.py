"""The rack as a whole: what is started when, and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from msgspec import structs

from rackwright.core.errors import Conflict, NotAllowed, RackwrightError
from rackwright.core.jig import Jig
from rackwright.core.messages import Heartbeat
from rackwright.rack.attempt import Workshop
from rackwright.rack.claims import ClaimsLoop, Pulse
from rackwright.rack.client import RackClient
from rackwright.rack.heartbeat import keep_lease
from rackwright.rack.logs import LogShipper
from rackwright.rack.results import ResultSender, ResultSpool
from rackwright.rack.seat import Seat

service_grace = 10.0
"""Seconds that services get between their stop signal and the end by force."""

last_words = 5.0
"""Seconds for the last results and logs at an orderly end; what is not sent by then stays for the next start."""

log = structlog.get_logger()


@dataclass(frozen=True)
class RackSetting:
    """What a rack needs to know: its name and token, the api's URL, a data folder of its own, how many node tasks it
    carries out at once, and how many seconds it waits for them when it is to stop."""

    name: str
    api: str
    token: str
    data: str
    capacity: int = 32
    drain: float = 10.0


class Rack:
    """Claims node tasks from the api and has ``jigs`` carry them out, until it is told to stop."""

    def __init__(
        self,
        setting: RackSetting,
        client: RackClient,
        jigs: Mapping[str, Jig],
        pulse: Pulse,
        place: Seat | None = None,
    ) -> None:
        incarnation = uuid.uuid4().hex
        self.setting = setting
        self.client = client
        self.pulse = pulse
        self.workshop = Workshop(setting.name, setting.data, jigs)
        self.spool = ResultSpool(os.path.join(setting.data, "results"))
        self.results = ResultSender(client, self.spool, incarnation)
        self.logs = LogShipper(client, os.path.join(setting.data, "logs"))
        self.claims = ClaimsLoop(
            client, self.workshop, self.results, self.logs,
            capacity=setting.capacity, place=place or Seat(seat_mark(setting.data)), seat=seat_of(setting.data),
            pulse=pulse,
        )  # fmt: skip

    async def run(self, stop: asyncio.Event, at_once: asyncio.Event) -> None:
        """Work until ``stop``; then end in order, or without waiting when ``at_once`` is set too.

        Raises ``NotAllowed`` when the api refuses the token: scripts are ended, but services stay as they are, because
        a mistake with a token must not stop a cluster. The rack's next start takes them over.
        """
        await self._open()
        reporting = asyncio.create_task(self._report())
        claiming = asyncio.create_task(self._claim())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({reporting, claiming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await _end(claiming)
            if stop.is_set():
                await self._end_in_order(at_once, reporting)
        finally:
            await self.claims.drain(0)
            self.results.save()
            for task in (stopping, claiming, reporting):
                await _end(task)
        for task in (claiming, reporting):
            _raise_fault(task)

    async def _open(self) -> None:
        left = self.spool.load()
        self.logs.load()
        await self.workshop.open()
        log.info("rack began", api=self.setting.api, capacity=self.setting.capacity, results_left=left)

    async def _report(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.results.run())
            group.create_task(self.logs.run())
            group.create_task(keep_lease(self.client, self.claims, self.workshop, self.pulse))

    async def _claim(self) -> None:
        # The first claim of a new incarnation gives back what the former one held: so its results go first.
        await self.results.emptied()
        await self.claims.run()

    async def _end_in_order(self, at_once: asyncio.Event, reporting: asyncio.Task[None]) -> None:
        log.info("rack stops", drain=self.setting.drain)
        orderly = asyncio.create_task(self._drain_and_close(reporting))
        hurry = asyncio.create_task(at_once.wait())
        await asyncio.wait({orderly, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if at_once.is_set():
            log.warning("rack stops at once")
        for task in (orderly, hurry):
            await _end(task)
        await self.claims.drain(0)
        await self.workshop.close(0)
        self.results.save()
        log.info("rack ended", results_left=len(self.results.held()))

    async def _drain_and_close(self, reporting: asyncio.Task[None]) -> None:
        await self.claims.drain(self.setting.drain)
        await self.workshop.close(service_grace)
        sent = asyncio.create_task(self._all_sent())
        await asyncio.wait({sent, reporting}, timeout=last_words, return_when=asyncio.FIRST_COMPLETED)
        await _end(sent)

    async def say_farewell(self) -> None:
        """Tell the api once that this process has ended; it is not waited for long, and not repeated."""
        beat = self.pulse()
        if beat is None:
            return
        heartbeat = Heartbeat(incarnation=self.claims.incarnation, process=structs.replace(beat, state="ended"))
        with suppress(RackwrightError, TimeoutError):
            async with asyncio.timeout(last_words):
                await self.client.heartbeat(heartbeat)

    async def _all_sent(self) -> None:
        await self.results.emptied()
        await self.logs.emptied()


async def run_rack(
    setting: RackSetting,
    jigs: Mapping[str, Jig],
    stop: asyncio.Event,
    at_once: asyncio.Event,
    pulse: Pulse = lambda: None,
    place: Seat | None = None,
) -> None:
    """Be the rack that ``setting`` describes until ``stop`` is set. ``pulse`` gives what the process tells of itself
    with each heartbeat, ``place`` learns whether this process works for the rack or stands by.

    Raises ``Conflict`` when another process uses the data folder, ``NotAllowed`` when the api refuses the token.
    """
    with only_one(setting.data):
        async with RackClient(setting.api, setting.name, setting.token) as client:
            rack = Rack(setting, client, jigs, pulse, place)
            await rack.run(stop, at_once)
            await rack.say_farewell()


def seat_mark(data: str) -> str:
    """The file that is there while the rack's process in this data folder works for the rack."""
    return os.path.join(data, "seat-held")


def seat_of(data: str) -> str:
    """The name of the rack's place in this data folder, made at the first start: by it the api tells a new start from
    a second process."""
    path = os.path.join(data, "seat")
    with suppress(FileNotFoundError), open(path, encoding="ascii") as file:
        known = file.read().strip()
        if known:
            return known
    seat = uuid.uuid4().hex
    with open(path, "w", encoding="ascii") as file:
        file.write(seat)
    return seat


@contextmanager
def only_one(data: str) -> Iterator[None]:
    """Hold the data folder, made if absent; raises ``Conflict`` when another process holds it."""
    os.makedirs(data, mode=0o700, exist_ok=True)
    with open(os.path.join(data, "lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = "another process works in this data folder"
            raise Conflict(what, where=data, mend="stop that rack, or give this one another --data") from error
        yield


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; its fault stays in it."""
    task.cancel()
    await asyncio.wait({task})


def _raise_fault(task: asyncio.Task[None]) -> None:
    """Raise what broke a task; a refused token comes out of its group alone."""
    if task.cancelled():
        return
    error = task.exception()
    refused = error.subgroup(NotAllowed) if isinstance(error, ExceptionGroup) else None
    if refused is not None:
        raise refused.exceptions[0]
    if error is not None:
        raise error
