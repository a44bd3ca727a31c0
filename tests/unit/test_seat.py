"""What a rack's process knows of its own seat."""

from __future__ import annotations

import math
import time
from pathlib import Path

from rackwright.rack.seat import Seat


def test_a_seat_is_sure_for_as_long_as_the_region_has_said(tmp_path: Path) -> None:
    seat = Seat(str(tmp_path / "data" / "seat-held"))
    assert (seat.held, seat.is_sure) == (False, False)
    seat.take(60.0)
    assert (seat.held, seat.is_sure) == (True, True)
    seat.take(0.0)
    assert (seat.held, seat.is_sure) == (True, False)


def test_an_answer_that_was_long_on_its_way_says_little(tmp_path: Path) -> None:
    seat = Seat(str(tmp_path / "seat-held"))
    assert seat.age == math.inf
    asked = time.monotonic()
    seat.take(60.0, asked - 61)
    assert (seat.held, seat.is_sure) == (True, False)
    assert seat.age >= 61
    seat.take(60.0, asked)
    seat.take(60.0, asked - 90)
    assert seat.is_sure
    assert seat.age < 60


def test_a_process_that_starts_on_its_own_word_is_not_sure(tmp_path: Path) -> None:
    mark = str(tmp_path / "seat-held")
    Seat(mark).take(60.0)
    again = Seat(mark)
    assert (again.held, again.is_sure) == (True, False)
    again.lose("another one works")
    assert (again.held, again.is_sure, Seat(mark).held) == (False, False, False)
