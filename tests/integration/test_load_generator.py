"""One load process's share, carried out within the test."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rackwright.core.load.course import Deal, starts
from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.schedule import Closed, Open, Schedule, Share, Stage
from rackwright.core.load.sla.proof import Bounds
from rackwright.core.load.triggers import Watch
from rackwright.load import chunks, generator
from rackwright.load.alarm import Alarm
from rackwright.load.generator import Generator
from rackwright.load.http import Http
from rackwright.load.scenario import BlockingScenario, Scenario, Surroundings, clock
from rackwright.load.words import Ended, Held, Report, Started, Told, Turn, Work, pack


class Quick(Scenario):
    async def run(self) -> None:
        with self.atomic("outer"), self.atomic("inner"):
            await self.sleep(0)


class Slow(Scenario):
    async def run(self, seconds: float) -> None:
        await self.sleep(seconds)


class Failing(Scenario):
    async def run(self) -> None:
        raise ValueError(f"iteration {self.iteration}")


class Quitting(Scenario):
    async def run(self) -> None:
        raise SystemExit(3)


class Unmakeable(Scenario):
    def __init__(self, iteration: int, surroundings: Surroundings) -> None:
        raise RuntimeError("cannot be made")

    async def run(self) -> None:
        pass


class Stubborn(Scenario):
    released = False

    async def run(self) -> None:
        while not Stubborn.released:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue


class Strange(Scenario):
    async def run(self) -> None:
        raise OSError(f"no such file: {os.fsdecode(bytes([0xFF]))}")


class Adding(Scenario):
    async def run(self) -> None:
        self.add_output(additive=object())


class Lingering(Scenario):
    async def run(self) -> None:
        try:
            await self.sleep(600 if self.iteration == 1 else 1.4)
        except asyncio.CancelledError:
            await self.sleep(600)


class Meeting(BlockingScenario):
    """Waits until eight are there."""

    there = threading.Barrier(8, timeout=30)

    def run(self) -> None:
        with self.atomic("wait"):
            self.there.wait()
            self.wait(0.01)


class Hogging(Scenario):
    async def run(self) -> None:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            pass


ALL, NO_BOUNDS, NOTHING = Share(), Bounds(), Watch()


class Done:
    """What was told of a load."""

    def __init__(self, told: list[Told]) -> None:
        self.told = told
        self.whole = Second(at=0)
        self.kinds: dict[str, int] = {}
        for word in told:
            if isinstance(word, Report):
                for second in word.seconds:
                    self.whole.merge(second)
                for sample in word.samples:
                    self.kinds[sample.kind] = self.kinds.get(sample.kind, 0) + sample.count
        self.part = self.whole.parts.get(WHOLE, Part())
        last = told[-1]
        assert isinstance(last, Ended)
        self.ended = last


async def load(
    scenario: type[Scenario],
    schedule: Schedule,
    *,
    stop_after: float | None = None,
    cancel: bool = False,
    hear: Callable[[Generator, Told], None] = lambda generator, word: None,
    rows: chunks.Writer | None = None,
    share: Share = ALL,
    bounds: Bounds = NO_BOUNDS,
    watch: Watch = NOTHING,
    **args: float,
) -> Done:
    told: list[Told] = []
    work = Work(scenario="", args=args, schedule=schedule, bounds=bounds, watch=watch, interval=0.1)

    def tell(word: Told) -> None:
        told.append(word)
        hear(running, word)

    running = Generator(work, scenario, Surroundings(Http()), tell, clock(), rows, [Deal(0.0, share)])
    if stop_after is not None:
        asyncio.get_running_loop().call_later(stop_after, lambda: running.stop(cancel=cancel))
    async with asyncio.timeout(60):
        await running.run()
    return Done(told)


def can_be_told(running: Generator, word: Told) -> None:
    pack(word)


async def test_every_iteration_of_a_closed_schedule_runs_once() -> None:
    done = await load(Quick, Closed(times=500, concurrency=7))
    assert (done.part.total, done.part.errors, done.whole.started, done.whole.intended) == (500, 0, 500, 500)
    assert {name: part.total for name, part in done.whole.parts.items()} == {
        WHOLE: 500,
        "outer": 500,
        "outer/inner": 500,
    }


async def test_shares_carry_out_the_whole_between_them(tmp_path: Path) -> None:
    numbers: list[int] = []
    for index in range(3):
        rows = chunks.Writer(tmp_path / str(index))
        await load(Quick, Closed(times=100, concurrency=10), share=Share(index, 3), rows=rows)
        numbers += [number for columns in chunks.read(tmp_path / str(index)) for number in columns.number]
    assert sorted(numbers) == list(range(1, 101))


async def test_an_open_schedule_is_kept_whatever_iterations_take() -> None:
    done = await load(Slow, Open(stages=(Stage(1.0, 100.0),)), seconds=0.5)
    assert (done.whole.intended, done.whole.started, done.part.total) == (100, 100, 100)
    assert done.part.service.quantile(0.0) >= 0.49


async def test_latency_counts_from_the_intended_start_when_there_is_no_room() -> None:
    done = await load(Slow, Open(stages=(Stage(0.5, 20.0),), max_in_flight=1, max_lag=0.25), seconds=0.1)
    assert done.part.total == 10
    assert done.part.latency.quantile(1.0) > 0.45
    assert done.part.service.quantile(0.5) < 0.3
    assert done.whole.missed >= 1
    assert done.whole.lag.quantile(1.0) > 0.25


async def test_starts_that_never_took_place_are_missed() -> None:
    done = await load(
        Slow, Open(stages=(Stage(60.0, 100.0),), max_in_flight=1), stop_after=0.5, cancel=True, seconds=60
    )
    assert done.ended.never_started >= 10
    assert done.whole.missed >= done.ended.never_started
    assert done.whole.intended >= done.whole.started + done.ended.never_started


@pytest.mark.parametrize(
    ("scenario", "kind"), [(Failing, "ValueError"), (Quitting, "SystemExit"), (Unmakeable, "RuntimeError")]
)
async def test_an_iteration_that_fails_is_counted_and_the_load_goes_on(scenario: type[Scenario], kind: str) -> None:
    done = await load(scenario, Closed(times=20, concurrency=2))
    assert (done.part.total, done.part.errors, done.part.failed.total) == (20, 20, 20)
    assert done.kinds == {kind: 20}


async def test_an_iteration_is_cut_off_at_its_timeout() -> None:
    done = await load(Slow, Closed(times=4, concurrency=2, timeout=0.2), seconds=60)
    assert done.kinds == {"TimeoutError": 4}
    assert done.part.service.quantile(1.0) < 10


async def test_a_scenario_that_would_not_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "PATIENCE", 0.2)
    told: list[Told] = []
    work = Work(scenario="", schedule=Closed(times=2, concurrency=2))
    running = Generator(work, Stubborn, Surroundings(Http()), told.append, clock())
    asyncio.get_running_loop().call_later(0.1, lambda: running.stop(cancel=True))
    monkeypatch.setattr(Stubborn, "released", False)
    async with asyncio.timeout(60):
        await running.run()
    assert told[-1] == Ended(left=2)
    # They end when the test's loop cancels them.
    Stubborn.released = True


@pytest.mark.parametrize(
    "schedule", [Closed(times=3, concurrency=3), Closed(duration=0.5, concurrency=3), Open(stages=(Stage(0.5, 6.0),))]
)
async def test_iterations_that_never_end_fail_with_words_some_time_after_the_last_start(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "GRACE", 1.0)
    done = await load(Slow, schedule, seconds=600)
    assert (done.part.total, done.part.errors, done.ended.left) == (3, 3, 0)
    (sample,) = [sample for word in done.told if isinstance(word, Report) for sample in word.samples]
    assert sample.message == "not done 1 s after the last one was started"


@pytest.mark.parametrize(
    "schedule",
    [
        Closed(times=100, concurrency=2),
        Closed(duration=600.0, concurrency=2),
        Open(stages=(Stage(600.0, 50.0),), max_in_flight=2),
    ],
)
async def test_a_load_in_which_nothing_goes_on_is_ended_with_the_reason(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "GRACE", 0.5)
    done = await load(Slow, schedule, seconds=600)
    assert (done.part.total, done.part.errors, done.ended.left) == (2, 2, 0)
    assert done.ended.stuck == "2 iterations, as many as may run at once, did not end for 0.5 s"
    assert done.kinds == {"TimeoutError": 2}


async def test_slots_whose_iterations_cannot_even_be_cancelled_end_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "PATIENCE", 0.3)
    monkeypatch.setattr(Stubborn, "released", False)
    done = await load(Stubborn, Closed(times=100, concurrency=3, timeout=0.2))
    assert done.ended.left == 3
    assert done.ended.stuck.startswith("3 iterations, as many as may run at once")
    # They end when the test's loop cancels them.
    Stubborn.released = True


async def test_a_load_that_is_slow_but_goes_on_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "GRACE", 2.0)
    done = await load(Slow, Closed(times=4, concurrency=1), seconds=0.8)
    assert (done.part.total, done.part.errors, done.ended.stuck) == (4, 0, "")


@pytest.mark.parametrize("schedule", [Closed(times=400, concurrency=2), Open(stages=(Stage(1.0, 200.0),))])
async def test_nothing_is_started_while_the_share_is_not_surely_its_own(schedule: Schedule) -> None:
    began: list[int] = []

    def hear(running: Generator, word: Told) -> None:
        if isinstance(word, Started):
            began.append(word.number)
            if word.number == 100:
                running.lend(0.0)
                asyncio.get_running_loop().call_later(0.5, pause.append, len(began))
                asyncio.get_running_loop().call_later(0.5, running.lend, math.inf)

    pause: list[int] = []
    done = await load(Quick, schedule, hear=hear, watch=Watch(periods=((1, 0, 1),)))
    assert pause[0] <= 102
    assert sorted(began) == list(range(1, len(began) + 1))
    assert done.part.total == done.whole.started == schedule.planned


async def test_a_share_is_kept_until_its_limit_and_the_next_one_holds_from_the_place_that_is_told() -> None:
    told: list[Told] = []
    schedule = Open(stages=(Stage(2.0, 100.0),))
    work = Work(scenario="", schedule=schedule, watch=Watch(periods=((1, 0, 1),)), until=2.0)
    running = Generator(work, Quick, Surroundings(Http()), told.append, clock(), deals=[Deal(0.0, Share(0, 2))])
    ending = asyncio.create_task(running.run())
    await asyncio.sleep(0.3)
    running.turn(Turn(1, Share(0, 3), 0.2))
    (held,) = [word for word in told if isinstance(word, Held)]
    await asyncio.sleep(0.6)
    last = max(word.number for word in told if isinstance(word, Started))
    assert (last - 1) / 100.0 < held.limit
    # The word comes long after the limit: nothing is lost, nothing is done twice.
    running.settle(1, held.limit + 0.1)
    await ending
    numbers = [word.number for word in told if isinstance(word, Started)]
    expected = [Deal(0.0, Share(0, 2)), Deal(held.limit + 0.1, Share(0, 3))]
    assert numbers == [number for number, _ in starts(schedule, expected)]


async def test_slots_that_are_dealt_away_end_and_slots_that_come_are_filled() -> None:
    told: list[Told] = []
    work = Work(scenario="", args={"seconds": 0.05}, schedule=Closed(times=400, concurrency=8), interval=0.05)
    running = Generator(work, Slow, Surroundings(Http()), told.append, clock(), deals=[Deal(0.0, Share(0, 2))])
    ending = asyncio.create_task(running.run())
    slots = []
    for turn, share in enumerate((Share(0, 4), Share()), 1):
        await asyncio.sleep(0.2)
        running.turn(Turn(turn, share, 0.1))
        held = [word for word in told if isinstance(word, Held)][-1]
        running.settle(turn, held.limit)
        await asyncio.sleep(0.8)
        slots.append(running.running)
    await ending
    assert slots == [2, 8]
    assert isinstance(told[-1], Ended)


async def test_one_iteration_that_is_cut_off_does_not_shorten_the_time_of_the_last_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generator, "PATIENCE", 0.1)
    done = await load(Lingering, Open(stages=(Stage(2.0, 1.0),), timeout=2.0))
    assert (done.part.total, done.part.errors, done.ended.left) == (1, 0, 1)


async def test_a_scenario_that_keeps_too_much_memory_ends_the_load_with_the_reason() -> None:
    told: list[Told] = []
    work = Work(scenario="", schedule=Closed(times=None, duration=600), most_memory=1 << 20, interval=0.05)
    async with asyncio.timeout(60):
        await Generator(work, Quick, Surroundings(Http()), told.append, clock()).run()
    last = told[-1]
    assert isinstance(last, Ended)
    assert "1 MiB are allowed: its scenario keeps too much" in last.fault


async def test_scenarios_that_block_run_in_threads_side_by_side() -> None:
    done = await load(Meeting, Closed(times=8, concurrency=8))
    assert (done.part.total, done.part.errors, done.whole.parts["wait"].total) == (8, 0, 8)


async def test_a_scenario_that_hogs_the_loop_shows_as_lag() -> None:
    done = await load(Hogging, Open(stages=(Stage(0.5, 20.0),)))
    assert done.part.total == 10
    assert done.whole.missed >= 5


async def test_a_stopped_load_starts_no_more_and_what_runs_may_end() -> None:
    done = await load(Slow, Closed(concurrency=3, duration=60.0), stop_after=0.1, seconds=0.4)
    assert (done.part.total, done.part.errors) == (3, 0)


async def test_watched_iterations_are_told_with_their_numbers() -> None:
    done = await load(Quick, Closed(times=20), watch=Watch(frozenset({3}), ((10, 0, 5),)))
    assert [word.number for word in done.told if isinstance(word, Started)] == [3, 10, 15, 20]


@pytest.mark.parametrize(
    ("scenario", "bounds", "words"),
    [
        (Quick, Bounds(seconds=0.0), "an iteration took"),
        (Failing, Bounds(errors=5), "iterations failed, 5 may"),
        (Quick, Bounds(actions={"outer": 0.0}), "outer took"),
    ],
)
async def test_what_one_process_can_prove_is_told_at_once(scenario: type[Scenario], bounds: Bounds, words: str) -> None:
    def stop(running: Generator, word: Told) -> None:
        if isinstance(word, Report) and word.proven:
            running.stop()

    done = await load(scenario, Closed(concurrency=2, duration=60.0), bounds=bounds, hear=stop)
    proofs = [word.proven for word in done.told if isinstance(word, Report) and word.proven]
    assert words in proofs[0]


async def test_raw_rows_are_kept_in_order_and_within_their_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "ROWS", 50)
    await load(Quick, Closed(times=120, concurrency=4), rows=chunks.Writer(tmp_path / "all"))
    read = list(chunks.read(tmp_path / "all"))
    assert [len(columns.number) for columns in read] == [50, 50, 20]
    ends = [end for columns in read for end in columns.ended]
    assert ends == sorted(ends)
    assert read[0].actions[0][0][0] == "outer/inner"
    done = await load(Quick, Closed(times=120), rows=chunks.Writer(tmp_path / "few", most_bytes=100))
    assert done.ended.dropped_rows == 120
    assert done.part.total == 120


async def test_rows_that_cannot_be_written_are_dropped_and_the_load_is_counted_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "ROWS", 50)
    done = await load(Adding, Closed(times=120), rows=chunks.Writer(tmp_path / "foreign"))
    assert (done.part.total, done.ended.dropped_rows, done.ended.fault) == (120, 120, "")
    (tmp_path / "file").touch()
    done = await load(Quick, Closed(times=120), rows=chunks.Writer(tmp_path / "file" / "rows"))
    assert (done.part.total, done.ended.dropped_rows, done.ended.fault) == (120, 120, "")


async def test_words_of_errors_that_are_no_utf8_are_told_all_the_same(tmp_path: Path) -> None:
    done = await load(Strange, Closed(times=3), rows=chunks.Writer(tmp_path), hear=can_be_told)
    assert done.kinds == {"OSError": 3}
    (columns,) = chunks.read(tmp_path)
    assert columns.messages == ["no such file: ?"] * 3


async def test_a_load_that_cannot_be_counted_ends_with_the_reason() -> None:
    broken: list[Told] = []

    def hear(running: Generator, word: Told) -> None:
        if not broken:
            broken.append(word)
            raise ValueError("this cannot be told")

    done = await load(Slow, Closed(times=1), hear=hear, seconds=600)
    assert "what was done could not be counted" in done.ended.fault
    assert "this cannot be told" in done.ended.fault


async def test_an_alarm_rings_at_its_moment_and_not_before() -> None:
    alarm = Alarm()
    try:
        for wait in (0.0, 0.0003, 0.01):
            moment = time.monotonic() + wait
            await alarm.until(moment)
            assert time.monotonic() >= moment - 2e-5
    finally:
        alarm.close()
