"""What a load promised, and whether it kept it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.errors import InvalidInput
from rackwright.core.load.result import WHOLE, Judgement, Part, Second
from rackwright.core.load.sla.criterion import Criterion
from rackwright.core.load.sla.judging import Live, judge
from rackwright.core.load.sla.own import ErrorBudget, MaxMissedStarts, Percentile, Throughput
from rackwright.core.load.sla.proof import bounds
from rackwright.core.load.sla.rally import (
    FailureRate,
    MaxAverage,
    MaxAveragePerAtomic,
    MaxSeconds,
    Outliers,
    PerformanceDegradation,
)

Ended = tuple[float, float, bool]
"""When it ended, how long it took, whether it failed."""


def seconds_of(ended: Iterable[Ended], action: str = WHOLE) -> list[Second]:
    seconds: dict[int, Second] = {}
    for at, took, failed in ended:
        second = seconds.setdefault(int(at), Second(at=int(at)))
        second.parts.setdefault(action, Part()).add(took * 1.5, took, failed=failed)
        second.intended += 1
        second.started += 1
        second.missed += took > 4
    return [seconds[at] for at in sorted(seconds)]


def verdict(kind: type[Criterion], config: Any, ended: Iterable[Ended], **given: Any) -> Judgement:
    (judgement,) = judge(kind.read(config), seconds_of(ended, **given))
    return judgement


def took(*durations: float, failed: Iterable[int] = ()) -> list[Ended]:
    """Ten a second."""
    bad = set(failed)
    return [(number / 10, duration, number in bad) for number, duration in enumerate(durations)]


EVERY: list[tuple[type[Criterion], list[Any]]] = [
    (FailureRate, [{"max": 20}, {"min": 10, "max": 60}, {"max": 30, "window": 2}, {"min": 10, "window": 2}]),
    (MaxSeconds, [3, {"max": 3, "window": 1, "action": "login"}]),
    (MaxAverage, [1.5, {"max": 2, "window": 3}]),
    (MaxAveragePerAtomic, [{"login": 1.5, "never": 1}]),
    (Outliers, [{"max": 2}, {"max": 1, "sigmas": 1, "min_iterations": 5}]),
    (PerformanceDegradation, [{"max_degradation": 400}, {"max_degradation": 300, "window": 2}]),
    (Percentile, [{"p50": 1, "p99": 4}, {"p90": 2, "of": "service", "window": 2, "min_samples": 3}]),
    (Throughput, [{"min": 5}, {"min": 3, "of": "good", "window": 2, "after": 1}]),
    (ErrorBudget, [{"errors": 5}, {"objective": 90}]),
    (MaxMissedStarts, [2, {"percent": 10, "window": 2}]),
]
CRITERIA = [criterion for kind, configs in EVERY for config in configs for criterion in kind.read(config)]


@st.composite
def streams(draw: st.DrawFn) -> list[Ended]:
    dice = random.Random(draw(st.integers(0, 10**6)))
    amount, length = draw(st.integers(0, 150)), draw(st.integers(1, 8))
    return [(dice.uniform(0, length), round(dice.expovariate(1), 3), dice.random() < 0.1) for _ in range(amount)]


@settings(max_examples=60, deadline=None)
@given(streams(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_division_of_any_stream_is_judged_as_one_process_would(
    stream: list[Ended], processes: int, dice: random.Random
) -> None:
    parts: list[list[Ended]] = [[] for _ in range(processes)]
    for ended in stream:
        dice.choice(parts).append(ended)
    both = [(part, action) for part in parts for action in (WHOLE, "login")]
    dice.shuffle(both)
    merged: dict[int, Second] = {}
    for part, action in both:
        dice.shuffle(part)
        for second in seconds_of(part, action):
            merged.setdefault(second.at, Second(at=second.at)).merge(second)
    single: dict[int, Second] = {}
    for action in (WHOLE, "login"):
        for second in seconds_of(sorted(stream), action):
            single.setdefault(second.at, Second(at=second.at)).merge(second)
    divided, whole = (judge(CRITERIA, [found[at] for at in sorted(found)]) for found in (merged, single))
    assert [(j.success, j.broken, j.action) for j in divided] == [(j.success, j.broken, j.action) for j in whole]


@settings(max_examples=40, deadline=None)
@given(streams())
def test_live_and_afterwards_agree_on_what_is_broken(stream: list[Ended]) -> None:
    seconds = seconds_of(stream)
    criteria = [criterion for criterion in CRITERIA if not isinstance(criterion, Throughput)]
    live, broken = Live(criteria), dict[int, set[int]]()
    following = 0
    for second in seconds:
        for at in range(following, second.at + 1):
            found = live.take(second if at == second.at else Second(at=at))
            for criterion in found:
                broken.setdefault(criteria.index(criterion), set()).add(at)
        following = second.at + 1
    for number, judgement in enumerate(judge(criteria, seconds)):
        told = {
            at for begin, end in judgement.broken for at in range(int(begin), following if end is None else int(end))
        }
        assert broken.get(number, set()) <= told
        assert judgement.success or told


@settings(max_examples=40, deadline=None)
@given(streams())
def test_rallys_criteria_are_their_formulas(stream: list[Ended]) -> None:
    good = [duration for _, duration, failed in stream if not failed]
    every = [duration for _, duration, _ in stream]
    rate = 100 * (len(every) - len(good)) / len(every) if every else 0
    assert verdict(FailureRate, {"max": 10}, stream).success == (rate <= 10)
    assert verdict(MaxSeconds, 3, stream).success == (max(every, default=0) <= 3)
    mean = sum(good) / len(good) if good else 0
    assert verdict(MaxAverage, 1, stream).success == (mean <= 1 or math.isclose(mean, 1))
    fastest, slowest = min(good, default=1.0), max(good, default=1.0)
    steady = slowest <= 4 * fastest * (1 + 1e-9)
    assert verdict(PerformanceDegradation, {"max_degradation": 300}, stream).success == steady


def test_an_atomic_action_that_never_came_does_not_break_its_limit() -> None:
    login, logout = judge(MaxAveragePerAtomic.read({"login": 1, "logout": 1}), seconds_of(took(2, 2), "login"))
    assert (login.success, login.action) == (False, "login")
    assert (logout.success, logout.action) == (True, "logout")


def test_outliers_stand_out_from_the_seconds_before_theirs() -> None:
    steady = [1.0, 1.1] * 10
    assert verdict(Outliers, {"max": 0}, took(*steady)).success
    late = took(*steady, 9.0, 1.0, 9.0)
    assert verdict(Outliers, {"max": 1}, late).detail.startswith("2 outliers")
    assert verdict(Outliers, {"max": 0}, took(*steady, 9.0, failed=[20])).success
    assert verdict(Outliers, {"max": 0}, took(9.0, *steady)).success


def test_a_failure_rate_that_must_be_reached_is_judged_at_the_end() -> None:
    (criterion,) = FailureRate.read({"min": 10})
    live = Live([criterion])
    seconds = seconds_of(took(*[1] * 20, failed=[12, 14]))
    assert [live.take(second) for second in seconds] == [[], []]
    assert judge([criterion], seconds)[0].success
    assert judge([criterion], seconds[:1])[0].broken == [(0, None)]


def test_a_window_names_the_second_it_broke_and_the_one_it_recovered() -> None:
    judgement = verdict(FailureRate, {"max": 10, "window": 1}, took(*[1] * 60, failed=range(20, 40)))
    assert not judgement.success
    assert judgement.broken == [(2, 4)]
    assert judgement.detail == "100 % at worst, at most 10 % over every 1 s"


def test_seconds_in_which_nothing_ends_break_the_throughput_and_leave_the_rest_as_it_was() -> None:
    quiet = [ended for ended in took(*[1] * 60, failed=range(10, 20)) if not 2 <= ended[0] < 4]
    assert verdict(Throughput, {"min": 10, "window": 1}, quiet).broken == [(2, 4)]
    assert verdict(FailureRate, {"max": 10, "window": 1}, quiet).broken == [(1, 4)]


def test_the_throughput_of_the_time_after_the_last_start_is_not_judged() -> None:
    seconds = seconds_of(took(*[1] * 30))
    late = Second(at=4)
    late.parts[WHOLE] = Part()
    late.parts[WHOLE].add(3, 3)
    for config in ({"min": 10}, {"min": 10, "window": 1}):
        assert judge(Throughput.read(config), [*seconds, late], until=3.0)[0].success
        assert judge(Throughput.read(config), [*seconds, late])[0].success


def test_a_run_shorter_than_a_window_is_judged_whole() -> None:
    assert not verdict(Throughput, {"min": 11, "window": 60}, took(*[1] * 30)).success


def test_too_few_samples_are_not_judged() -> None:
    judgement = verdict(FailureRate, {"max": 1, "min_samples": 10}, took(1, failed=[0]))
    assert judgement.success
    assert judgement.detail.startswith("not judged")


def test_the_seconds_before_after_do_not_count() -> None:
    warm = took(*[9] * 10, *[1] * 20)
    assert not verdict(Percentile, {"p99": 2}, warm).success
    assert verdict(Percentile, {"p99": 2, "after": 1}, warm).success


def test_percentiles_are_of_latency_unless_told() -> None:
    criteria = Percentile.read([{"p50": 1.2, "p99.9": 5}, {"p50": 1.2, "of": "service"}])
    assert [j.success for j in judge(criteria, seconds_of(took(*[1] * 20)))] == [False, True, True]


def test_a_budget_of_errors_comes_of_the_number_planned() -> None:
    ended = took(*[1] * 20, failed=range(3))
    objective = ErrorBudget.read({"objective": 90})
    assert [judge([c.with_plan(plan) for c in objective], seconds_of(ended))[0].success for plan in (None, 20, 30)] == [
        False,
        False,
        True,
    ]


def test_one_process_proves_what_needs_no_others() -> None:
    criteria = [
        *MaxSeconds.read([4, {"max": 2, "action": "login"}, {"max": 1, "after": 3}]),
        *FailureRate.read({"max": 10}),
        *ErrorBudget.read({"errors": 30}),
        *MaxMissedStarts.read(7),
        *MaxAverage.read(1),
    ]
    known, unknown = bounds(criteria, 200), bounds(criteria, None)
    assert known.seconds == pytest.approx(4)
    assert known.actions == {"login": pytest.approx(2)}
    assert (known.errors, known.missed, unknown.errors) == (pytest.approx(20), 7, 30)


@settings(max_examples=40, deadline=None)
@given(streams())
def test_what_one_process_proves_the_whole_run_confirms(stream: list[Ended]) -> None:
    criteria = [*MaxSeconds.read(3), *FailureRate.read({"max": 10}), *MaxMissedStarts.read(2)]
    alone, planned = stream[::2], len(stream)
    bound = bounds(criteria, planned)
    slow, failing, missing = (judgement.success for judgement in judge(criteria, seconds_of(stream)))
    if any(duration > bound.seconds for _, duration, _ in alone):
        assert not slow
    if sum(failed for _, _, failed in alone) > bound.errors:
        assert not failing
    if sum(duration > 4 for _, duration, _ in alone) > bound.missed:
        assert not missing


@pytest.mark.parametrize(
    ("kind", "config", "fault"),
    [
        (FailureRate, {}, "neither min nor max"),
        (FailureRate, {"max": 101}, "<= 100"),
        (FailureRate, 5, "Expected a mapping"),
        (MaxSeconds, 0, "> 0"),
        (MaxSeconds, {"max": 1, "windw": 2}, "windw"),
        (Outliers, {"window": 3}, "has no window"),
        (Percentile, {"pp": 1}, "no percentile is called pp"),
        (Percentile, {"window": 1}, "no percentile is given"),
        (ErrorBudget, {}, "neither or both"),
        (MaxMissedStarts, {"max": 1, "percent": 2}, "neither or both"),
        (Throughput, {"min": 1, "on_violation": "cry"}, "cry"),
    ],
)
def test_settings_that_make_no_promise_are_refused(kind: type[Criterion], config: Any, fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        kind.read(config)


def test_the_worst_window_is_told_also_when_all_held() -> None:
    stream = [ended for ended in took(*[1] * 40) if ended[0] not in (1.0, 1.1)]
    assert verdict(Throughput, {"min": 5, "window": 1}, stream).detail.startswith("8 /s at worst, at least 5 /s")
    assert verdict(Throughput, {"min": 9, "window": 1}, stream).detail.startswith("8 /s at worst, at least 9 /s")
