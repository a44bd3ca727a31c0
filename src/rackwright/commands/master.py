"""The life of a process that serves: its signals, its notices, its presence, and for several workers their master."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field

import structlog

from rackwright.commands.notices import Notices
from rackwright.commands.workers import WORKER, Job, Workers
from rackwright.core.errors import RackwrightError
from rackwright.core.services import Roster
from rackwright.engine.presence import Presence, Pulse, this_process
from rackwright.engine.telemetry import Telemetry

log = structlog.get_logger()


@dataclass
class Orders:
    """What the process was told by signals: to end (SIGTERM, SIGINT; ``hurry`` by a second one), to read its settings
    anew (SIGHUP)."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        """End, or if told so already, end at once."""
        (self.hurry if self.stop.is_set() else self.stop).set()

    async def next(self) -> bool:
        """Wait for an order; True for a reload, False for the end."""
        waiting = [asyncio.create_task(event.wait()) for event in (self.stop, self.reload)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if self.stop.is_set():
            return False
        self.reload.clear()
        return True


def take_orders() -> Orders:
    """Obey signals from now on."""
    orders, loop = Orders(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.end)
    loop.add_signal_handler(signal.SIGHUP, orders.reload.set)
    return orders


@contextlib.asynccontextmanager
async def living(notices: Notices) -> AsyncIterator[None]:
    """Give signs of life as long as the block lasts; afterwards nothing is told any more."""
    living = asyncio.create_task(notices.live())
    try:
        yield
    finally:
        living.cancel()
        await asyncio.wait({living})
        notices.close()


def presence(roster: Roster, kind: str, telemetry: Telemetry) -> Presence:
    """The presence of this process among all of its kind: a worker by its number, one alone as number 1."""
    number = os.environ.get(WORKER, "1")
    return Presence(roster, Pulse(this_process(kind, f"{kind} {number}"), telemetry))


async def lead(job: Job, count: int, orders: Orders, notices: Notices, read_count: Callable[[], int]) -> None:
    """Have ``count`` workers do a job until the end is ordered. A reload renews them one by one, as many as
    ``read_count`` then says; settings that are wrong are told, and nothing is renewed.

    Raises StoreUnavailable when the workers do not become ready.
    """
    workers = Workers(job)
    async with living(notices):
        try:
            if await _unless_ended(workers.start(count), orders):
                notices.ready(f"{count} workers serve")
                log.info("workers serve", job=job.name, count=count)
                await _obey(workers, orders, notices, read_count)
        finally:
            notices.stopping()
            await _ended(workers, orders)


async def _obey(workers: Workers, orders: Orders, notices: Notices, read_count: Callable[[], int]) -> None:
    while await orders.next():
        notices.reloading()
        try:
            count = read_count()
        except RackwrightError as error:
            log.error("the settings are wrong: everything stays as it is", why=str(error))
        else:
            log.info("workers are renewed one by one", job=workers.job.name, count=count)
            if await _unless_ended(workers.renew(count), orders):
                log.info("workers are renewed", job=workers.job.name, count=count)
        notices.ready("workers serve")


async def _ended(workers: Workers, orders: Orders) -> None:
    """End the workers; hand on an order to hurry."""
    ending, hurrying = asyncio.create_task(workers.end()), asyncio.create_task(orders.hurry.wait())
    await asyncio.wait({ending, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not ending.done():
        workers.hurry()
    await ending


async def _unless_ended(work: Coroutine[None, None, bool], orders: Orders) -> bool:
    """Do the work, but leave it when the end is ordered first. Says whether it was done, and well."""
    working, ending = asyncio.create_task(work), asyncio.create_task(orders.stop.wait())
    await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
        return False
    return working.result()
