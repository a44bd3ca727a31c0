"""When iterations start: the right rate at every moment, and the same whole however it is divided."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice, pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.errors import InvalidInput
from rackwright.core.load.knee import FindKnee, Trial, highest
from rackwright.core.load.runners import Arrival, Constant, ConstantForDuration, Ramp, Rps, Runner, Serial
from rackwright.core.load.schedule import Closed, Open, Share, Stage

rates = st.floats(0.1, 20)
stages = st.lists(st.builds(Stage, st.floats(0.1, 3), rates, st.none() | rates), min_size=1, max_size=3).map(tuple)
opens = st.builds(
    Open,
    stages=stages,
    times=st.none() | st.integers(1, 200),
    spread=st.sampled_from(["even", "poisson"]),
    seed=st.integers(0, 9),
)
closeds = st.builds(Closed, concurrency=st.integers(1, 9), times=st.integers(0, 60))


def made(kind: type[Runner], config: object) -> Runner:
    return msgspec.convert(config, kind)


def per_second(schedule: object, seconds: int) -> list[int]:
    assert isinstance(schedule, Open)
    starts = (at for _, at in schedule.starts())
    counted: Counter[int] = Counter()
    for at in starts:
        if at >= seconds:
            break
        counted[int(at + 1e-9)] += 1
    return [counted[second] for second in range(seconds)]


@settings(max_examples=40, deadline=None)
@given(opens, st.integers(1, 5), st.integers(1, 4))
def test_the_shares_of_processes_and_agents_are_the_whole_schedule(schedule: Open, agents: int, processes: int) -> None:
    whole = list(schedule.starts())
    shares = [share for agent in Share().split(agents) for share in agent.split(processes)]
    assert sorted(start for share in shares for start in schedule.starts(share)) == whole
    assert [number for number, _ in whole] == list(range(1, len(whole) + 1))
    assert schedule.planned == len(whole)


@settings(max_examples=40, deadline=None)
@given(opens)
def test_starts_are_in_order_and_within_the_stages(schedule: Open) -> None:
    times = [at for _, at in schedule.starts()]
    assert all(before <= after + 1e-9 for before, after in pairwise(times))
    assert all(0 <= at <= schedule.length + 1e-6 for at in times)


@settings(max_examples=40, deadline=None)
@given(opens, st.floats(0, 10))
def test_an_heir_takes_up_a_share_where_the_lost_one_stopped(schedule: Open, moment: float) -> None:
    done = [start for start in schedule.starts() if start[1] < moment]
    heirs = Share().split(3)
    assert (
        sorted(s for heir in heirs for s in schedule.starts(heir, after=moment)) == list(schedule.starts())[len(done) :]
    )


@settings(max_examples=40, deadline=None)
@given(stages, st.floats(0.01, 0.99))
def test_by_any_moment_as_many_have_started_as_the_rate_adds_up_to(plan: tuple[Stage, ...], part: float) -> None:
    schedule = Open(stages=plan)
    moment, expected = schedule.length * part, 0.0
    left = moment
    for stage in plan:
        spent = min(left, stage.duration)
        end = stage.rate if stage.to is None else stage.rate + (stage.to - stage.rate) * spent / stage.duration
        expected += (stage.rate + end) / 2 * spent
        left -= spent
    started = sum(at < moment for _, at in schedule.starts())
    assert abs(started - expected) <= 1 + 1e-6


@settings(max_examples=40, deadline=None)
@given(closeds, st.integers(1, 5))
def test_the_shares_of_a_closed_schedule_are_the_whole(schedule: Closed, parts: int) -> None:
    shares = Share().split(parts)
    assert sum(map(schedule.slots, shares)) == schedule.concurrency
    numbers = [number for share in shares for number in schedule.numbers(share)]
    assert sorted(numbers) == list(range(1, (schedule.times or 0) + 1))


def test_a_ramp_of_steps_keeps_each_rate_and_stops_at_its_end() -> None:
    ramp = made(Rps, {"times": 2000, "rps": {"start": 20, "end": 100, "step": 20, "duration": 3}})
    assert per_second(ramp.schedule(), 15) == [20] * 3 + [40] * 3 + [60] * 3 + [80] * 3 + [100] * 3


def test_a_ramp_of_lines_climbs_evenly() -> None:
    ramp = Ramp(start=0, end=100, step=20, duration=2, shape="lines")
    counts = per_second(Open(stages=ramp.stages(), times=2000), 12)
    assert all(abs(count - (10 * second + 5)) <= 1 for second, count in enumerate(counts[:10]))
    assert counts[10:] == [100, 100]


def test_a_spike_comes_and_goes() -> None:
    spike = made(Arrival, {"rate": 10, "duration": 6, "spike": {"at": 2, "rate": 100, "duration": 1}})
    assert per_second(spike.schedule(), 7) == [10, 10, 100, 10, 10, 10, 0]


def test_poisson_arrivals_are_as_many_as_the_rate_says_and_as_irregular() -> None:
    schedule = Open(stages=(Stage(1000, 10),), spread="poisson", seed=1)
    gaps = [after - before for (_, before), (_, after) in pairwise(schedule.starts())]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.1, rel=0.05)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_a_seed_gives_its_arrivals_again_and_another_gives_others() -> None:
    one, again, other = (list(Open(stages=(Stage(5, 10),), spread="poisson", seed=seed).starts()) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_rate_without_an_end_in_time_ends_by_its_times() -> None:
    schedule = made(Rps, {"times": 7, "rps": 3.5}).schedule()
    assert schedule.planned == 7
    assert isinstance(schedule, Open)
    assert [at for _, at in schedule.starts()] == pytest.approx([n / 3.5 for n in range(7)])


def test_time_bound_slots_have_no_end_of_numbers_but_no_duration_means_each_once() -> None:
    endless, once = (made(ConstantForDuration, {"duration": d, "concurrency": 3}).schedule() for d in (5, 0))
    assert isinstance(endless, Closed)
    assert isinstance(once, Closed)
    assert (endless.planned, endless.length, endless.timeout) == (None, 5, 600)
    assert list(islice(endless.numbers(Share(1, 2)), 3)) == [2, 5, 8]
    assert list(once.numbers()) == [1, 2, 3]


def test_no_more_processes_are_used_than_there_is_work_for() -> None:
    constant = made(Constant, {"times": 10, "concurrency": 3}).schedule()
    rps = made(Rps, {"times": 10, "rps": 1, "max_cpu_count": 2}).schedule()
    assert [made(Serial, {"times": 9, "concurrency": 4}).schedule().processes(8), constant.processes(8)] == [1, 3]
    assert [rps.processes(8), rps.processes(1)] == [2, 1]


@pytest.mark.parametrize(
    ("kind", "config", "fault"),
    [
        (Constant, {"times": 2, "concurrency": 3}, "concurrency 3 is more than times 2"),
        (Rps, {"times": 2, "rps": {"start": 5, "end": 1, "step": 1}}, "below its start"),
        (Arrival, {"duration": 3}, "neither or both"),
        (Arrival, {"rate": 3}, "nothing ends"),
        (Arrival, {"stages": [{"rate": 1, "duration": 1}], "duration": 3}, "durations of their own"),
        (Arrival, {"rate": 1, "duration": 3, "spike": {"at": 2, "rate": 1, "duration": 2}}, "spike ends at 4 s"),
        (FindKnee, {"start": 3, "max": 2}, "below start"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(kind: type[Runner], config: object, fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        made(kind, config).schedule()


@pytest.mark.parametrize(("kind", "config"), [(Rps, {"times": 2, "rps": 0}), (Constant, {"timse": 2})])
def test_settings_of_a_wrong_kind_are_refused(kind: type[Runner], config: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        made(kind, config)


@settings(max_examples=40, deadline=None)
@given(st.floats(1, 5000))
def test_the_knee_is_found_as_exactly_as_was_asked(truth: float) -> None:
    search, tried = FindKnee(start=10, max=2000, precision=0.05), list[Trial]()
    while (rate := search.following(tried)) is not None:
        assert all(trial.rate != rate for trial in tried)
        tried.append(Trial(rate, rate <= truth))
    found = highest(tried)
    if truth < 10:
        assert found == 0
    else:
        assert min(truth, 2000) / 1.06 <= found <= min(truth, 2000)
    assert len(tried) < 40
