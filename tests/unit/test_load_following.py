"""What a page makes of the lines of a load, and how promises stand while it goes on."""

from __future__ import annotations

import pytest

from rackwright.core.load import lines
from rackwright.core.load.lines import Begun, Judged, Numbers, Over, Passed, Told
from rackwright.core.load.result import WHOLE, Health, Part, Second
from rackwright.core.load.sla.judging import Live
from rackwright.core.load.sla.own import Percentile
from rackwright.core.load.sla.rally import FailureRate
from rackwright.core.load.timeline import MOST
from rackwright.load.report.following import Following
from rackwright.load.report.page import picture

NAMES = ("p50", "p90", "p95", "p99", "p99.9")


def passed(at: int, *, total: int = 10, errors: int = 0, slowest: float = 0.1, workload: int = 0) -> Passed:
    """A second of a load."""
    latency = dict.fromkeys(NAMES, slowest) if total else {}
    whole = Numbers(total=total, errors=errors, latency=latency, service_mean=0.1)
    return Passed(
        workload=workload,
        at=at,
        intended=10,
        started=10,
        missed=1,
        in_flight=at % 7,
        lag_p99=0.001,
        actions={"iterations": whole},
        cpu=0.5,
    )


def followed(*told: lines.Line) -> Following:
    """A load that has told this."""
    load = Following()
    for line in told:
        load.take(line)
    return load


@pytest.mark.parametrize("seconds", [1, MOST, MOST + 1, 3_000])
def test_a_load_of_any_length_is_drawn_in_so_many_points_and_none_of_it_is_lost(seconds: int) -> None:
    peak = seconds // 2
    load = followed(*(passed(at, errors=1, slowest=9.0 if at == peak else 0.1) for at in range(seconds)))
    workload = load.workloads[0]
    rate, errors, latency, *_ = workload.drawings
    times, values = rate.values["lines"][2]["times"], rate.values["lines"][2]["values"]
    assert len(times) <= MOST
    assert times == sorted(times)
    assert values == pytest.approx([10] * len(values), rel=0.6)
    assert max(latency.values["lines"][2]["values"]) == 9.0
    assert (workload.total, workload.errors, workload.missed) == (10 * seconds, seconds, seconds)
    assert errors.values["length"] == max(seconds, 10)


def test_seconds_that_are_missing_or_empty_leave_gaps() -> None:
    workload = followed(passed(0), passed(1, total=0), passed(5)).workloads[0]
    latency = workload.drawings[2].values["lines"][0]
    assert list(zip(latency["times"], latency["values"], strict=True)) == [(0.5, 0.1), (1.5, None), (5.5, 0.1)]
    assert workload.elapsed == 6


def test_how_far_it_is_goes_by_iterations_by_time_or_is_not_known() -> None:
    begun = Begun(workload=0, name="w", scenario="w")
    assert followed(begun, passed(0)).workloads[0].done is None
    begun.duration = 20
    assert followed(begun, passed(9)).workloads[0].done == 0.5
    begun.iterations = 40
    assert followed(begun, passed(9)).workloads[0].done == 0.25
    end = Over(workload=0, success=True, notes=[], total=10, errors=0, latency={}, service_mean=0.1)
    assert followed(begun, passed(9), end).workloads[0].done == 1.0


def test_the_picture_names_workloads_promises_and_the_generators_that_were_lost() -> None:
    health = [Health(name=f"agent-{number}", host="h") for number in range(300)]
    health[-1].lost_at = 2.0
    live = Live(FailureRate.read({"max": 10}))
    live.take(Second(at=0, parts={WHOLE: Part(total=10, errors=5)}))
    load = followed(passed(0), passed(0, workload=1), lines.standing(0, live.standing(), health))
    shown = picture(load)
    assert shown.count("<article") == 2
    assert "Broken so far" in shown
    assert "100 of 300, those that were lost first." in shown
    assert shown.index("agent-299") < shown.index("agent-0<")
    assert "agent-150" not in shown


def test_the_last_line_and_verdicts_change_no_workload() -> None:
    load = followed(
        Judged(workload=3, criterion="c", success=False, detail="d"),
        Told(run="r", status="finished", success=True, folder="/f"),
    )
    assert load.workloads == {}
    assert load.told is not None


def second(at: int, errors: int) -> Second:
    """Ten iterations, some of which failed."""
    part = Part()
    for number in range(10):
        part.add(0.1, 0.1, failed=number < errors)
    return Second(at=at, parts={WHOLE: part}, intended=10, started=10)


def test_a_promise_over_windows_that_broke_once_stays_broken_and_says_when() -> None:
    live = Live(FailureRate.read({"max": 10, "window": 1}))
    turns = []
    for at, errors in enumerate([0, 5, 0, 0]):
        live.take(second(at, errors))
        turns.append(live.turns)
    (standing,) = live.standing()
    assert turns == [0, 1, 2, 2]
    assert (standing.success, standing.broken) == (False, [(1.0, 2.0)])
    assert "50 % at worst" in standing.detail


def test_a_promise_over_the_whole_run_may_come_right_again() -> None:
    live = Live(FailureRate.read({"max": 10}))
    seen = []
    for at, errors in enumerate([2, 0, 0]):
        live.take(second(at, errors))
        seen.append(live.standing()[0].success)
    assert seen == [False, True, True]


def test_a_promise_of_which_nothing_can_be_said_yet_holds() -> None:
    (standing,) = Live(Percentile.read({"p99": 0.01, "min_samples": 100})).standing()
    assert standing.success
    assert "not judged" in standing.detail
