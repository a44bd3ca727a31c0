"""The life cycle of machines: which verb is possible when, and what each leaves behind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core import lifecycle
from rackwright.core.errors import Conflict, NotFound
from rackwright.core.lifecycle import VERBS, WORDS, Machine, check, possible, word

ACTIVITIES = [name for name, verb in VERBS.items() if verb.graph]


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    phase = draw(st.sampled_from(lifecycle.PHASES))
    verb = "" if phase == "idle" else draw(st.sampled_from(ACTIVITIES))
    return Machine(
        id=1,
        allocation=draw(st.sampled_from(lifecycle.ALLOCATIONS)),
        installed=draw(st.booleans()),
        rescue=draw(st.booleans()),
        verb=verb,
        activity="a1" if verb else "",
        phase=phase,
        health=draw(st.sampled_from(lifecycle.HEALTHS)),
    )


def after(machine: Machine, name: str, how: str = "ok") -> Machine:
    """The machine once a verb has been said to it and is through."""
    verb = lifecycle.verb_named(name)
    check(verb, machine, "m1")
    if not lifecycle.needs_graph(verb, machine):
        return lifecycle.at_once(verb, machine, 2.0)
    begun = lifecycle.begin(verb, machine, activity="a2", deployment=9, now=2.0)
    return lifecycle.end(begun, 3.0) if how == "ok" else lifecycle.fail(begun, "it broke", 3.0)


@given(machines())
def test_every_machine_has_a_word_that_is_known(machine: Machine) -> None:
    assert word(machine) in WORDS


@given(machines(), st.sampled_from(sorted(VERBS)))
def test_a_verb_is_refused_exactly_where_it_is_not_possible(machine: Machine, name: str) -> None:
    if name in possible(machine):
        check(VERBS[name], machine, "m1")
    else:
        with pytest.raises(Conflict, match=r"m1: .*possible now: "):
            check(VERBS[name], machine, "m1")


@given(machines())
def test_from_everywhere_but_retirement_there_is_a_way_on(machine: Machine) -> None:
    if machine.allocation != "retired":
        assert possible(machine)


@given(machines(), st.sampled_from(ACTIVITIES))
def test_nothing_begins_while_something_is_under_way(machine: Machine, name: str) -> None:
    if machine.phase in lifecycle.UNDER_WAY:
        assert name not in possible(machine)


@given(machines(), st.sampled_from(ACTIVITIES), st.sampled_from(["ok", "failed", "aborted"]))
def test_the_end_of_an_activity_leaves_nothing_of_it_behind(machine: Machine, name: str, how: str) -> None:
    begun = lifecycle.begin(VERBS[name], machine, activity="a2", deployment=9, now=2.0)
    if how == "ok":
        done = lifecycle.end(begun, 3.0)
    else:
        done = lifecycle.abort(lifecycle.fail(begun, "why", 2.5) if how == "failed" else begun, 3.0)
    assert (done.phase, done.verb, done.activity, done.deployment) == ("idle", "", "", None)
    assert (done.last_verb, done.last_ended_at) == (name, 3.0)


@given(machines(), st.sampled_from([name for name in ACTIVITIES if VERBS[name].destroys]))
def test_a_machine_whose_disk_may_be_half_written_is_not_called_installed(machine: Machine, name: str) -> None:
    begun = lifecycle.begin(VERBS[name], machine, activity="a2", deployment=9, now=2.0)
    assert not begun.installed
    assert not lifecycle.abort(begun, 3.0).installed


@pytest.mark.parametrize(
    ("verbs", "words"),
    [
        (
            ["accept", "commission", "test", "reserve", "allocate", "deploy", "release", "retire"],
            ["ready", "ready", "ready", "reserved", "allocated", "deployed", "ready", "retired"],
        ),
        (["commission", "deploy", "deploy", "erase"], ["ready", "deployed", "deployed", "allocated"]),
        (["adopt", "rescue", "exit-rescue", "release"], ["deployed", "rescue", "deployed", "ready"]),
        (["accept", "reserve", "release"], ["ready", "reserved", "ready"]),
    ],
)
def test_the_ways_through_life(verbs: list[str], words: list[str]) -> None:
    machine, seen = Machine(id=1), []
    for verb in verbs:
        machine = after(machine, verb)
        seen.append(word(machine))
    assert seen == words


def test_what_fails_has_a_word_of_its_own_and_can_be_retried_aborted_or_begun_anew() -> None:
    machine = after(Machine(id=1, allocation="free"), "deploy", "failed")
    assert (word(machine), machine.reason) == ("failed-deployment", "it broke")
    assert {"retry", "abort", "deploy", "erase", "rescue"} <= set(possible(machine))
    assert word(after(machine, "deploy")) == "deployed"
    assert word(lifecycle.abort(machine, 4.0)) == "ready"


@pytest.mark.parametrize("verbs", [["allocate"], ["deploy"], ["reserve", "erase"]])
def test_what_was_given_to_somebody_or_is_half_erased_is_released_by_erasing_it(verbs: list[str]) -> None:
    machine = Machine(id=1, allocation="free")
    for name in verbs:
        machine = after(machine, name, "abort" if name in ("deploy", "erase") else "ok")
    release = VERBS["release"]
    given = msgspec.structs.replace(machine, allocation="allocated" if "deploy" in verbs else machine.allocation)
    assert lifecycle.needs_graph(release, given)
    given_up = lifecycle.abort(lifecycle.begin(release, given, activity="a", deployment=9, now=3.0), 4.0)
    assert lifecycle.needs_graph(release, given_up)


def test_a_machine_that_was_only_reserved_is_released_at_once() -> None:
    assert not lifecycle.needs_graph(VERBS["release"], Machine(id=1, allocation="reserved"))


def test_a_machine_has_a_system_once_one_says_that_it_runs_whoever_installed_it() -> None:
    free = Machine(id=1, allocation="free")
    assert lifecycle.at_home(free, 2.0).installed
    assert "commission" not in possible(lifecycle.at_home(free, 2.0))
    erased = lifecycle.begin(VERBS["erase"], free, activity="a", deployment=9, now=1.0)
    assert not lifecycle.at_home(erased, 2.0).installed, "old news"


def test_a_failed_test_makes_a_machine_broken_and_a_good_one_makes_it_well() -> None:
    machine = lifecycle.abort(after(Machine(id=1, allocation="free"), "test", "failed"), 4.0)
    assert word(machine) == "broken"
    assert after(machine, "test").health == "ok"


def test_a_held_activity_goes_on_only_when_it_is_let() -> None:
    begun = lifecycle.begin(VERBS["deploy"], Machine(id=1, allocation="free"), activity="a", deployment=9, now=1.0)
    held = lifecycle.set_phase(begun, "held", 2.0)
    assert (word(held), possible(held)) == ("held", ["unhold", "abort"])
    assert word(lifecycle.set_phase(held, "running", 3.0)) == "deploying"


def test_in_rescue_only_the_way_out_is_open() -> None:
    assert possible(after(Machine(id=1, allocation="free"), "rescue")) == ["exit-rescue"]


def test_a_plain_node_can_be_accepted_or_adopted_and_nothing_else() -> None:
    assert possible(None) == ["accept", "adopt"]
    with pytest.raises(Conflict, match="plain node"):
        check(VERBS["deploy"], None, "n1")


def test_the_time_of_the_word_changes_only_with_the_word() -> None:
    machine = after(Machine(id=1, since=1.0), "accept")
    assert machine.since == 2.0
    assert lifecycle.set_health(machine, "degraded", "one fan", 9.0).since == 2.0
    assert lifecycle.set_health(machine, "missing", "", 9.0).since == 9.0


def test_an_unknown_verb_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(NotFound, match="verbs: accept, commission"):
        lifecycle.verb_named("explode")


def test_a_machine_travels_as_json() -> None:
    machine: Any = Machine(id=1, allocation="reserved")
    assert msgspec.json.decode(msgspec.json.encode(machine), type=Machine) == machine
