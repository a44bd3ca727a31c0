"""The benchmark of fleets: which machines a verb is said to, and when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from benchmarks.simulated.region import SAID_AT_ONCE, Region


class Said(Region):
    """A region in which all that was waited for is done."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.waited: list[int] = []
        self.under_way: list[int] = []

    async def say(self, verb: str, names: Sequence[str]) -> None:
        """Note who was told."""
        self.said += names
        self.under_way.append(len(self.said) - max(self.waited, default=0))

    async def until(self, query: str, words: Sequence[str], wanted: int) -> None:
        """Nobody is waited for who was not told."""
        assert wanted <= len(self.said)
        self.waited.append(wanted)


@pytest.mark.parametrize("window", [1, 2, 80, 999, SAID_AT_ONCE, 5000, 100_000])
async def test_a_verb_is_under_way_for_no_more_machines_than_the_window_and_reaches_all(window: int) -> None:
    names = [f"m{number}" for number in range(2345)]
    region = Said()
    await region.live("deploy", names, window)
    assert region.said == names
    assert max(region.under_way) <= window
    assert region.waited[-1] == len(names)
