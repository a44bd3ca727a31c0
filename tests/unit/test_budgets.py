from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.budgets import Budget, Shares, Turn, admit, check
from rackwright.core.errors import InvalidInput
from rackwright.core.topology import in_turn, places

PLACES = ("rack=r1", "rack=r2", "feed=A", "feed=B", "uplink=u1")
TURNS = st.lists(st.sets(st.sampled_from(PLACES), max_size=4), max_size=40)
BUDGETS = st.dictionaries(st.sampled_from([*PLACES, "rack", "feed", "uplink"]), st.integers(1, 5))


def turn(number: int, *at: str) -> Turn:
    return Turn(scope=number, name=f"n{number}", number=number, wave=1, places=at)


def budget(key: str, amount: int) -> Budget:
    kind, _, place = key.partition("=")
    return Budget(kind=kind, place=place, amount=amount)


def test_a_machine_stands_where_its_rack_stands_unless_it_says_otherwise() -> None:
    rack = {"desired.rack.feed": ["A", "B"], "desired.rack.uplink": "sw1", "desired.rack.zone": "north"}
    assert places("r1", {}, rack) == ("rack=r1", "feed=A", "feed=B", "uplink=sw1", "zone=north")
    assert places("r1", {"desired.feed": "C"}, rack) == ("rack=r1", "feed=C", "uplink=sw1", "zone=north")
    assert places("r1", {}, {"desired.rack": {"feed": 7, "image_source": "eu"}}) == (
        "rack=r1", "feed=7", "image_source=eu",
    )  # fmt: skip


def test_a_fact_that_names_no_place_is_no_place() -> None:
    assert places("r1", {"desired.feed": {"a": 1}}, {"desired.rack.zone": "", "desired.rack.uplink": None}) == (
        "rack=r1",
    )


def test_no_more_machines_begin_than_a_place_has_shares() -> None:
    turns = [turn(number, "feed=A") for number in range(5)] + [turn(9, "feed=B")]
    admitted = admit(turns, [Shares([budget("feed", 2)], {"feed=A": 1})])
    assert [each.scope for each in admitted] == [0, 9]


def test_the_budget_of_one_place_comes_before_that_of_its_kind() -> None:
    shares = Shares([budget("feed", 1), budget("feed=A", 3)], {"feed=A": 2, "feed=B": 1})
    assert shares.full() == {"feed=B"}
    assert [each.scope for each in admit([turn(1, "feed=B"), turn(2, "feed=A"), turn(3, "feed=A")], [shares])] == [2]


def test_a_machine_on_two_feeds_takes_a_share_of_both() -> None:
    shares = Shares([budget("feed", 1)], {})
    assert [each.scope for each in admit([turn(1, "feed=A", "feed=B"), turn(2, "feed=B")], [shares])] == [1]


@given(TURNS, BUDGETS, BUDGETS)
def test_never_is_a_budget_exceeded_and_never_does_one_wait_that_could_begin(
    at: list[set[str]], some: dict[str, int], others: dict[str, int]
) -> None:
    turns = [turn(number, *sorted(where)) for number, where in enumerate(at)]
    both = [[budget(key, amount) for key, amount in budgets.items()] for budgets in (some, others)]
    admitted = admit(turns, [Shares(budgets, {}) for budgets in both])
    busy = {place: sum(place in each.places for each in admitted) for place in PLACES}
    for budgets in both:
        shares = Shares(budgets, busy)
        assert all(shares.amount(place) is None or busy[place] <= (shares.amount(place) or 0) for place in PLACES)
    waiting = [each for each in turns if each not in admitted]
    assert admit(waiting, [Shares(budgets, busy) for budgets in both]) == []


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_places_take_turns_and_nobody_is_lost(where: list[str]) -> None:
    nodes = [f"n{number}" for number in range(len(where))]
    order = in_turn(nodes, dict(zip(nodes, where, strict=True)))
    assert sorted(order) == sorted(nodes)
    seen = [where[nodes.index(node)] for node in order]
    first = len(set(where))
    assert len(set(seen[:first])) == first


@pytest.mark.parametrize(("key", "amount"), [("plug", 1), ("feed", 0), ("feed=A", -1), ("rack", 10**7)])
def test_a_budget_that_cannot_be_is_refused(key: str, amount: int) -> None:
    with pytest.raises(InvalidInput):
        check(budget(key, amount))
