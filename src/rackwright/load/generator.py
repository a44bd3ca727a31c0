"""One load process's share of a schedule, carried out on one loop.

An iteration costs a row in a list and no more; every ``TICK`` the rows become counts. Starts of an open schedule are
kept whatever the target does: latency counts from the intended start, also when a start had to wait for room.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rackwright.core.load.course import WHOLE, Course, Deal
from rackwright.core.load.schedule import Closed, Open, Schedule, Share
from rackwright.load.alarm import Alarm
from rackwright.load.chunks import Writer
from rackwright.load.memory import peak_memory
from rackwright.load.scenario import BlockingScenario, Scenario, Surroundings, clock
from rackwright.load.sums import Sums
from rackwright.load.tally import Fault, Row, Start, Tally
from rackwright.load.words import Ended, Held, Report, Started, Told, Turn, Work

TICK = 0.05
"""Seconds between looks at what was done."""
BREATH = 0.01
"""Seconds after which a start lets the loop do something else."""
IN_FLIGHT = 10_000
"""Most iterations at once of one process, if the schedule sets no bound."""
THREADS = 256
"""Most threads for scenarios that block."""
GRACE = 600.0
"""Seconds that the last iterations have to end, if the schedule sets no timeout; then they are cancelled."""
PATIENCE = 5.0
"""Seconds that cancelled iterations have to end."""
HOLDING = 1.0
"""Seconds between looks at a share that is being dealt."""

_NOTHING = Scenario
"""What an iteration has done whose scenario could not be made."""


class Generator:
    """Runs a scenario as ``work`` says and tells of it through ``tell``; ``stop`` ends it early."""

    def __init__(
        self,
        work: Work,
        scenario: type[Scenario],
        surroundings: Surroundings,
        tell: Callable[[Told], None],
        zero: float,
        rows: Writer | None = None,
        deals: Sequence[Deal] = WHOLE,
    ) -> None:
        self._work = work
        self._zero = zero
        self._kind = scenario
        self._watching = bool(work.watch)
        self._timeout = work.schedule.timeout
        self._surroundings = surroundings
        self._tell = tell
        self._writer = rows
        blocking = issubclass(scenario, BlockingScenario) or not inspect.iscoroutinefunction(scenario.run)
        self._most = THREADS if blocking else IN_FLIGHT
        self._share = deals[-1].share
        self._room = _room_for(work.schedule, self._share, self._most)
        threads = max(THREADS, work.schedule.slots()) if isinstance(work.schedule, Closed) else THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="iteration") if blocking else None
        self._tally = Tally(work.schedule.max_lag if isinstance(work.schedule, Open) else math.inf)
        self._rows: list[Row] = []
        self._starts: list[Start] = []
        self._tasks: dict[asyncio.Task[None], float] = {}
        self._overdue: dict[asyncio.Task[None], str] = {}
        """Why iterations were cancelled that count as failed."""
        self._all_begun = asyncio.Event()
        """That a closed schedule starts no more."""
        self._freed: asyncio.Future[None] | None = None
        self._pacing: asyncio.Task[None] | None = None
        self._course = Course(work.schedule, deals)
        self._plan = Course(work.schedule, deals)
        self._early = not deals[0].after
        """It begins with the load."""
        self._turn: Turn | None = None
        self._slots = 0
        """Of a closed schedule: those that go on."""
        self._lease = math.inf
        """The moment until which starts are surely its own."""
        self._renewed = asyncio.Event()
        self._went_on = 0.0
        """When an iteration was last started or ended."""
        self._alarm: Alarm | None = None
        self._counts = Sums(work.bounds)
        self._stopped = False
        self._fault = self._stuck = ""
        self._breath = 0.0

    async def run(self) -> None:
        """Carry the share out; returns when its last iteration has ended, or would not end."""
        looking = asyncio.create_task(self._look())
        looking.add_done_callback(self._heed)
        closed = isinstance(self._work.schedule, Closed)
        self._pacing = asyncio.create_task(self._run_closed() if closed else self._run_open())
        try:
            await self._pacing
        except asyncio.CancelledError:
            if not self._stopped:
                raise
        await self._drain()
        looking.cancel()
        self._finish()

    def stop(self, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs. Running iterations are waited for otherwise."""
        if not self._stopped:
            self._stopped = True
            self._settle(math.inf)
            self._all_begun.set()
            self._renewed.set()
            if self._pacing is not None and isinstance(self._work.schedule, Open):
                self._pacing.cancel()
        if cancel:
            for task in self._tasks:
                task.cancel()

    def turn(self, turn: Turn) -> None:
        """Another share is to come: tell how far this one goes meanwhile."""
        if self._stopped or self._pacing is None or self._pacing.done():
            self._tell(Held(turn.number, math.inf))
            return
        self._turn = turn
        self._room = min(self._room, _room_for(self._work.schedule, turn.share, self._most))
        limit = self._reach(turn.ahead)
        for course in (self._course, self._plan):
            course.hold(turn.share, limit)
        self._tell(Held(turn.number, limit))

    def settle(self, number: int, place: float) -> None:
        """From this place on the share of a turn holds; infinite: the turn is called off."""
        if self._turn is not None and self._turn.number == number:
            self._settle(place)

    def lend(self, until: float) -> None:
        """The share is surely its own until a moment of the clock; then nothing is started until it is lent again."""
        self._lease = until
        self._renewed.set()

    @property
    def running(self) -> int:
        """How many iterations are under way."""
        return len(self._tasks)

    def _reach(self, ahead: float) -> float:
        """The place that will not be reached for so many seconds, and lies beyond all that was taken."""
        now = max(self._now(), 0.0)
        if isinstance(self._work.schedule, Open):
            return now + ahead
        reached = self._course.reached
        return reached if math.isinf(reached) else reached + math.ceil(reached * ahead / max(now, ahead))

    def _settle(self, place: float) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if place < math.inf:
            self._share = turn.share
        for course in (self._course, self._plan):
            course.settle(place)
        self._room = _room_for(self._work.schedule, self._share, self._most)
        if self._alarm is not None:
            self._alarm.ring()
        if isinstance(self._work.schedule, Closed) and not self._stopped:
            self._fill()

    def _now(self) -> float:
        return clock() - self._zero

    async def _run_closed(self) -> None:
        length = self._work.schedule.length
        await asyncio.sleep(max(0.0, -self._now()))
        self._fill(first=self._early)
        try:
            async with asyncio.timeout(None if math.isinf(length) else length - self._now()):
                await self._all_begun.wait()
        except TimeoutError:
            return

    def _fill(self, *, first: bool = False) -> None:
        """Let all free slots go on; each starts one at least, the ``first`` time."""
        while self._slots < self._room and self._course.head is not None and not self._stopped:
            if not first and self._now() >= self._work.schedule.length:
                break
            self._slots += 1
            start = self._take()
            self._begin(self._slot(start))
        if self._course.over or not self._slots:
            self._all_begun.set()

    def _take(self) -> int:
        """The number of the next iteration, which begins now."""
        head = self._course.head
        assert head is not None
        self._course.step()
        if self._course.head is None and self._course.over:
            self._all_begun.set()
        return head[0]

    async def _slot(self, number: int) -> None:
        course, length, now = self._course, self._work.schedule.length, self._now()
        try:
            while True:
                now = await self._iterate(number, now)
                if now - self._breath > BREATH:
                    now = await self._breathe()
                if now + self._zero > self._lease:
                    self._mark(math.inf)
                    now = await self._wait_for_lease()
                if self._stopped or now >= length or self._slots > self._room or course.head is None:
                    return
                number = self._take()
        finally:
            self._slots -= 1

    async def _wait_for_lease(self) -> float:
        while clock() > self._lease and not self._stopped:
            self._renewed.clear()
            await self._renewed.wait()
        return self._now()

    async def _run_open(self) -> None:
        course = self._course
        alarm = self._alarm = Alarm()
        try:
            while (start := course.head) is not None or await self._wait_for_turn(alarm):
                if start is None:
                    continue
                number, at = start
                now = self._now()
                if at > now:
                    await alarm.until(at + self._zero)
                    self._breath = at
                elif now - self._breath > BREATH:
                    await self._breathe()
                while self.running >= self._room:
                    await self._wait_for_room()
                if clock() > self._lease:
                    await self._wait_for_lease()
                if course.head is start:
                    course.step()
                    self._begin(self._iterate(number, at))
        finally:
            self._alarm = None
            alarm.close()

    async def _wait_for_turn(self, alarm: Alarm) -> bool:
        """The share is done; whether there is another one before nobody can have any."""
        while self._course.head is None and (self._course.held or self._now() < self._work.until):
            await alarm.until(max(self._work.until, self._now() + HOLDING) + self._zero)
        return self._course.head is not None

    async def _wait_for_room(self) -> None:
        self._freed = asyncio.get_running_loop().create_future()
        await self._freed

    async def _breathe(self) -> float:
        await asyncio.sleep(0)
        self._breath = self._now()
        return self._breath

    def _begin(self, doing: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(doing)
        self._tasks[task] = self._now()
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._overdue.pop(task, None)
        if not self._tasks and not self._course.held:
            self._all_begun.set()
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)
        if not task.cancelled():
            task.exception()

    async def _iterate(self, number: int, intended: float) -> float:
        """Carry out one iteration; gives when it ended."""
        work = self._work
        started = clock() - self._zero
        self._starts.append((intended, started))
        if self._watching and work.watch.holds(number):
            self._tell(Started(number, started))
        if self._timeout:
            self._mark(started)
        scenario: Scenario | None = None
        fault = None
        try:
            scenario = self._kind(number, self._surroundings)
            if self._threads is None:
                await scenario.run(**work.args)
            else:
                await self._in_thread(scenario)
        except asyncio.CancelledError:
            fault = self._timed_out()
        except (Exception, SystemExit) as error:
            fault = describe(error)
        ended = clock() - self._zero
        done = scenario or _NOTHING
        self._rows.append(Row(number, intended, started, ended, fault, done.actions, done.output))
        return ended

    async def _in_thread(self, scenario: Scenario) -> None:
        run = functools.partial(scenario.run, **self._work.args)
        await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _mark(self, started: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = started

    def _timed_out(self) -> Fault:
        task = asyncio.current_task()
        assert task is not None
        if task not in self._overdue:
            raise asyncio.CancelledError
        task.uncancel()
        return Fault("TimeoutError", self._overdue.pop(task))

    def _heed(self, looking: asyncio.Task[None]) -> None:
        """Counting that breaks off ends the load: what nobody counts must not go on."""
        if not looking.cancelled() and (error := looking.exception()) is not None:
            self._fault = self._fault or f"what was done could not be counted: {describe(error).trace}"
            self.stop(cancel=True)

    async def _look(self) -> None:
        told = self._now()
        while True:
            await asyncio.sleep(TICK)
            now = self._now()
            self._cancel_overdue(now)
            self._count(now)
            self._end_stuck(now)
            proven = self._counts.proof()
            if proven or now - told >= self._work.interval:
                self._report(now, proven)
                told = now

    def _cancel_overdue(self, now: float) -> None:
        timeout = self._work.schedule.timeout
        if not timeout:
            return
        for task, since in self._tasks.items():
            if now - since > timeout and task not in self._overdue:
                self._overdue[task] = f"not done after {timeout:g} s"
                task.cancel()

    def _end_stuck(self, now: float) -> None:
        """End the load when there is no room to start anything, and nothing that runs would end."""
        timeout = self._work.schedule.timeout
        patience = timeout + PATIENCE if timeout else GRACE
        if now - self._went_on < patience or not self._full or clock() > self._lease:
            return
        self._stuck = f"{len(self._tasks)} iterations, as many as may run at once, did not end for {patience:g} s"
        self._overdue |= dict.fromkeys(self._tasks, f"not done after {patience:g} s, and nothing else could start")
        self.stop(cancel=True)

    @property
    def _full(self) -> bool:
        """Whether starts wait until something ends."""
        if isinstance(self._work.schedule, Open):
            return self._freed is not None and not self._freed.done()
        return bool(self._tasks) and self._pacing is not None and not self._pacing.done()

    def _count(self, now: float) -> None:
        rows, self._rows = self._rows, []
        starts, self._starts = self._starts, []
        planned = isinstance(self._work.schedule, Open)
        if rows or starts:
            self._went_on = now
        missed = self._tally.add_starts(starts, planned=planned)
        self._tally.add_rows(rows)
        if planned:
            self._counts.intended += self._count_intended(now)
        self._counts.take(rows, len(starts), missed)
        self._counts.spend(self._tally.second(now))
        if int(now) > self._counts.second:
            # A second's reports add up: what is true of its end alone is told once.
            self._tally.second(self._counts.second).in_flight = self.running
            self._counts.second = int(now)
        if self._writer is not None:
            self._writer.add(rows)

    def _count_intended(self, upto: float) -> int:
        """Count the starts that the schedule has up to a moment, apart from whether they took place; how many."""
        counted = 0
        plan = self._plan
        while plan.head is not None and plan.head[1] <= upto:
            self._tally.add_intended(plan.head[1])
            counted += 1
            plan.step()
        return counted

    def _report(self, now: float, proven: str = "") -> None:
        seconds, samples = self._tally.take()
        peak = peak_memory()
        if peak > self._work.most_memory and not self._fault:
            most = self._work.most_memory >> 20
            self._fault = f"it took {peak >> 20} MiB of memory, {most} MiB are allowed: its scenario keeps too much"
            self.stop(cancel=True)
        upto = min(now, self._plan.limit) if isinstance(self._work.schedule, Open) else now
        self._tell(
            Report(
                upto=upto, seconds=seconds, samples=samples, iterations=self._counts.ended, peak_rss=peak, proven=proven
            )
        )

    async def _drain(self) -> None:
        """Wait for what runs. After ``GRACE`` it is cancelled, and what was cancelled has ``PATIENCE`` to end."""
        begun, cancelled = clock(), math.inf
        while self._tasks and clock() - cancelled < PATIENCE:
            await asyncio.wait(self._tasks, timeout=TICK)
            if cancelled < math.inf:
                continue
            if not self._work.schedule.timeout and clock() - begun > GRACE:
                self._overdue |= dict.fromkeys(self._tasks, f"not done {GRACE:g} s after the last one was started")
                self.stop(cancel=True)
            if all(task.cancelling() for task in self._tasks):
                cancelled = clock()

    def _finish(self) -> None:
        now = self._now()
        self._count(now)
        never = max(0, self._counts.intended - self._counts.started) if isinstance(self._work.schedule, Open) else 0
        if never:
            self._tally.second(now).missed += never
        self._report(now, self._counts.proof())
        if self._writer is not None:
            self._writer.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        dropped = self._writer.dropped if self._writer is not None else 0
        self._tell(
            Ended(
                fault=self._fault,
                stuck=self._stuck,
                never_started=never,
                left=len(self._tasks),
                dropped_rows=dropped,
            )
        )


def describe(error: BaseException) -> Fault:
    """An error as a fault: its kind, its words, where it came from; characters that UTF-8 has not become "?"."""
    kind = type(error).__name__
    trace = "".join(traceback.format_exception(error, limit=-8))
    return Fault(kind, _plain(str(error)) or kind, _plain(trace[-4_000:]))


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _room_for(schedule: Schedule, share: Share | None, most: int) -> int:
    """How many iterations there may be at once with a share."""
    if share is None:
        return 1
    slots = max(1, schedule.slots(share))
    return slots if isinstance(schedule, Closed) else min(slots, most)
