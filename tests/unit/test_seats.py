"""Who may work for a rack: a new start on the same seat takes over, another seat waits for the lease."""

from __future__ import annotations

import pytest

from rackwright.core.errors import Conflict
from rackwright.core.seats import Holder, sit

NOW, LEASE = 1000.0, 30.0


def test_a_free_rack_is_taken_for_one_lease() -> None:
    assert sit(None, "a", "here", NOW, LEASE) == Holder("a", "here", NOW + LEASE)


def test_a_lease_is_written_anew_only_when_a_third_of_it_is_over() -> None:
    holder = sit(None, "a", "here", NOW, LEASE)
    assert sit(holder, "a", "here", NOW + 9, LEASE) is holder
    assert sit(holder, "a", "here", NOW + 11, LEASE).until == NOW + 11 + LEASE


def test_a_new_start_on_the_same_seat_takes_over_at_once() -> None:
    holder = sit(None, "a", "here", NOW, LEASE)
    assert sit(holder, "b", "here", NOW + 1, LEASE) == Holder("b", "here", NOW + 1 + LEASE)


def test_a_second_process_is_refused_while_the_lease_lives_and_let_in_when_it_is_over() -> None:
    holder = sit(None, "a", "here", NOW, LEASE)
    with pytest.raises(Conflict, match=r"another process works for this rack \(seat here\); its lease lasts for 20 s"):
        sit(holder, "b", "there", NOW + 10, LEASE)
    assert sit(holder, "b", "there", NOW + LEASE, LEASE).incarnation == "b"


def test_a_lease_of_a_clock_that_was_set_back_keeps_nobody_out() -> None:
    holder = sit(None, "a", "here", NOW + 7200, LEASE)
    assert sit(holder, "b", "there", NOW, LEASE).incarnation == "b"


def test_who_is_to_say_nothing_for_long_has_a_seat_until_it_speaks_again() -> None:
    holder = sit(None, "a", "here", NOW, LEASE)
    assert sit(holder, "a", "here", NOW + 9, LEASE, silent=20).until == NOW + 9 + LEASE
    assert sit(holder, "a", "here", NOW + 4, LEASE, silent=20) is holder


def test_a_request_that_waits_is_no_sign_of_life() -> None:
    holder = sit(None, "a", "here", NOW, LEASE, silent=20)
    assert sit(holder, "a", "here", NOW + 20, LEASE, waited=20) is holder
    assert sit(holder, "b", "there", NOW + LEASE, LEASE).incarnation == "b"
    other = sit(None, "b", "there", NOW + 31, LEASE)
    with pytest.raises(Conflict):
        sit(other, "a", "here", NOW + 50, LEASE, waited=50)


def test_what_waits_long_takes_nothing_from_a_lease_that_was_prolonged_since() -> None:
    prolonged = Holder("a", "here", NOW + 61)
    assert sit(prolonged, "a", "here", NOW + 40, LEASE, silent=60, waited=40) is prolonged
