"""Triggers, rows into seconds, and reports of many processes into one line of seconds."""

from __future__ import annotations

from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.errors import InvalidInput
from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.triggers import Event, Periodic, together
from rackwright.load.contexts import Context, Surrounding
from rackwright.load.merging import Merging, add_whole
from rackwright.load.scenario import Action
from rackwright.load.tally import ACTIONS, KINDS, OTHERS, Fault, Row, Tally
from rackwright.load.words import Report


def test_an_event_fires_at_the_iterations_of_its_list_alone() -> None:
    watch = Event(unit="iteration", at=(2, 5)).watch()
    assert [number for number in range(10) if watch.holds(number)] == [2, 5]
    assert list(Event(unit="iteration", at=(2, 5)).moments()) == []


def test_a_periodic_trigger_fires_from_its_start_to_its_end() -> None:
    watch = Periodic(unit="iteration", start=3, end=10, step=3).watch()
    assert [number for number in range(20) if watch.holds(number)] == [3, 6, 9]
    assert list(Periodic(unit="time", start=1, end=5, step=2).moments()) == [1.0, 3.0, 5.0]
    assert list(islice(Periodic(unit="time", step=10).moments(), 3)) == [0.0, 10.0, 20.0]


def test_iterations_count_from_one_unless_a_trigger_says_otherwise() -> None:
    watch = Periodic(unit="iteration", step=4).watch()
    assert [number for number in range(1, 10) if watch.holds(number)] == [1, 5, 9]


def test_a_trigger_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InvalidInput, match="end 2 is before start 5"):
        Periodic(unit="time", start=5, end=2, step=1)


def test_watches_together_hold_what_any_of_them_holds() -> None:
    watch = together([Event(unit="iteration", at=(2,)).watch(), Periodic(unit="iteration", step=5).watch()])
    assert [number for number in range(1, 8) if watch.holds(number)] == [1, 2, 6]


def row(number: int, ended: float, *, took: float = 0.1, failed: bool = False) -> Row:
    fault = Fault("ValueError", "bad") if failed else None
    actions = [Action("a", ended - took, ended, failed)]
    return Row(number, ended - took - 0.01, ended - took, ended, fault, actions, None)


def test_rows_count_in_the_second_in_which_they_ended() -> None:
    tally = Tally(late=1.0)
    tally.add_rows([row(1, 0.5), row(2, 0.9, failed=True), row(3, 2.2)])
    seconds, samples = tally.take()
    assert [(second.at, second.parts[WHOLE].total, second.parts[WHOLE].errors) for second in seconds] == [
        (0, 2, 1),
        (2, 1, 0),
    ]
    assert seconds[0].parts[WHOLE].good.count == 1
    assert seconds[0].parts[WHOLE].failed.total == 1
    assert seconds[0].parts["a"].errors == 1
    assert seconds[0].parts[WHOLE].latency.quantile(1) == pytest.approx(0.11, rel=2e-3)
    assert [(sample.kind, sample.count) for sample in samples] == [("ValueError", 1)]
    assert tally.take() == ([], [])


def test_a_start_that_lags_too_far_behind_is_a_missed_one() -> None:
    tally = Tally(late=0.25)
    tally.add_starts([(0.1, 0.2), (0.1, 0.4)])
    (second,), _ = tally.take()
    assert (second.started, second.missed, second.lag.total) == (2, 1, 2)


def test_kinds_of_errors_are_bounded_and_all_are_counted() -> None:
    tally = Tally(late=1.0)
    many = [msgspec.structs.replace(row(n, 0.5), fault=Fault(f"Kind{n}", "x")) for n in range(KINDS * 2)]
    tally.add_rows(many)
    _, samples = tally.take()
    assert len(samples) == KINDS + 1
    assert sum(sample.count for sample in samples) == KINDS * 2


def test_names_of_actions_are_bounded_over_all_reports_and_all_are_counted() -> None:
    tally, parts = Tally(late=1.0), dict[str, Part]()
    for number in range(ACTIONS * 2):
        tally.add_rows([msgspec.structs.replace(row(number, 0.5), actions=[Action(f"step {number}", 0.1, 0.4, False)])])
        for second in tally.take()[0]:
            add_whole(parts, second)
    assert len(parts) == 1 + ACTIONS + 1
    assert (parts["step 0"].total, parts[OTHERS].total) == (1, ACTIONS)


@given(
    ends=st.lists(st.floats(0, 4.999), max_size=60),
    owners=st.lists(st.integers(0, 2), min_size=60, max_size=60),
    cuts=st.sets(st.integers(0, 60)),
)
def test_any_split_over_processes_and_reports_gives_the_seconds_of_one(
    ends: list[float], owners: list[int], cuts: set[int]
) -> None:
    rows = [row(number, end, failed=number % 3 == 0) for number, end in enumerate(sorted(ends))]
    one = Tally(late=1.0)
    one.add_rows(rows)
    alone: dict[str, Part] = {}
    for second in one.take()[0]:
        add_whole(alone, second)

    merging, tallies = Merging(range(3)), [Tally(late=1.0) for _ in range(3)]
    given_seconds: list[Second] = []
    for place, each in enumerate(rows):
        tallies[owners[place]].add_rows([each])
        if place in cuts:
            given_seconds += report(merging, tallies, each.ended)
    given_seconds += report(merging, tallies, 5.0)
    assert [second.at for second in given_seconds] == list(range(5))
    whole: dict[str, Part] = {}
    for second in given_seconds:
        add_whole(whole, second)
    assert {name: msgspec.structs.replace(part, good=None, every=None) for name, part in whole.items()} == {
        name: msgspec.structs.replace(part, good=None, every=None) for name, part in alone.items()
    }
    for name, part in alone.items():
        assert whole[name].every.mean == pytest.approx(part.every.mean)
        assert whole[name].good.deviation == pytest.approx(part.good.deviation, abs=1e-9)


def report(merging: Merging, tallies: list[Tally], upto: float) -> list[Second]:
    given_seconds: list[Second] = []
    for name, tally in enumerate(tallies):
        seconds, samples = tally.take()
        given_seconds += merging.take(name, Report(upto=upto, seconds=seconds, samples=samples))
    return given_seconds


def test_a_second_is_given_when_nobody_can_add_to_it() -> None:
    merging = Merging(["a", "b"])
    assert merging.take("a", Report(upto=2.5, seconds=[Second(at=0, started=3)])) == []
    given_seconds = merging.take("b", Report(upto=1.5, seconds=[Second(at=0, started=4)]))
    assert [(second.at, second.started) for second in given_seconds] == [(0, 7)]
    assert [second.at for second in merging.leave("b")] == [1]


def test_what_comes_too_late_is_counted_in_the_next_second() -> None:
    merging = Merging(["a"])
    merging.take("a", Report(upto=3.0))
    given_seconds = merging.take("a", Report(upto=4.0, seconds=[Second(at=1, started=5)]))
    assert [(second.at, second.started) for second in given_seconds] == [(3, 5)]


STEPS: list[str] = []


class First(Context):
    order = 1

    async def setup(self) -> None:
        STEPS.append("first up")
        self.shared["users"] = self.config

    async def cleanup(self) -> None:
        STEPS.append("first down")


class Other(Context):
    order = 2

    async def setup(self) -> None:
        STEPS.append("second up")
        if self.config == "fails":
            raise ValueError("no")

    async def cleanup(self) -> None:
        STEPS.append("second down")
        raise ValueError("stuck")


async def test_contexts_go_up_by_order_and_down_in_reverse() -> None:
    STEPS.clear()
    surrounding = Surrounding([(Other, None), (First, 3)], {})
    async with surrounding as shared:
        assert shared["users"] == 3
    assert STEPS == ["first up", "second up", "second down", "first down"]
    assert surrounding.notes == ["the context Other could not be cleaned up: ValueError: stuck"]


async def test_a_context_that_fails_takes_down_what_was_up() -> None:
    STEPS.clear()
    with pytest.raises(ValueError, match="no"):
        async with Surrounding([(First, 3), (Other, "fails")], {}):
            STEPS.append("never")
    assert STEPS == ["first up", "second up", "second down", "first down"]
