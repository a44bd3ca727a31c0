"""Questions that are asked together: nobody waits for company, and nobody pays for another's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from rackwright.core.errors import NotFound, Retryable
from rackwright.rack.together import Together


class Region:
    """Answers with the double of a number, as soon as it is let; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.open = asyncio.Event()

    async def many(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.asked.append(list(numbers))
        await self.open.wait()
        if 13 in numbers:
            raise Retryable("away")
        return [NotFound(str(number)) if number == 7 else 2 * number for number in numbers]


async def test_what_comes_while_a_request_is_under_way_goes_in_the_next_one() -> None:
    region = Region()
    together = Together(region.many, most=3)
    asking = [asyncio.create_task(together.one(number)) for number in (1,)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking += [asyncio.create_task(together.one(number)) for number in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    region.open.set()
    assert await asyncio.gather(*asking) == [2, 4, 6, 8, 10]
    assert region.asked == [[1], [2, 3, 4], [5]]


async def test_an_error_is_raised_to_the_one_whose_answer_it_is() -> None:
    region = Region()
    region.open.set()
    together = Together(region.many, most=9)
    found = await asyncio.gather(*(together.one(number) for number in (6, 7, 8)), return_exceptions=True)
    assert [found[0], found[2]] == [12, 16]
    assert isinstance(found[1], NotFound)


async def test_a_request_that_fails_fails_for_all_of_it_and_for_no_other() -> None:
    region = Region()
    region.open.set()
    together = Together(region.many, most=1)
    found = await asyncio.gather(*(together.one(number) for number in (13, 4)), return_exceptions=True)
    assert isinstance(found[0], Retryable)
    assert found[1] == 8


async def test_one_who_no_longer_waits_is_not_asked_for() -> None:
    region = Region()
    together = Together(region.many, most=9)
    first = asyncio.create_task(together.one(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone, last = (asyncio.create_task(together.one(number)) for number in (2, 3))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    region.open.set()
    assert await asyncio.gather(first, last) == [2, 6]
    assert region.asked == [[1], [3]]
