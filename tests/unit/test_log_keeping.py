from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from rackwright.core.errors import StoreUnavailable
from rackwright.core.messages import LogChunk
from rackwright.core.views import Views
from rackwright.engine.log_keeping import LogKeeper

REFUSED = 13


class Kept:
    """What is kept of logs: each statement has the racks and node tasks of its pieces. The first one takes its time."""

    def __init__(self) -> None:
        self.statements: list[list[tuple[int, int]]] = []
        self.go_on = asyncio.Event()
        self.away = False

    async def add_log(self, pieces: Sequence[tuple[int, int, int, bytes, bool]], *, racks: Sequence[int]) -> None:
        """Keep them."""
        self.statements.append([(rack, piece[0]) for rack, piece in zip(racks, pieces, strict=True)])
        if len(self.statements) == 1:
            await self.go_on.wait()
        if self.away:
            raise StoreUnavailable("the database is away")
        if any(piece[0] == REFUSED for piece in pieces):
            raise ValueError("a piece that cannot be stored")


def keeper() -> tuple[LogKeeper, Kept]:
    kept = Kept()
    return LogKeeper(cast(Views, kept)), kept


def piece(id: int) -> LogChunk:
    return LogChunk(id=id, attempt=1, offset=0, data=b"a word\n", last=True)


async def all_of(*asked: Any) -> list[Any]:
    return await asyncio.gather(*asked, return_exceptions=True)


async def begun(logs: LogKeeper, kept: Kept, *pairs: tuple[int, int]) -> list[asyncio.Task[None]]:
    """Bring pieces of racks: all but the first while the first is being written."""
    (rack, id), *others = pairs
    tasks = [asyncio.create_task(logs.keep(rack, [piece(id)]))]
    while not kept.statements:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(logs.keep(rack, [piece(id)])) for rack, id in others]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_others_are_written_goes_together_into_the_next_statement() -> None:
    logs, kept = keeper()
    tasks = await begun(logs, kept, (1, 10), (2, 20), (3, 30))
    assert not any(task.done() for task in tasks), "nobody is told that it is safe before it is"
    kept.go_on.set()
    assert await all_of(*tasks) == [None] * 3
    assert kept.statements == [[(1, 10)], [(2, 20), (3, 30)]]


async def test_a_piece_that_cannot_be_kept_takes_no_other_racks_logs_with_it() -> None:
    logs, kept = keeper()
    tasks = await begun(logs, kept, (1, 10), (2, REFUSED), (3, 30))
    kept.go_on.set()
    first, refused, other = await all_of(*tasks)
    assert (first, other) == (None, None)
    assert isinstance(refused, ValueError)
    assert [(3, 30)] in kept.statements


async def test_who_hangs_up_takes_no_other_racks_logs_with_it() -> None:
    logs, kept = keeper()
    tasks = await begun(logs, kept, (1, 10), (2, 20), (3, 30))
    tasks[0].cancel()
    tasks[1].cancel()
    kept.go_on.set()
    assert (await all_of(*tasks))[2] is None
    assert kept.statements[1] == [(2, 20), (3, 30)]


async def test_with_the_database_away_all_are_told_so() -> None:
    logs, kept = keeper()
    kept.away = True
    tasks = await begun(logs, kept, (1, 10), (2, 20))
    kept.go_on.set()
    for told in await all_of(*tasks):
        with pytest.raises(StoreUnavailable):
            raise told
