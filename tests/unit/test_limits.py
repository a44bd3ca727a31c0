"""Limits, tolerances, waves, windows: never more than allowed, for any way it may go."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core import limits, tolerance, waves, windows
from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import FaultToleranceGroup
from rackwright.core.limits import SITE, Allowance, Limit, Running, at_once
from rackwright.core.node_task import NodeTask
from rackwright.core.shares import share
from rackwright.core.steering import Steering, judge
from rackwright.core.tolerance import REST, Tolerance, exceeded, tolerances
from rackwright.core.waves import Progress, Seen, WaveRule, advance, assign, begin, halted

RACKS, DEPLOYMENTS, TASKS = (1, 2), (11, 12), ("a", "b")
LIMITS = st.lists(
    st.builds(
        lambda key, amount: Limit(scope=key[0], task=key[1], amount=amount),
        st.sampled_from([(SITE, ""), *((id, "") for id in RACKS + DEPLOYMENTS), *((11, task) for task in TASKS)]),
        st.integers(0, 4),
    ),
    unique_by=lambda limit: (limit.scope, limit.task),
)
PLACES = st.tuples(st.sampled_from(DEPLOYMENTS), st.sampled_from(TASKS))


def rows(places: list[tuple[int, str]], rack: int) -> list[NodeTask]:
    return [
        NodeTask(id=i, deployment=deployment, task=task, scope=100 + i, rack=rack)
        for i, (deployment, task) in enumerate(places)
    ]


@given(LIMITS, st.lists(st.tuples(st.sampled_from(RACKS), st.lists(PLACES, max_size=8), st.integers(0, 6))))
def test_never_more_runs_than_every_limit_allows(
    said: list[Limit], claims: list[tuple[int, list[tuple[int, str]], int]]
) -> None:
    running: dict[tuple[int, int, str], int] = {}
    for rack, places, wanted in claims:
        told = [Running(*key, count) for key, count in running.items()]
        allowance = Allowance(said, told, rack)
        shut = set(allowance.full())
        capacity = allowance.capacity(wanted)
        offered = [one for one in rows(places, rack) if not {(one.deployment, ""), (one.deployment, one.task)} & shut]
        for row in allowance.admit(offered[:capacity]):
            key = (rack, row.deployment, row.task)
            running[key] = running.get(key, 0) + 1
    for limit in said:
        under = [
            count
            for (rack, deployment, task), count in running.items()
            if limit.scope in (SITE, rack, deployment) and limit.task in ("", task)
        ]
        assert sum(under) <= limit.amount


def test_what_has_room_starts_and_what_is_full_is_named() -> None:
    said = [Limit(scope=11, task="a", amount=1), Limit(scope=12, amount=3), Limit(scope=1, amount=5)]
    allowance = Allowance(said, [Running(2, 11, "a", 1), Running(1, 12, "b", 2)], 1)
    assert (allowance.full(), allowance.capacity(9)) == ([(11, "a")], 3)
    admitted = allowance.admit(rows([(11, "a"), (12, "a"), (12, "b"), (11, "b")], 1))
    assert [(row.deployment, row.task) for row in admitted] == [(12, "a"), (11, "b")]


@pytest.mark.parametrize(
    ("said", "places", "amount"),
    [
        ({"type": "one_by_one"}, 40, 1),
        ({"type": "parallel"}, 40, None),
        ({"type": "parallel", "amount": 6}, 40, 6),
        ({"type": "parallel", "amount": "19%"}, 10, 1),
        ({"type": "parallel", "amount": "1%"}, 10, 1),
        ({"type": "parallel", "amount": {"yaql_exp": "6"}}, 10, 1),
    ],
)
def test_a_strategy_says_how_many_at_once(said: dict[str, object], places: int, amount: int | None) -> None:
    assert at_once(Task(id="t", type="noop", parameters={"strategy": said}), places) == amount
    assert at_once(Task(id="t", type="noop", extra={"strategy": said}), places) == amount


def test_a_strategy_that_nobody_knows_is_refused() -> None:
    for said in ({"type": "random"}, {"type": "parallel", "amount": "many"}, {"type": "parallel", "amount": -1}):
        with pytest.raises(InvalidInput):
            at_once(Task(id="t", type="noop", extra={"strategy": said}), 3)
    assert limits.strategy(Task(id="t", type="noop", parameters=["x"])) is None


@given(st.integers(0, 300), st.integers(0, 10_000))
def test_percentages_are_rounded_down(percent: int, total: int) -> None:
    assert share(f"{percent}%", total) == percent * total // 100
    assert share(f"{percent}%", total, least=1) >= 1


def test_nodes_of_no_group_tolerate_nothing_once_there_is_a_group() -> None:
    members = {"n0": 0, "n1": 1, "n2": 2}
    assert tolerances([], members) == []
    made = tolerances([FaultToleranceGroup("db", ("n0", "n1"), 1)], members)
    assert made == [Tolerance(name="db", nodes=(0, 1), allowed=1), Tolerance(name=REST, nodes=(2,), allowed=0)]
    assert exceeded(made, {0}) == ""
    assert exceeded(made, {0, 1}) == "db: 2 failed, tolerance 1"
    assert exceeded(made, {2}) == f"{REST}: 1 failed, tolerance 0"
    assert tolerance.tolerances([FaultToleranceGroup("db", ("n0", "n1", "n2"), 0)], members)[-1].name == "db"


STEPS = st.lists(st.one_of(st.integers(0, 30), st.integers(0, 100).map(lambda n: f"{n}%")), min_size=1, max_size=5)


@given(STEPS, st.integers(0, 60), st.lists(st.integers(0, 70).map(str), max_size=3))
def test_waves_have_every_node_once_and_canaries_first(steps: list[int | str], total: int, canary: list[str]) -> None:
    nodes = [str(i) for i in range(total)]
    made = assign(WaveRule(steps=tuple(steps), canary=tuple(canary)), nodes)
    assert sorted(name for wave in made for name in wave) == sorted(nodes)
    assert all(made)
    assert len(made) <= len(steps) + 2
    early = {name for name in canary if name in nodes}
    assert not early or set(made[0]) == early


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 20)), max_size=30),
    st.integers(0, 3), st.booleans(), st.integers(0, 30),
)  # fmt: skip
def test_a_wave_goes_on_only_when_it_rests_is_well_and_was_let(
    seen: list[tuple[bool, int, int]], allowed: int, manual: bool, pause: int
) -> None:
    rule = WaveRule(tolerance=allowed, manual=manual, pause=pause)
    at, now = Progress(wave=1, sizes=(1, 3, 6)), 0.0
    for busy, failed, later in seen:
        now += float(later)
        before, at = at, advance(rule, at, Seen(busy, failed), now)
        assert at.wave - before.wave in (0, 1)
        if at.wave > before.wave:
            assert not busy
            assert not manual
            assert failed <= allowed
            assert before.wave < 3
            assert pause == 0 or (before.rested_at is not None and now >= before.rested_at + pause)
        elif failed > allowed:
            assert halted(rule, at)


def test_a_person_promotes_a_wave_and_forgives_what_failed() -> None:
    rule = WaveRule(manual=True, pause=60, tolerance=1)
    at = begin([["a", "b"], ["c"]])
    assert at is not None
    assert begin([]) is None
    at = advance(rule, at, Seen(False, 2), 1.0)
    assert halted(rule, at) == "halted: 2 failed, tolerance 1"
    assert waves.told(rule, at) == "wave 1 of 2: 2 of 3 nodes, halted: 2 failed, tolerance 1"
    forgiven = Progress(wave=1, sizes=(2, 1), forgiven=2, failed=2)
    at = advance(rule, forgiven, Seen(False, 2), 2.0)
    assert (at.wave, waves.told(rule, at)) == (1, "wave 1 of 2: 2 of 3 nodes, waits to be promoted")
    at = advance(rule, Progress(wave=1, sizes=(2, 1), forgiven=2, promoted=True), Seen(False, 2), 3.0)
    assert (at.wave, at.forgiven, at.last) == (2, 0, True)
    assert advance(rule, at, Seen(False, 0), 99.0).wave == 2
    with pytest.raises(InvalidInput):
        waves.check(WaveRule(steps=()))


BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-11-20 21:59", "2026-11-20 22:00"),  # a Friday
        ("2026-11-20 22:00", None),
        ("2026-11-21 05:59", None),
        ("2026-11-21 06:00", "2026-11-23 22:00"),
        ("2026-03-28 12:00", "2026-03-30 22:00"),  # over the change to summer time
    ],
)
def test_a_window_over_midnight(now: str, opening: str | None) -> None:
    found = windows.opens([windows.read("Mon-Fri 22:00-06:00")], at(now), BERLIN)
    assert found == (None if opening is None else at(opening))


@given(
    st.integers(0, 2_000_000_000), st.sampled_from(["daily 00:00-24:00", "sat,sun 08:00-20:00", "Sun-Mon 23:00-1:00"])
)
def test_a_window_is_open_or_opens_within_a_week(now: int, text: str) -> None:
    window = windows.read(text)
    opening = windows.opens([window], now, BERLIN)
    assert (opening is None) or (
        now < opening <= now + 7 * 86400 + 3600 and windows.opens([window], opening, BERLIN) is None
    )
    assert windows.opens([], now, BERLIN) is None


@pytest.mark.parametrize(
    "text", ["", "Mon", "Mon 25:00-26:00", "Foo 1:00-2:00", "daily 24:00-01:00", "daily 1:60-2:00"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        windows.read(text)


def test_a_deployment_is_held_for_the_gravest_reason() -> None:
    open_ = Steering(deployment=1, windows=("Sat 10:00-12:00",), time_zone="Europe/Berlin")
    assert judge(open_, set(), at("2026-11-21 11:00"), ZoneInfo).held == ""
    shut = judge(open_, set(), at("2026-11-21 12:00"), ZoneInfo)
    assert (shut.held, shut.error) == ("outside its window until 2026-11-28 10:00 CET", False)
    group = Tolerance(name="db", nodes=(7,), allowed=0)
    bad = judge(
        Steering(deployment=1, windows=("Sat 10:00-12:00",), tolerances={"deploy": (group,)}), {7}, 0.0, ZoneInfo
    )
    assert (bad.held, bad.error) == ("db: 1 failed, tolerance 0", True)
    paused = Steering(deployment=1, paused_until=100.0)
    assert judge(paused, set(), 99.0, ZoneInfo).held == "paused until 1970-01-01 00:01 UTC"
    assert judge(paused, set(), 100.0, ZoneInfo).paused_until is None
