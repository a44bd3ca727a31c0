"""Shares that change hands while a load goes on: nothing is lost, nothing is done twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.load.course import Course, Deal, between, rest, split, starts
from rackwright.core.load.schedule import Closed, Open, Share, Stage

rates = st.floats(0.1, 20)
stages = st.lists(st.builds(Stage, st.floats(0.1, 3), rates, st.none() | rates), min_size=1, max_size=3).map(tuple)
opens = st.builds(
    Open,
    stages=stages,
    times=st.none() | st.integers(1, 100),
    spread=st.sampled_from(["even", "poisson"]),
    seed=st.integers(0, 9),
)
moments = st.lists(st.floats(0, 6), max_size=3).map(sorted)
crews = st.lists(st.integers(1, 4), min_size=4, max_size=4)


def taken(course: Course) -> list[tuple[int, float]]:
    starts = []
    while course.head is not None:
        starts.append(course.head)
        course.step()
    return starts


@settings(max_examples=60, deadline=None)
@given(opens, moments, crews)
def test_whoever_comes_and_goes_every_start_is_made_once(schedule: Open, turns: list[float], crew: list[int]) -> None:
    """Agents 0..n-1 work between two turns; one that is gone gets no more, one that comes begins there."""
    begins = [0.0, *turns]
    made = []
    for agent in range(4):
        course: Course | None = None
        for after, present in zip(begins, crew, strict=False):
            if agent < present:
                share = Share(agent, present)
                if course is None:
                    course = Course(schedule, [Deal(after, share)])
                else:
                    course.hold(share, after)
                    course.settle(after)
            elif course is not None:
                made += [start for start in taken(course) if start[1] < after]
                course = None
        made += taken(course) if course is not None else []
    assert sorted(made) == list(schedule.starts())


@settings(max_examples=60, deadline=None)
@given(opens, st.floats(0, 6), st.integers(1, 3))
def test_starts_after_a_moment_are_those_of_the_whole_share_from_there_on(
    schedule: Open, after: float, parts: int
) -> None:
    for share in Share().split(parts):
        assert list(schedule.starts(share, after)) == [start for start in schedule.starts(share) if start[1] >= after]


@settings(max_examples=60, deadline=None)
@given(opens, st.floats(0, 6), st.floats(0, 6), st.floats(0, 6))
def test_the_starts_of_one_who_had_two_shares_are_told_for_any_stretch(
    schedule: Open, turn: float, begin: float, end: float
) -> None:
    deals = [Deal(0.0, Share(1, 2)), Deal(turn, Share(0, 3))]
    course = Course(schedule, deals[:1])
    course.hold(deals[1].share, 0.0)
    course.settle(deals[1].after)
    expected = [at for _, at in taken(course) if begin <= at < end]
    assert list(between(schedule, deals, begin, end)) == expected


@settings(max_examples=60, deadline=None)
@given(opens)
def test_the_last_start_is_known_beforehand(schedule: Open) -> None:
    assert schedule.last == max((at for _, at in schedule.starts()), default=0.0)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(Closed, concurrency=st.integers(1, 9), times=st.integers(0, 60)),
    st.integers(1, 4),
    st.integers(1, 4),
    st.data(),
)
def test_what_a_lost_agent_has_not_told_of_is_done_by_its_heirs(
    schedule: Closed, agents: int, heirs: int, data: st.DataObject
) -> None:
    shares = Share().split(agents)
    mine = [Deal(0.0, shares[0]), Deal(data.draw(st.integers(1, 70)), Share(0, agents + 1))]
    whole = list(starts(schedule, mine))
    ended = data.draw(st.integers(0, len(whole)))
    done = whole[:ended]
    for deals in split(schedule, rest(schedule, mine, ended), heirs):
        done += starts(schedule, deals)
    assert sorted(done) == whole
