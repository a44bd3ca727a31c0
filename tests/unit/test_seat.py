"""What a rack's process knows of its own seat."""

from __future__ import annotations

from pathlib import Path

from rackwright.rack.seat import Seat


def test_a_seat_is_sure_for_as_long_as_the_region_has_said(tmp_path: Path) -> None:
    seat = Seat(str(tmp_path / "data" / "seat-held"))
    assert (seat.held, seat.is_sure) == (False, False)
    seat.take(60.0)
    assert (seat.held, seat.is_sure) == (True, True)
    seat.take(0.0)
    assert (seat.held, seat.is_sure) == (True, False)


def test_a_process_that_starts_on_its_own_word_is_not_sure(tmp_path: Path) -> None:
    mark = str(tmp_path / "seat-held")
    Seat(mark).take(60.0)
    again = Seat(mark)
    assert (again.held, again.is_sure) == (True, False)
    again.lose("another one works")
    assert (again.held, again.is_sure, Seat(mark).held) == (False, False, False)
