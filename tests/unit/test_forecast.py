from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.budgets import Budget, Shares, Turn
from rackwright.core.forecast import Room, forecast, of_machines
from rackwright.core.limits import SITE, Limit
from rackwright.core.node_task import Barrier, NodeTask, State
from rackwright.core.waves import WaveRule
from rackwright.engine.outlook import rounds

NAMES = {1: "n1", 2: "n2", 9: "r1", 50: "web"}
SECONDS = {"a": 10.0, "b": 5.0, "c": 1.0}


def row(
    id: int, task: str, scope: int, *children: int, feeds: tuple[int, ...] = (), state: State = State.TODO
) -> NodeTask:
    return NodeTask(
        id=id, deployment=50, task=task, scope=scope, rack=9, state=state, children=children, feeds=feeds
    )  # fmt: skip


def rows(*given: NodeTask) -> dict[int, NodeTask]:
    return {each.id: each for each in given}


def test_the_longest_chain_decides_and_is_told() -> None:
    found = forecast(rows(row(1, "a", 1, 2), row(2, "b", 2, 3), row(3, "c", 1)), {}, SECONDS, Room(), NAMES)
    assert found is not None
    assert (found.seconds, found.because) == (16.0, "the longest chain of tasks")
    assert [(link.task, link.node) for link in found.chain] == [("a", "n1"), ("b", "n2"), ("c", "n1")]


def test_a_barrier_lets_nobody_on_before_the_last() -> None:
    barrier = Barrier(id=7, deployment=50, name="all", children=(3,))
    found = forecast(
        rows(row(1, "a", 1, feeds=(7,)), row(2, "c", 2, feeds=(7,)), row(3, "b", 2)),
        {7: barrier},
        SECONDS,
        Room(),
        NAMES,
    )
    assert found is not None
    assert found.seconds == 15.0


def test_what_is_active_takes_no_time() -> None:
    found = forecast(rows(row(1, "a", 1, 2, state=State.ACTIVE), row(2, "b", 1)), {}, SECONDS, Room(), NAMES)
    assert found is not None
    assert found.seconds == 5.0
    assert forecast(rows(row(1, "a", 1, state=State.ACTIVE)), {}, SECONDS, Room(), NAMES) is None


def test_a_node_carries_out_one_task_at_a_time() -> None:
    found = forecast(rows(row(1, "a", 1), row(2, "a", 1), row(3, "b", 2)), {}, SECONDS, Room(), NAMES)
    assert found is not None
    assert (found.seconds, found.because) == (20.0, "n1 carries out one task at a time")


@pytest.mark.parametrize(
    ("limit", "because"),
    [
        (Limit(scope=SITE, amount=1), "the limit of the site: 1 at the same time"),
        (Limit(scope=9, amount=1), "the limit of r1: 1 at the same time"),
        (Limit(scope=50, task="a", amount=1), "the limit of a web: 1 at the same time"),
    ],
)
def test_a_limit_makes_it_longer(limit: Limit, because: str) -> None:
    many = rows(*(row(number, "a", number) for number in range(100, 104)))
    found = forecast(many, {}, SECONDS, Room(limits=[limit]), NAMES)
    assert found is not None
    assert (found.seconds, found.because) == (40.0, because)


def test_the_budget_of_a_place_makes_it_longer() -> None:
    many = rows(*(row(number, "a", number) for number in range(100, 106)))
    taken = {id: ("uplink=sw1",) for id in list(many)[:4]} | {id: ("uplink=sw2",) for id in list(many)[4:]}
    room = Room(budgets=[Budget(kind="uplink", amount=2), Budget(kind="uplink", place="sw1", amount=1)], taken=taken)
    found = forecast(many, {}, SECONDS, room, NAMES)
    assert found is not None
    assert (found.seconds, found.because) == (40.0, "the budget of uplink=sw1: 1 at the same time")


def test_waves_come_one_after_the_other_with_their_pauses() -> None:
    many = rows(*(row(number, "a", number) for number in range(100, 104)))
    found = forecast(many, {}, SECONDS, Room(), NAMES, WaveRule(pause=60.0), 3)
    assert found is not None
    assert (found.seconds, found.because) == (150.0, "the longest chain of tasks, in 3 waves")


def test_what_never_ran_is_named() -> None:
    found = forecast(rows(row(1, "a", 1, 2), row(2, "new", 1)), {}, SECONDS, Room(), NAMES)
    assert found is not None
    assert (found.seconds, found.unknown) == (10.0, ("new",))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.sets(st.integers(0, 11))), max_size=12))
def test_it_is_never_shorter_than_any_node_or_any_edge_needs(given: list[tuple[str, int, set[int]]]) -> None:
    many = rows(
        *(
            row(number, task, scope, *(child for child in sorted(children) if number < child < len(given)))
            for number, (task, scope, children) in enumerate(given)
        )
    )
    found = forecast(many, {}, SECONDS, Room(), NAMES)
    if found is None:
        assert not given
        return
    for scope in range(1, 5):
        assert found.seconds >= sum(SECONDS[each.task] for each in many.values() if each.scope == scope)
    for each in many.values():
        for child in each.children:
            assert found.seconds >= SECONDS[each.task] + SECONDS[many[child].task]


def test_machines_wait_for_one_another_at_the_narrowest_place() -> None:
    def turn(number: int, wave: int, feed: str) -> Turn:
        return Turn(scope=number, name=f"n{number}", number=number, wave=wave, places=(f"feed={feed}", "rack=r1"))

    turns = [turn(0, 1, "A"), *(turn(number, 2, "A") for number in range(1, 6)), turn(6, 2, "B")]
    standing = Shares([Budget(kind="feed", amount=9), Budget(kind="feed", place="A", amount=2)], {})
    own = Shares([Budget(kind="rack", amount=6)], {})
    assert [count for count, _ in rounds(turns, (standing, own))] == [1, 3]
    found = of_machines(
        [("a", (1, 2)), ("b", ()), ("c", ())], SECONDS, rounds(turns, (standing, own)), WaveRule(pause=5.0)
    )
    assert (found.seconds, found.because) == (15.0 * 4 + 5.0, "the budget of feed=A")
    assert [link.task for link in found.chain] == ["a", "b"]
