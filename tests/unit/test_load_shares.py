"""Shares that change hands while a load goes on: nothing is lost, nothing is done twice."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.load.course import Course, Deal, between, divide, rest, split, starts
from rackwright.core.load.schedule import Closed, Open, Schedule, Share, Stage

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


class Holder:
    """One that has a share, makes starts when a test lets it, and hears of turns when a test lets it."""

    def __init__(self, schedule: Schedule, deals: list[Deal]) -> None:
        self.course = Course(schedule, deals)
        self.made: list[int] = []

    def go(self, place: float) -> None:
        """Make all starts up to a place, if nothing holds it."""
        while (head := self.course.head) is not None and head[1] <= place:
            self.made.append(head[0])
            self.course.step()

    def answer(self, share: Share, ahead: float) -> float:
        """Another share is to come; how far it goes meanwhile."""
        limit = max(self.course.reached, 0.0) + ahead
        self.course.hold(share, limit)
        return limit


closeds = st.builds(Closed, concurrency=st.integers(4, 9), times=st.integers(0, 60))
steps = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 70)), max_size=8)


@settings(max_examples=100, deadline=None)
@given(opens | closeds, steps, steps, steps, st.booleans())
def test_however_late_the_words_of_a_deal_are_heard_every_start_is_made_once(
    schedule: Schedule,
    before: list[tuple[int, float]],
    asked: list[tuple[int, float]],
    late: list[tuple[int, float]],
    agreed: bool,
) -> None:
    """Three have shares, a fourth comes. Each step lets one go on, as far as it may."""
    shares = Share().split(4)
    holders = [Holder(schedule, [Deal(0.0, share)]) for share in Share().split(3)]

    def go_on(moves: list[tuple[int, float]]) -> None:
        for who, place in moves:
            if who < len(holders):
                holders[who].go(place)

    go_on(before)
    limits = [holder.answer(share, ahead=1.0) for holder, share in zip(holders, shares, strict=False)]
    go_on(asked)
    place = max(limits) if agreed else math.inf
    holders[0].course.settle(place)
    if place < math.inf:
        holders.append(Holder(schedule, [Deal(place, shares[3])]))
    # The fourth goes on, and so does the first; the others hear of it after this.
    go_on(late)
    for holder in holders[1:3]:
        holder.course.settle(place)
    go_on([(who, math.inf) for who in range(4)] if schedule.planned is not None else [])
    assert sorted(number for holder in holders for number in holder.made) == list(range(1, (schedule.planned or 0) + 1))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 4))
def test_the_bounds_of_all_processes_add_up_to_what_was_asked(bound: int, agents: int, cores: int) -> None:
    for schedule in (Open(stages=(Stage(1, 1),), max_in_flight=bound), Closed(concurrency=bound, duration=1)):
        mine = Share().split(schedule.processes(agents))
        parts = [part for share in mine for part in divide(schedule, share, cores)]
        slots = [schedule.slots(part) for part in parts if part is not None]
        assert (sum(slots), min(slots) > 0) == (bound, True)
