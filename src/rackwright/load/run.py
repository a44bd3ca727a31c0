"""A whole run: subtask by subtask, each workload with its contexts, its load processes, its hooks and its verdict."""

from __future__ import annotations

import asyncio
import functools
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import rackwright
from rackwright.core.load.result import Health, Judgement, RunResult, Second, Status, WorkloadResult
from rackwright.core.load.task import Subtask, Task
from rackwright.load.checking import Prepared
from rackwright.load.generators import Generators
from rackwright.load.run_folder import RunFolder
from rackwright.load.workload import WorkloadRun

LOOK = 0.2
"""Seconds between two looks whether somebody asked for the end."""


class Watcher(Protocol):
    """Who looks at a workload while it runs."""

    def begin(self, name: str, *, duration: float | None = None, iterations: int | None = None) -> None:
        """It begins, and will last so long or have so many iterations, as far as that is known."""
        ...

    def take(self, second: Second) -> None:
        """A second of it is over; seconds come in order."""
        ...

    def stand(self, judgements: Sequence[Judgement], health: Sequence[Health]) -> None:
        """How its SLA and its generators stand now."""
        ...

    def judge(self, judgements: Sequence[Judgement]) -> None:
        """What became of its SLA."""
        ...

    def end(self) -> None:
        """It is over."""
        ...


def new_id() -> str:
    """A run's id; ids sort by their time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Run:
    """Runs a task; ``prepared`` are its workloads, in order.

    Args:
        generators: where the load of each workload comes from.
        stop_on_violation: end the run as soon as any criterion is broken.
        watch: gives a watcher for each workload.
    """

    def __init__(
        self,
        task: Task,
        prepared: list[Prepared],
        folder: RunFolder,
        *,
        generators: Generators,
        stop_on_violation: bool,
        watch: Callable[[WorkloadResult], Watcher],
    ) -> None:
        self._task = task
        self._prepared = iter(prepared)
        self._folder = folder
        self._generators = generators
        self._stop_on_violation = stop_on_violation
        self._watch = watch
        self._running: list[WorkloadRun] = []
        self._ended: Status | None = None
        self._written = 0.0
        self.result = RunResult(
            id=folder.path.name,
            title=task.title,
            description=task.description,
            tags=tuple(task.tags),
            version=rackwright.__version__,
            task=task.to_v2(),
        )

    async def run(self) -> RunResult:
        """Run it to its end; gives the result, whose ``status`` tells how it ended.

        Raises:
            RackwrightError: when a workload could not be run at all; the folder keeps what was there until then.
        """
        self.result.started_at = time.time()
        self._write()
        looking = asyncio.create_task(self._look())
        try:
            for subtask in self._task.subtasks:
                await self._run_subtask(subtask)
            self.result.status = self._ended or "finished"
        except BaseException:
            self.result.status = "crashed"
            raise
        finally:
            looking.cancel()
            self.result.finished_at = time.time()
            self._write()
            self._folder.close()
        return self.result

    def abort(self, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        self._ended = self._ended or "aborted"
        for running in self._running:
            running.abort("aborted_manually", "the run was aborted", cancel=cancel)

    async def _run_subtask(self, subtask: Subtask) -> None:
        prepared = list(itertools.islice(self._prepared, len(subtask.workloads)))
        for group in [prepared] if subtask.run_in_parallel else [[each] for each in prepared]:
            if self._ended is None:
                await self._run_group(subtask.title, group)

    async def _run_group(self, name: str, group: list[Prepared]) -> None:
        self._running = [self._begin(name, prepared) for prepared in group]
        running = self._running
        try:
            results = await asyncio.gather(*(each.run() for each in self._running), return_exceptions=True)
        finally:
            self._running = []
        for each, fault in zip(running, results, strict=True):
            if isinstance(fault, BaseException):
                each.result.notes.append(str(fault))
                raise fault

    def _begin(self, name: str, prepared: Prepared) -> WorkloadRun:
        position = len(self.result.workloads)
        workload = prepared.workload
        result = WorkloadResult(
            name=name,
            position=position,
            scenario=workload.scenario,
            description=workload.description,
            args=workload.args,
            runner={workload.runner: workload.runner_settings},
            contexts=workload.contexts,
            sla=workload.sla,
            hooks=workload.to_v2()["hooks"],
        )
        self.result.workloads.append(result)
        running = WorkloadRun(
            prepared,
            result,
            self._folder.workload(position),
            generators=self._generators,
            stop_on_violation=self._stop_on_violation,
            read=lambda: self._folder.seconds(position),
        )
        watcher = self._watch(result)
        schedule = prepared.runner.schedule()
        watcher.begin(name, duration=_finite(schedule.length), iterations=schedule.planned)
        running.on_second = functools.partial(self._take, running, watcher)
        running.on_standing = watcher.stand
        running.on_end = functools.partial(_tell_end, result, watcher)
        return running

    def _take(self, running: WorkloadRun, watcher: Watcher, second: Second) -> None:
        self._folder.add_second(running.result.position, second)
        watcher.take(second)
        if running.broken and self._ended is None:
            self._ended = "aborted_on_sla"
            for other in self._running:
                other.abort("aborted_on_sla", "another workload broke its SLA")
        if time.monotonic() - self._written >= 1:
            self._write()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            if self._folder.abort_asked:
                self.abort()
                return

    def _write(self) -> None:
        self._written = time.monotonic()
        self._folder.write(self.result)


def _tell_end(result: WorkloadResult, watcher: Watcher) -> None:
    watcher.stand(result.judgements, result.health)
    watcher.judge(result.judgements)
    watcher.end()


def _finite(length: float) -> float | None:
    return None if length == float("inf") else length
