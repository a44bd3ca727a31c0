"""Several processes that do one job: started, watched, replaced when they die or hang, and renewed one by one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from rackwright.commands.notices import FD
from rackwright.commands.supervisor import Child, Program
from rackwright.core.errors import RackwrightError

PATIENCE = 60.0
"""Seconds for a worker to become ready."""
LOOK = 1.0
"""Seconds between two looks at what workers say."""
MARGIN = 5.0
"""Seconds beyond its drain after which a worker that does not end is killed."""
WORKER = "RACKWRIGHT_WORKER"
"""In the environment of a worker: its number, from 1."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What workers do: the name and the arguments of their command, what is added to the environment, the descriptors
    that they inherit, how many seconds they may take to finish what is under way, and after how many seconds without a
    sign of life one counts as hung."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    inherited: tuple[int, ...] = ()
    drain: float
    hung_after: float


class Worker:
    """One worker, by its number. When its process dies another one takes its place."""

    def __init__(self, job: Job, number: int) -> None:
        self.number = number
        self.is_ready = False
        self._job = job
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._theirs = theirs
        self._ours.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours.fileno(), self._hear)
        self._heard: tuple[int | None, float] = (None, 0.0)
        program = Program(
            f"{job.name} {number}",
            job.arguments,
            {**job.environment, WORKER: str(number), FD: str(theirs.fileno())},
            grace=job.drain + MARGIN,
            inherited=(*job.inherited, theirs.fileno()),
        )
        self.child = Child(program)

    async def ready(self) -> None:
        """Wait until it says so. Raises StoreUnavailable when it keeps dying, or takes too long."""
        await self.child.ready(self._says_ready, PATIENCE)

    async def end(self) -> None:
        """End it: politely, and by force after its drain."""
        await self.child.end()
        self._loop.remove_reader(self._ours.fileno())
        self._ours.close()
        self._theirs.close()

    def look(self) -> None:
        """Kill the process if it hangs: it is then replaced."""
        pid, now = self.child.pid, self._loop.time()
        if pid != self._heard[0]:
            self._heard = (pid, now)
        elif pid is not None and now - self._heard[1] > self._job.hung_after:
            log.error("process hangs and is killed", process=self.child.program.name, pid=pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _says_ready(self) -> bool:
        return self.is_ready

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            while said := self._ours.recv(4096):
                self.is_ready = self.is_ready or b"READY=1" in said.splitlines()
                self._heard = (self.child.pid, self._loop.time())


class Workers:
    """The workers of one job, by number from 1."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._workers: dict[int, Worker] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self, count: int) -> bool:
        """Start them all and wait until they are ready: True. Raises StoreUnavailable when one does not get so far."""
        self._watching = asyncio.create_task(self._watch())
        self._workers = {number: Worker(self.job, number) for number in range(1, count + 1)}
        await asyncio.gather(*(worker.ready() for worker in self._workers.values()))
        return True

    async def renew(self, count: int) -> bool:
        """Put a new process in the place of each, one by one: the old one ends only when the new one is ready, so that
        there are never fewer. Afterwards there are ``count``. Says whether all went well; a new process that does not
        become ready ends the renewal, and the old ones stay."""
        for number in range(1, count + 1):
            worker = Worker(self.job, number)
            try:
                await worker.ready()
            except RackwrightError as error:
                log.error("a new process does not become ready: the old ones stay", why=str(error))
                await worker.end()
                return False
            except asyncio.CancelledError:
                await worker.end()
                raise
            former = self._workers.get(number)
            self._workers[number] = worker
            if former is not None:
                await former.end()
        surplus = [self._workers.pop(number) for number in sorted(self._workers) if number > count]
        await asyncio.gather(*(worker.end() for worker in surplus))
        return True

    async def end(self) -> None:
        """End all of them at once."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await asyncio.gather(*(worker.end() for worker in self._workers.values()))

    def hurry(self) -> None:
        """Tell all of them, which are told to end already, to end at once."""
        for worker in self._workers.values():
            worker.child.tell(signal.SIGTERM)

    async def _watch(self) -> None:
        while True:
            for worker in self._workers.values():
                worker.look()
            await asyncio.sleep(LOOK)
