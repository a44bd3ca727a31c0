"""The terminal while a run goes on: right numbers, bounded memory, and lines where there is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.load.report.dashboard import LINE_EVERY, Dashboard, line, picture, spark
from rackwright.load.report.live import KEPT, LiveWorkload
from tests.unit import load_runs


class Clock:
    """Time that goes on only when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _drawn(workload: LiveWorkload, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(picture("The shop", workload))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _live(length: int = 40) -> LiveWorkload:
    result = load_runs.workload(length=length)
    workload = LiveWorkload("Shop", duration=80)
    for second in result.seconds:
        workload.take(second)
    workload.judgements = result.judgements
    return workload


def test_what_was_taken_second_by_second_is_the_whole() -> None:
    workload = _live()
    assert {name: part.total for name, part in workload.whole.items()} == {
        WHOLE: 4000,
        "GET /": 4000,
        load_runs.SLOWEST: 4000,
    }
    assert workload.whole[WHOLE].latency == load_runs.workload().whole[WHOLE].latency


def test_the_parts_of_a_second_come_one_by_one_and_late() -> None:
    workload = LiveWorkload("Shop")
    for at, total in ((0, 1), (1, 2), (0, 10), (5, 3), (1, 20)):
        workload.take(Second(at=at, parts={WHOLE: Part(total=total)}))
    assert [second.parts[WHOLE].total if second.parts else 0 for second in workload.history()] == [11, 22, 0, 0, 0, 3]


def test_only_the_newest_seconds_are_kept() -> None:
    workload = LiveWorkload("Shop")
    for at in range(10 * KEPT):
        workload.take(Second(at=at))
    workload.take(Second(at=3, missed=1))
    assert [second.at for second in workload.history()] == list(range(9 * KEPT, 10 * KEPT))
    assert workload.missed == 1


@pytest.mark.parametrize(
    ("duration", "iterations", "done"), [(80.0, None, 0.5), (None, 16_000, 0.25), (None, None, None), (10.0, None, 1.0)]
)
def test_how_far_it_is_goes_by_what_is_known(
    duration: float | None, iterations: int | None, done: float | None
) -> None:
    workload = LiveWorkload("Shop", duration=duration, iterations=iterations)
    workload.take(Second(at=39, parts={WHOLE: Part(total=4000)}))
    assert workload.done == done


def test_the_picture_tells_rate_tail_actions_and_verdicts() -> None:
    drawn = _drawn(_live())
    assert "The shop · Shop" in drawn
    assert "50 %" in drawn
    assert "100/s of 100/s intended" in drawn
    assert load_runs.SLOWEST in drawn
    assert "✘ broken failure_rate: 1.25 % failed, at most 0 % may" in drawn
    assert "✔ held   percentiles" in drawn


def test_the_picture_of_the_very_beginning_is_drawn_too() -> None:
    assert "0/s" in _drawn(LiveWorkload("Shop"))


def test_names_of_actions_are_no_markup() -> None:
    workload = LiveWorkload("[red]Shop")
    workload.take(Second(at=0, parts={"[/bold]": Part(total=1)}))
    assert "[red]Shop" in _drawn(workload)
    assert "[/bold]" in _drawn(workload)


def test_many_actions_leave_room_for_the_rest() -> None:
    workload = LiveWorkload("Shop")
    workload.take(Second(at=0, parts={f"action {n}": Part(total=1) for n in range(30)}))
    assert "and 20 more" in _drawn(workload)


def test_bars_grow_with_their_values() -> None:
    assert spark([0, 1, 2, 4, 8]) == "▁▂▃▅█"
    assert spark([0, 0]) == "▁▁"
    assert len(spark(range(10 * KEPT))) == KEPT


def test_one_line_tells_the_same_in_short() -> None:
    told = line(_live())
    assert told.startswith("Shop: 40 s, 4,000 iterations, 50 failed, p50 4.")
    assert told.endswith(", broken: failure_rate")


def test_without_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end() -> None:
    clock, file = Clock(), io.StringIO()
    with Dashboard("The shop", Console(file=file, width=200), clock) as dashboard:
        shop = dashboard.watcher()
        shop.begin("Shop", duration=40)
        for second in load_runs.seconds(40, 1):
            clock.now += 1
            shop.take(second)
        shop.end()
    lines = file.getvalue().splitlines()
    assert [told.split(",")[0] for told in lines] == [
        f"Shop: {at} s" for at in (*range(int(LINE_EVERY), 41, int(LINE_EVERY)), 40)
    ]
    assert "\x1b" not in file.getvalue()


def test_in_a_terminal_there_is_a_picture_and_in_the_end_one_line() -> None:
    clock, file = Clock(), io.StringIO()
    with Dashboard("The shop", Console(file=file, width=100, force_terminal=True), clock) as dashboard:
        shop = dashboard.watcher()
        shop.begin("Shop", duration=40)
        for second in load_runs.seconds(5, 1):
            clock.now += 1
            shop.take(second)
        shop.end()
    assert file.getvalue().count("latency p99") >= 6
    assert "Shop: 5 s, 500 iterations" in file.getvalue()


def test_what_comes_while_no_workload_runs_is_not_shown() -> None:
    file = io.StringIO()
    with Dashboard("The shop", Console(file=file), Clock()) as dashboard:
        shop = dashboard.watcher()
        shop.take(Second(at=0))
        shop.judge([])
        shop.end()
    assert file.getvalue() == ""


def test_workloads_that_run_at_the_same_time_are_told_apart() -> None:
    clock, file = Clock(), io.StringIO()
    with Dashboard("The shop", Console(file=file, width=200), clock) as dashboard:
        shop, store = dashboard.watcher(), dashboard.watcher()
        shop.begin("Shop")
        store.begin("Store")
        shop.take(Second(at=0, parts={WHOLE: Part(total=1)}))
        clock.now += LINE_EVERY
        store.take(Second(at=1, parts={WHOLE: Part(total=2)}))
        shop.end()
        store.end()
    lines = [told.split(" iterations")[0] for told in file.getvalue().splitlines()]
    assert lines == ["Shop: 1 s, 1", "Store: 2 s, 2"] * 2
