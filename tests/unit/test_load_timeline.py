"""A workload along its time, and its table: nothing is lost, whatever the width of a point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.load import counts
from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.summary import changes, pairs, percentile, rows
from rackwright.core.load.timeline import MOST, row_start, timeline, width_for
from rackwright.core.load.track import recording
from tests.unit import load_runs

FEW = st.lists(st.lists(st.floats(0, 100), max_size=5), max_size=30)


def _second(at: int, values: list[float]) -> Second:
    part = Part()
    for value in values:
        load_runs.take(part, value, value, failed=value > 50)
    return Second(at=at, intended=len(values), started=len(values), in_flight=at, parts={WHOLE: part})


@given(FEW, st.integers(1, 12))
def test_every_iteration_is_in_one_point_and_in_one_row_of_the_heat_map(values: list[list[float]], most: int) -> None:
    seconds = [_second(at, those) for at, those in enumerate(values)]
    points = timeline(seconds, len(seconds), most)
    count = sum(map(len, values))
    assert len(points) <= most
    assert sum(point.done for point in points) == count
    assert sum(point.intended for point in points) == count
    assert sum(sum(point.heat.values()) for point in points) == count
    assert max((point.in_flight for point in points), default=0) == max(len(values) - 1, 0)


@given(FEW)
def test_one_point_for_all_has_the_quantiles_of_all(values: list[list[float]]) -> None:
    seconds = [_second(at, those) for at, those in enumerate(values)]
    everything = counts.of(value for those in values for value in those)
    if everything.buckets:
        [point] = timeline(seconds, len(seconds), 1)
        assert point.latency[0] == everything.quantile(0.5)
        assert point.latency[3] == everything.quantile(0.99)


def test_a_timeline_changes_none_of_the_seconds_it_read() -> None:
    seconds = load_runs.seconds(20, 1)
    before = [second.parts[WHOLE].total for second in seconds if WHOLE in second.parts]
    timeline(seconds, 20, 2)
    timeline(seconds, 20)
    assert [second.parts[WHOLE].total for second in seconds if WHOLE in second.parts] == before


def test_seconds_of_which_nothing_is_known_stand_as_idle_points() -> None:
    points = timeline([_second(1, [1.0]), _second(4, [1.0])], 5)
    assert [(point.at, point.done, point.latency == ()) for point in points] == [
        (0, 0, True),
        (1, 1, False),
        (2, 0, True),
        (3, 0, True),
        (4, 1, False),
    ]


@given(st.integers(0, 10_000_000))
def test_a_timeline_never_has_more_points_than_a_chart_takes(length: int) -> None:
    assert -(-length // width_for(length)) <= MOST


@given(st.floats(0, 1000))
def test_a_duration_lies_in_its_row_of_the_heat_map(value: float) -> None:
    [point] = timeline([_second(0, [value])], 1)
    [row] = point.heat
    assert row_start(row) <= value + 1e-9
    assert value <= row_start(row + 1) + 1e-9


@given(st.floats(1e-6, 1000))
def test_a_duration_lies_between_the_ends_of_its_bucket(value: float) -> None:
    number = counts.bucket(value)
    assert counts.lowest(number) <= value + 1e-9
    assert counts.lowest(number) <= counts.middle(number) <= counts.lowest(number + 1)


def test_the_table_has_the_iterations_both_ways_and_then_each_action() -> None:
    workload = load_runs.workload()
    table = rows(load_runs.track(workload))
    assert [(row.action, row.measure) for row in table] == [
        (WHOLE, "latency"),
        (WHOLE, "service"),
        ("GET /", "service"),
        (load_runs.SLOWEST, "service"),
    ]
    assert table[0].total == workload.whole[WHOLE].total == 40 * load_runs.RATE
    assert table[0].rate == pytest.approx(load_runs.RATE)
    assert table[1].mean == workload.whole[WHOLE].every.mean
    assert table[1].error_percent == pytest.approx(1.25)


def test_the_table_of_a_workload_that_still_runs_is_that_of_its_seconds() -> None:
    workload = load_runs.workload()
    over = rows(load_runs.track(workload))
    workload.whole, workload.load_duration = {}, 0.0
    assert rows(load_runs.track(workload)) == over


def test_a_workload_in_which_nothing_ended_has_a_table_of_zeros() -> None:
    workload = load_runs.workload()
    workload.whole, workload.seconds = {}, []
    assert {(row.total, row.high, row.mean) for row in rows(load_runs.track(workload))} == {(0, 0.0, None)}


def test_a_slower_run_is_told_as_worse_and_a_run_of_the_same_speed_as_the_same() -> None:
    before, after = load_runs.workload(stall=False), load_runs.workload(slow=2.0, stall=False)
    found = {
        (change.action, change.number): change for change in changes(load_runs.track(before), load_runs.track(after))
    }
    assert found[WHOLE, "latency p50"].direction == "worse"
    assert found[WHOLE, "latency p50"].percent == pytest.approx(100, abs=1)
    assert found[WHOLE, "rate"].direction == "same"
    assert {change.direction for change in changes(*[load_runs.track(after)] * 2)} == {"same"}


def test_less_of_what_is_good_is_worse() -> None:
    before, after = load_runs.workload(stall=False), load_runs.workload(stall=False)
    after.load_duration = 2 * before.load_duration
    found = {
        (change.action, change.number): change.direction
        for change in changes(load_runs.track(before), load_runs.track(after))
    }
    assert found[WHOLE, "rate"] == "worse"


def test_equal_workloads_of_one_run_find_their_own_counterparts() -> None:
    before, after = load_runs.run(workloads=2), load_runs.run(workloads=2)
    for run in (before, after):
        for workload in run.workloads:
            workload.name = "Shop"
    old = recording(before)
    assert [track for track, _ in pairs(old, recording(after))] == old.tracks


def test_a_workload_that_an_earlier_run_did_not_have_stands_alone() -> None:
    before, after = load_runs.run(), load_runs.run(workloads=2)
    assert [old is None for old, _ in pairs(recording(before), recording(after))] == [False, True]


@pytest.mark.parametrize(("part", "word"), [(0.5, "p50"), (0.999, "p99.9"), (0.9999, "p99.99")])
def test_percentiles_are_named_as_people_say_them(part: float, word: str) -> None:
    assert percentile(part) == word
