"""One clock for all: it follows the store's, takes no notice of the host's, and tells when somebody has set it."""

from __future__ import annotations

import pytest

from rackwright.core.clocks import SETTLE, SharedClock


class Times:
    """A steady clock, and one on the wall that may be set."""

    def __init__(self) -> None:
        self.steady, self.wall = 100.0, 1_000_000.0

    def pass_by(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def clock(times: Times) -> SharedClock:
    return SharedClock(lambda: times.steady, lambda: times.wall)


def test_it_is_the_hosts_until_the_store_was_asked_and_the_stores_from_then_on(
    times: Times, clock: SharedClock
) -> None:
    assert clock() == times.wall
    assert clock.learn(2_000_000.0, times.steady) == 0.0
    times.pass_by(3)
    assert clock() == 2_000_003.0
    assert clock.settled


def test_a_host_whose_clock_is_set_sees_nothing_of_it(times: Times, clock: SharedClock) -> None:
    clock.learn(2_000_000.0, times.steady)
    times.wall += 7200
    times.pass_by(1)
    assert clock() == 2_000_001.0


@pytest.mark.parametrize("by", [7200.0, -7200.0])
def test_a_jump_of_the_stores_clock_is_told_once_and_settles(times: Times, clock: SharedClock, by: float) -> None:
    clock.learn(2_000_000.0, times.steady)
    times.pass_by(2)
    assert clock.learn(2_000_002.0 + by, times.steady) == pytest.approx(by)
    assert not clock.settled
    times.pass_by(2)
    assert clock.learn(2_000_004.0 + by, times.steady) == 0.0
    times.pass_by(SETTLE)
    assert clock.settled


def test_small_steps_are_followed_silently(times: Times, clock: SharedClock) -> None:
    clock.learn(2_000_000.0, times.steady)
    assert clock.learn(2_000_001.0, times.steady) == 0.0
    assert clock() == 2_000_001.0


def test_a_slow_answer_is_no_jump(times: Times, clock: SharedClock) -> None:
    clock.learn(2_000_000.0, times.steady)
    began = times.steady
    times.pass_by(60)
    assert clock.learn(2_000_000.0, began) == 0.0
    assert clock() == 2_000_060.0
