"""Load processes on this host: started, given their shares, listened to, stopped, and ended if they would not end."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path

import msgspec

from rackwright.core.errors import RackwrightError
from rackwright.core.load.result import Health, Sample, Second
from rackwright.load.merging import Merging
from rackwright.load.words import Begin, Ended, Ready, Report, Started, Stop, Work, hear_told, pack

READY = 60.0
"""Seconds that processes have to load their scenario."""
AHEAD = 0.05
"""Seconds from the word to the start, so that all start together."""
SILENCE = 30.0
"""Seconds after which a process that says nothing is ended: its scenario blocks the loop."""
LAST = 15.0
"""Seconds that a process has to end after its last word, or after its work was cancelled."""


class LoadFailed(RackwrightError):
    """A load process could not do its work."""


class _Worker:
    """One load process as seen from here."""

    def __init__(self, index: int, process: Process) -> None:
        self.index = index
        self.process = process
        self.health = Health(name=f"process {index}", host=socket.gethostname())
        self.ended: Ended | None = None
        self.heard = time.monotonic()

    def say(self, word: Work | Begin | Stop) -> None:
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(pack(word))


class LocalLoad:
    """One workload on ``processes`` load processes of this host.

    ``on_second`` gets every merged second once, in order; ``on_start`` the number and moment of watched iterations,
    ``on_proof`` why the SLA is broken, when one process alone can tell.
    """

    def __init__(
        self,
        work: Work,
        processes: int,
        on_second: Callable[[Second], None],
        on_start: Callable[[int, float], None],
        on_proof: Callable[[str], None],
    ) -> None:
        self._work = work
        self._count = processes
        self._on_second = on_second
        self._on_start = on_start
        self._on_proof = on_proof
        self._workers: list[_Worker] = []
        self._merging = Merging(range(processes))
        self._stopping: asyncio.Task[None] | None = None
        self.zero = 0.0
        """The start, by this host's monotonic clock."""
        self.length = 0.0
        """Seconds from the start to the last thing that was reported."""
        self.stopped_for = ""
        """Why the load was ended early."""
        self.notes: list[str] = []

    async def run(self) -> None:
        """From the first process to the last; returns when all have ended.

        Raises:
            LoadFailed: when a scenario cannot be loaded, or a process says what makes no sense.
        """
        try:
            await self._start()
            if not self.stopped_for:
                self._begin()
                await asyncio.gather(*(self._listen(worker) for worker in self._workers), self._watch())
            self._tell_faults()
        finally:
            await self._end()

    def stop(self, reason: str, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        self.stopped_for = self.stopped_for or reason
        for worker in self._workers:
            worker.say(Stop(cancel))

    @property
    def samples(self) -> list[Sample]:
        """Errors by kind, the most frequent first."""
        return sorted(self._merging.samples.values(), key=lambda sample: -sample.count)

    @property
    def health(self) -> list[Health]:
        """How each process did."""
        return [worker.health for worker in self._workers]

    async def _start(self) -> None:
        shares = self._work.share.split(self._count)
        for index, share in enumerate(shares):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rackwright.load.process", stdin=PIPE, stdout=PIPE, start_new_session=True
            )
            worker = _Worker(index, process)
            self._workers.append(worker)
            folder = str(Path(self._work.folder) / f"process-{index}") if self._work.folder else ""
            worker.say(
                msgspec.structs.replace(
                    self._work,
                    share=share,
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

    def _begin(self) -> None:
        self.zero = time.monotonic() + AHEAD
        for worker in self._workers:
            worker.heard = self.zero
            worker.say(Begin(self.zero))

    async def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        while worker.ended is None:
            try:
                word = await hear_told(worker.process.stdout)
            except asyncio.IncompleteReadError:
                self._lost(worker)
                return
            worker.heard = time.monotonic()
            if isinstance(word, Report):
                self._take(worker, word)
            elif isinstance(word, Started):
                self._on_start(word.number, word.at)
            elif isinstance(word, Ended):
                worker.ended = word
        self._give(self._merging.leave(worker.index))

    def _take(self, worker: _Worker, report: Report) -> None:
        self.length = max(self.length, report.upto)
        worker.health.iterations = report.iterations
        worker.health.peak_rss = report.peak_rss
        if report.proven and not self.stopped_for:
            self._on_proof(report.proven)
        self._give(self._merging.take(worker.index, report))

    def _give(self, seconds: list[Second]) -> None:
        for second in seconds:
            self._on_second(second)

    def _lost(self, worker: _Worker) -> None:
        worker.health.lost_at = time.monotonic() - self.zero
        self.notes.append(f"{worker.health.name} ended at second {worker.health.lost_at:.1f}; its share is not covered")
        self._give(self._merging.leave(worker.index))

    async def _watch(self) -> None:
        """End processes that have said nothing for long."""
        while any(worker.ended is None and worker.health.lost_at is None for worker in self._workers):
            await asyncio.sleep(0.1)
            for worker in self._workers:
                silent = worker.ended is None and time.monotonic() - worker.heard > SILENCE
                if silent and worker.process.returncode is None:
                    self.notes.append(f"{worker.health.name} said nothing for {SILENCE:g} s: its scenario blocks")
                    worker.process.kill()

    def _tell_faults(self) -> None:
        for worker in self._workers:
            ended = worker.ended
            if ended is None:
                continue
            if ended.fault:
                raise LoadFailed(ended.fault, where=worker.health.name, mend="mend the scenario")
            if ended.left:
                self.notes.append(f"{ended.left} iterations of {worker.health.name} would not end")
            if ended.dropped_rows:
                self.notes.append(f"{ended.dropped_rows} raw rows of {worker.health.name} found no room on the disk")

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
    except asyncio.IncompleteReadError:
        raise LoadFailed(
            "a load process ended before it was ready", mend="look at what it said on stderr; perhaps memory was short"
        ) from None
    if isinstance(word, Ended):
        raise LoadFailed(word.fault, mend="mend the scenario, or the path to it")
    assert isinstance(word, Ready)
