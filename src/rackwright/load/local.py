"""Load processes on this host: started, given their shares, listened to, stopped, and ended if they would not end."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec

from rackwright.core.load.course import divide, split
from rackwright.core.load.result import Health, Sample, Second
from rackwright.core.load.schedule import Closed
from rackwright.load.generators import Ears, Load, LoadFailed
from rackwright.load.merging import Merging
from rackwright.load.words import (
    Asked,
    Begin,
    Ended,
    Held,
    Live,
    Ready,
    Report,
    Settle,
    Started,
    Stop,
    Turn,
    Work,
    hear_told,
    pack,
)

READY = 60.0
"""Seconds that processes have to load their scenario."""
AHEAD = 0.05
"""Seconds from the word to the start, so that all start together."""
SILENCE = 30.0
"""Seconds after which a process that says nothing is ended: its scenario blocks the loop."""
SHOWN = 0.25
"""Seconds between words to processes whose share is lent."""
LAST = 15.0
"""Seconds that a process has to end after its last word, or after its work was cancelled."""


class LocalGenerators:
    """Load processes of this host, at most so many for each workload."""

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def load(self, work: Work, ears: Ears) -> Load:
        """A load of as many processes as the schedule can use."""
        return LocalLoad(work, work.schedule.processes(self._processes), ears)


class _Worker:
    """One load process as seen from here."""

    def __init__(self, index: int, process: Process) -> None:
        self.index = index
        self.process = process
        self.health = Health(name=f"process {index}", host=socket.gethostname())
        self.ended: Ended | None = None
        self.heard = time.monotonic()
        self.idle = False
        """Whether it never had a share."""
        self.limit: float | None = None
        """How far it may go before the turn that is under way is settled."""

    @property
    def works(self) -> bool:
        """Whether it has not said its last word."""
        return self.ended is None and self.health.lost_at is None

    def say(self, word: Asked) -> None:
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(pack(word))


async def soon() -> Begin:
    """The start of a load that waits for nobody else."""
    return Begin(time.monotonic() + AHEAD)


class Rein(Protocol):
    """Who holds a load on this host by its share, for a controller elsewhere."""

    def hold(self, turn: int, limit: float) -> None:
        """No start from the place ``limit`` on is made before the turn is settled."""
        ...

    @property
    def lease(self) -> float:
        """The moment, by this host's monotonic clock, until which the share is surely not another's."""
        ...


class LocalLoad:
    """One workload on ``processes`` load processes of this host; with a ``rein`` its share may change."""

    def __init__(self, work: Work, processes: int, ears: Ears, rein: Rein | None = None) -> None:
        self._work = work
        self._count = processes
        self._ears = ears
        self._rein = rein
        self._workers: list[_Worker] = []
        self._merging = Merging(range(processes))
        self._turn: Turn | None = None
        """The share that is to come, until all have answered."""
        self._asked: list[_Worker] = []
        self.zero = 0.0
        self.length = 0.0
        self.stopped_for = ""
        """Why the load was ended early."""
        self.notes: list[str] = []
        self.faults: list[str] = []

    async def run(self, begin: Callable[[], Awaitable[Begin]] = soon) -> None:
        """From the first process to the last; returns when all have ended. When all are ready, ``begin`` gives the
        start.

        Raises:
            LoadFailed: when a scenario cannot be loaded, or a process says what makes no sense.
        """
        try:
            await self._start()
            start = await begin() if not self.stopped_for else None
            if start is not None and not self.stopped_for:
                self._begin(start)
                await asyncio.gather(*(self._listen(worker) for worker in self._workers), self._watch())
            self._tell_faults()
        finally:
            await self._end()

    def stop(self, reason: str, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        self.stopped_for = self.stopped_for or reason
        self._say(Stop(cancel))

    def turn(self, turn: Turn) -> None:
        """Another share is to come: ask all processes how far they go meanwhile."""
        self._turn = turn
        if not self.zero:
            return
        # One that has done all of a closed schedule's share has done what no other share may have.
        closed = isinstance(self._work.schedule, Closed)
        self._asked = [worker for worker in self._workers if worker.works or (closed and not worker.idle)]
        shares = divide(self._work.schedule, turn.share, len(self._asked))
        for worker, share in zip(self._asked, shares, strict=True):
            worker.limit = None
            worker.say(Turn(turn.number, share, turn.ahead))
        self._answer()

    def settle(self, settle: Settle) -> None:
        """From a place on the share of a turn holds."""
        self._turn = None
        if self.zero:
            self._say(settle)

    def _answer(self) -> None:
        """Tell how far all go, when all have said it. One that has ended meanwhile cannot take the share any more."""
        if self._turn is None or self._rein is None:
            return
        limits = [worker.limit if worker.works else math.inf for worker in self._asked]
        told = [limit for limit in limits if limit is not None]
        if len(told) == len(limits):
            number, self._turn = self._turn.number, None
            self._rein.hold(number, max(told, default=math.inf))

    def take_samples(self) -> list[Sample]:
        """The errors since they were last taken."""
        samples, self._merging.samples = self._merging.samples, {}
        return list(samples.values())

    @property
    def samples(self) -> list[Sample]:
        """Errors by kind, the most frequent first."""
        return sorted(self._merging.samples.values(), key=lambda sample: -sample.count)

    @property
    def health(self) -> list[Health]:
        """How each process did."""
        return [worker.health for worker in self._workers]

    async def _start(self) -> None:
        for index in range(self._count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rackwright.load.process", stdin=PIPE, stdout=PIPE, start_new_session=True
            )
            worker = _Worker(index, process)
            self._workers.append(worker)
            folder = str(Path(self._work.folder) / f"process-{index}") if self._work.folder else ""
            worker.say(
                msgspec.structs.replace(
                    self._work,
                    folder=folder,
                    most_bytes=self._work.most_bytes // self._count,
                    connections=max(1, self._work.connections // self._count),
                )
            )
        try:
            async with asyncio.timeout(READY):
                await asyncio.gather(*(_wait_ready(worker) for worker in self._workers))
        except TimeoutError:
            raise LoadFailed(
                f"the scenario {self._work.scenario} was not loaded within {READY:g} s",
                mend="look at what its module does when it is imported",
            ) from None

    def _begin(self, begin: Begin) -> None:
        self.zero = begin.zero
        self._merging = Merging(range(self._count), max(0, int(time.monotonic() - begin.zero)))
        deals = split(self._work.schedule, begin.deals, self._count)
        for worker, its_deals in zip(self._workers, deals, strict=True):
            worker.heard = max(self.zero, time.monotonic())
            worker.idle = all(deal.share is None for deal in its_deals)
            worker.say(Begin(begin.zero, tuple(its_deals)))
        self._show_lease()
        if self._turn is not None:
            self.turn(self._turn)

    def _show_lease(self) -> None:
        if self._rein is not None and self._work.leash:
            self._say(Live(self._rein.lease))

    def _say(self, word: Asked) -> None:
        for worker in self._workers:
            worker.say(word)

    async def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        while worker.ended is None:
            try:
                word = await hear_told(worker.process.stdout)
            except asyncio.IncompleteReadError:
                self._lost(worker)
                return
            except msgspec.MsgspecError as error:
                self._lost(worker)
                raise LoadFailed(
                    f"a load process said what makes no sense: {error}",
                    where=worker.health.name,
                    mend="look whether its scenario writes where it should not",
                ) from None
            worker.heard = time.monotonic()
            if isinstance(word, Report):
                self._take(worker, word)
            elif isinstance(word, Started):
                self._ears.start(word.number, word.at)
            elif isinstance(word, Held) and self._turn is not None and word.number == self._turn.number:
                worker.limit = word.limit
                self._answer()
            elif isinstance(word, Ended):
                worker.ended = word
                self._answer()
                if word.fault:
                    self.stop(word.fault, cancel=True)
        self._give(self._merging.leave(worker.index))

    def _take(self, worker: _Worker, report: Report) -> None:
        self.length = max(self.length, report.upto)
        worker.health.iterations = report.iterations
        worker.health.peak_rss = report.peak_rss
        if report.proven and not self.stopped_for:
            self._ears.proof(report.proven)
        self._give(self._merging.take(worker.index, report))

    def _give(self, seconds: list[Second]) -> None:
        for second in seconds:
            self._ears.second(second)

    def _lost(self, worker: _Worker) -> None:
        worker.health.lost_at = time.monotonic() - self.zero
        self.notes.append(f"{worker.health.name} ended at second {worker.health.lost_at:.1f}; its share is not covered")
        self._give(self._merging.leave(worker.index))
        self._answer()

    async def _watch(self) -> None:
        """Show that somebody is here, and end processes that have said nothing for long."""
        shown = time.monotonic()
        while any(worker.works for worker in self._workers):
            await asyncio.sleep(0.1)
            if time.monotonic() - shown > SHOWN:
                shown = time.monotonic()
                self._show_lease()
            for worker in self._workers:
                silent = worker.ended is None and time.monotonic() - worker.heard > SILENCE
                if silent and worker.process.returncode is None:
                    self.notes.append(f"{worker.health.name} said nothing for {SILENCE:g} s: its scenario blocks")
                    worker.process.kill()

    def _tell_faults(self) -> None:
        lost = [worker.health.name for worker in self._workers if worker.health.lost_at is not None]
        if lost:
            self.faults.append(f"{', '.join(lost)} of {self._count} did not carry out the whole share")
        for worker in self._workers:
            ended = worker.ended
            if ended is None:
                continue
            if ended.stuck:
                self.faults.append(f"{worker.health.name} was ended: {ended.stuck}")
            if ended.fault:
                raise LoadFailed(ended.fault, where=worker.health.name, mend="mend the scenario")
            if ended.left:
                self.notes.append(f"{ended.left} iterations of {worker.health.name} would not end")
            if ended.dropped_rows:
                self.notes.append(f"{ended.dropped_rows} raw rows of {worker.health.name} could not be kept")

    async def _end(self) -> None:
        for worker in self._workers:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        for worker in self._workers:
            try:
                async with asyncio.timeout(LAST):
                    await worker.process.wait()
            except TimeoutError:
                worker.process.kill()
                await worker.process.wait()


async def _wait_ready(worker: _Worker) -> None:
    assert worker.process.stdout is not None
    try:
        word = await hear_told(worker.process.stdout)
    except (asyncio.IncompleteReadError, msgspec.MsgspecError) as error:
        code = await _code(worker.process)
        raise LoadFailed(
            f"a load process ended before it was ready, with {code}: {error}",
            where=worker.health.name,
            mend="look at what it said on stderr; perhaps memory was short",
        ) from None
    if isinstance(word, Ended):
        raise LoadFailed(word.fault, mend="mend the scenario, or the path to it")
    assert isinstance(word, Ready)


async def _code(process: Process) -> str:
    """How a process ended."""
    try:
        async with asyncio.timeout(1.0):
            code = await process.wait()
    except TimeoutError:
        return "no exit code"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
