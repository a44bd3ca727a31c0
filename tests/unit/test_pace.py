"""The pace of a pass: batches follow what the last one took."""

from __future__ import annotations

import pytest

from rackwright.engine.pace import QUICK, SLOW, Pace


class Watch:
    """A clock that shows what it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "share", "size"),
    [(QUICK / 2, 1.0, 200), (QUICK / 2, 0.5, 100), (QUICK * 2, 1.0, 100), (SLOW * 2, 1.0, 50), (SLOW * 2, 0.1, 50)],
)
async def test_a_quick_full_batch_is_doubled_and_a_slow_one_halved(seconds: float, share: float, size: int) -> None:
    watch = Watch()
    pace = Pace(100, least=10, most=1000, clock=watch)

    async def work(most: int) -> int:
        watch.now += seconds
        return int(most * share)

    assert await pace.take(work) == 100 * share
    assert pace.size == size


@pytest.mark.parametrize(("seconds", "size"), [(0.0, 1000), (1.0, 10)])
async def test_batches_stay_within_their_bounds(seconds: float, size: int) -> None:
    watch = Watch()
    pace = Pace(100, least=10, most=1000, clock=watch)

    async def work(most: int) -> int:
        watch.now += seconds
        return most

    for _ in range(10):
        await pace.take(work)
    assert pace.size == size
