"""The policy ``dask``: it gives chunks to workers that may be used, and takes them back from those that are lost."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from rackwright.core.errors import RackwrightError
from rackwright.engine.serialization.dask.admission import Admission, Registration, refusal, refusals
from rackwright.engine.serialization.dask.archive import libraries, pack
from rackwright.engine.serialization.dask.desk import ANSWER, DIED, FAULT
from rackwright.engine.serialization.dask.link import BROKEN, Link, Returned, Seen, Supplied, Unreachable
from rackwright.engine.serialization.flow import Flow, Job
from rackwright.engine.serialization.processes import DEATHS, WORK, Work

_AVOIDED = 1.0
"""Seconds for which a worker that could not be reached is not asked."""
_PAUSE = 0.25
"""Seconds to wait for something to happen before the grace is looked at again."""


class DaskSettings(Admission, Protocol):
    """The settings that this policy needs: see ``PolicySettings``."""

    @property
    def scheduler(self) -> str:
        """The scheduler's address: ``tls://HOST:PORT``."""

    @property
    def certificates(self) -> Path:
        """The folder of the client's certificates."""

    @property
    def load_coefficient(self) -> int:
        """The most chunks in flight per worker."""

    @property
    def grace(self) -> float:
        """Seconds for which there may be no worker to use."""


class Dask:
    """Answers by the workers of a Dask cluster that may be used, each with at most ``load_coefficient`` chunks in
    flight. Workers may come, go, be killed and change their status at any time."""

    name = "dask"

    def __init__(self, settings: DaskSettings, work: Work = WORK) -> None:
        self._settings = settings
        self._work = work

    def answers(self, setup: bytes, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Give the answer to each chunk, in order. Raises RackwrightError when there is no worker to use for longer
        than the grace, when the scheduler cannot be reached, and for a chunk of which workers die."""
        settings = self._settings
        flow = Flow(chunks, DEATHS)
        with Link(settings.scheduler, settings.certificates, pack(setup, self._work)) as link:
            crew = _Crew(link, settings)
            while True:
                crew.fill(flow)
                if flow.finished:
                    return
                answer = flow.pop()
                if answer is not None:
                    yield answer
                    crew.hear(flow, 0)
                else:
                    crew.hear(flow, _PAUSE)


class _Crew:
    """The workers of one run, as far as they are known now, and the chunks that they hold."""

    def __init__(self, link: Link, settings: DaskSettings) -> None:
        self._link = link
        self._settings = settings
        self._libraries = libraries()
        self._known: Mapping[str, Registration | None] = {}
        self._usable: list[str] = []
        self._supplied = False
        self._held: dict[str, dict[int, Job]] = {}
        self._avoided: dict[str, float] = {}
        self._unreachable = "it does not answer"
        self._well = time.monotonic()

    def fill(self, flow: Flow) -> None:
        """Give out chunks while any worker that may be used may hold one more."""
        while (worker := self._free()) is not None and (job := flow.take()) is not None:
            self._held.setdefault(worker, {})[self._link.send(worker, job.chunk)] = job

    def hear(self, flow: Flow, wait: float) -> None:
        """Take in all that has happened, waiting that many seconds for the first of it. Raises RackwrightError."""
        event = self._link.hear(wait)
        while event is not None:
            if isinstance(event, Seen):
                self._see(event.workers, flow)
            elif isinstance(event, Supplied):
                self._supplied = True
            elif isinstance(event, Unreachable):
                self._lose_scheduler(event, flow)
            else:
                self._take_back(event, flow)
            event = self._link.hear(0)
        self._look_at_grace()

    def _free(self) -> str | None:
        """Find the worker with the least to do; None when all have enough. Until the first one has the archive nobody
        gets a chunk: planning them, in this process, would hold up the sending."""
        if not self._supplied:
            return None
        worker = min(self._usable, key=self._load, default=None)
        return worker if worker is not None and self._load(worker) < self._settings.load_coefficient else None

    def _load(self, worker: str) -> int:
        return len(self._held.get(worker, ()))

    def _see(self, workers: Mapping[str, Registration | None], flow: Flow) -> None:
        self._unreachable = ""
        for lost in [worker for worker in self._held if worker not in workers]:
            self._lose(lost, flow)
        self._known = workers
        now = time.monotonic()
        self._avoided = {worker: until for worker, until in self._avoided.items() if until > now}
        self._usable = [
            at
            for at, worker in workers.items()
            if at not in self._avoided and not refusal(worker, self._settings, self._libraries)
        ]
        for worker in self._usable:
            self._link.supply(worker)

    def _lose(self, worker: str, flow: Flow) -> None:
        """Take back what a lost worker held. It answers in turn: it may have died of the first chunk, not of others."""
        name = f"{self._known.get(worker) or 'a worker'} at {worker} was lost"
        for turn, (ticket, job) in enumerate(self._held.pop(worker).items()):
            self._link.drop(ticket)
            if turn == 0:
                flow.died(job, name)
            else:
                flow.back(job)

    def _lose_scheduler(self, event: Unreachable, flow: Flow) -> None:
        self._unreachable = event.why
        if event.refused:
            raise self._no_scheduler()
        for jobs in self._held.values():
            for ticket, job in jobs.items():
                self._link.drop(ticket)
                flow.back(job)
        self._held, self._usable = {}, []

    def _take_back(self, event: Returned, flow: Flow) -> None:
        worker = next((worker for worker, jobs in self._held.items() if event.ticket in jobs), None)
        if worker is None:
            return
        if event.how == BROKEN:
            self._avoid(worker)
            self._lose(worker, flow)
            return
        job = self._held[worker].pop(event.ticket)
        if event.how == ANSWER:
            flow.answered(job, event.data)
        elif event.how == DIED:
            flow.died(job, f"a process of {self._known.get(worker)} at {worker} was {event.data.decode()}")
        elif event.how == FAULT:
            raise RackwrightError(event.data.decode(), where=f"chunk {job.number + 1} at {worker}")
        else:
            # Its worker is leaving, or it or the scheduler cannot be reached.
            self._avoid(worker)
            flow.back(job)

    def _avoid(self, worker: str) -> None:
        """Do not ask a worker for a while: the scheduler may take some time to see that it is gone."""
        self._avoided[worker] = time.monotonic() + _AVOIDED
        self._usable = [each for each in self._usable if each != worker]

    def _look_at_grace(self) -> None:
        now = time.monotonic()
        if self._usable or any(self._held.values()):
            self._well = now
        elif now - self._well > self._settings.grace:
            if self._unreachable:
                raise self._no_scheduler()
            why = refusals(self._known, self._settings, self._libraries)
            raise RackwrightError(
                f"no worker may be used since {self._settings.grace:g} s: {why}",
                where=self._settings.scheduler,
                mend="run `rackwright serializer` on a node of an allowed status, or allow a status in [serialization]",
            )

    def _no_scheduler(self) -> RackwrightError:
        return RackwrightError(
            f"the Dask scheduler cannot be reached: {self._unreachable}",
            where=self._settings.scheduler,
            mend="start it, and look whether its certificates are of the same authority",
        )
