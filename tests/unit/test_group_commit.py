"""Requests that share transactions: gathered while one is under way, answered for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from rackwright.core.errors import Conflict, InvalidInput, RackwrightError, StoreUnavailable
from rackwright.core.ports import Scope, Transaction
from rackwright.engine.group_commit import Apart, GroupCommit, PutOff
from rackwright.store.memory import MemoryStore


class Racks:
    """Makes racks known, some at a time; a name that begins with ``bad`` spoils its transaction, ``no`` is refused."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.batches: list[list[str]] = []

    async def add(self, tx: Transaction, names: Sequence[str]) -> list[int | RackwrightError]:
        self.batches.append(list(names))
        answers: list[int | RackwrightError] = []
        for name in names:
            await asyncio.sleep(0)
            if name.startswith("no"):
                answers.append(Conflict(f"{name} is refused"))
                continue
            answers.append(await tx.add_scope(Scope(id=0, kind="rack", name=name)))
            if name.startswith("bad"):
                raise InvalidInput(f"{name} cannot be stored")
        return answers

    async def known(self) -> set[str]:
        async with self.store.transaction() as tx:
            return set(await tx.named("rack", None))


@pytest.fixture
def racks() -> Racks:
    return Racks()


async def test_the_first_goes_alone_and_what_comes_meanwhile_goes_together(racks: Racks) -> None:
    group = GroupCommit(racks.store, racks.add, most=100)
    ids = await asyncio.gather(group.ask("a"), _later(group, "b"), _later(group, "c"))
    assert racks.batches == [["a"], ["b", "c"]]
    assert len(set(ids)) == 3


async def _later(group: GroupCommit[str, int], name: str) -> int:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return await group.ask(name)


async def test_no_more_go_together_than_are_allowed_but_a_heavy_one_goes_alone(racks: Racks) -> None:
    group = GroupCommit(racks.store, racks.add, most=4, weigh=len)
    await asyncio.gather(*map(group.ask, ["aa", "bb", "cc", "ddddddd", "e"]))
    assert racks.batches == [["aa", "bb"], ["cc"], ["ddddddd"], ["e"]]


async def test_one_that_spoils_its_transaction_takes_no_other_with_it(racks: Racks) -> None:
    group = GroupCommit(racks.store, racks.add, most=100)
    found = await asyncio.gather(*map(group.ask, ["a", "bad", "c"]), return_exceptions=True)
    assert [type(one) for one in found] == [int, InvalidInput, int]
    assert await racks.known() == {"a", "c"}


async def test_one_that_is_refused_leaves_the_others_where_they_are(racks: Racks) -> None:
    group = GroupCommit(racks.store, racks.add, most=100)
    found = await asyncio.gather(*map(group.ask, ["a", "no", "c"]), return_exceptions=True)
    assert [type(one) for one in found] == [int, Conflict, int]
    assert racks.batches == [["a", "no", "c"]]


async def test_what_is_put_off_comes_first_in_the_next_and_who_has_gone_meanwhile_is_left_out(racks: Racks) -> None:
    async def two(tx: Transaction, names: Sequence[str]) -> list[int | RackwrightError | PutOff]:
        return [*await racks.add(tx, names[:2]), *[PutOff.LATER for _ in names[2:]]]

    group = GroupCommit(racks.store, two, most=4)
    asked = [asyncio.create_task(group.ask(name)) for name in "abcdef"]
    while len(racks.batches) < 1:
        await asyncio.sleep(0)
    asked[3].cancel()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert racks.batches == [["a", "b"], ["c", "e"], ["f"]]
    assert [type(one) for one in found] == [int, int, int, asyncio.CancelledError, int, int]


async def test_what_must_not_go_together_is_carried_out_one_by_one(racks: Racks) -> None:
    async def alone(tx: Transaction, names: Sequence[str]) -> list[int | RackwrightError]:
        if len(names) > 1:
            raise Apart
        return await racks.add(tx, names)

    group = GroupCommit(racks.store, alone, most=100)
    await asyncio.gather(*map(group.ask, ["a", "b"]))
    assert racks.batches == [["a"], ["b"]]


async def test_with_the_store_away_all_are_told_so_and_it_is_not_tried_again(racks: Racks) -> None:
    tries = 0

    async def away(tx: Transaction, names: Sequence[str]) -> list[int | RackwrightError]:
        nonlocal tries
        tries += 1
        raise StoreUnavailable("it is away")

    group = GroupCommit(racks.store, away, most=100)
    found = await asyncio.gather(*map(group.ask, ["a", "b"]), return_exceptions=True)
    assert [type(one) for one in found] == [StoreUnavailable] * 2
    assert tries == 1


async def test_nothing_is_done_for_who_has_gone_before_its_turn(racks: Racks) -> None:
    group = GroupCommit(racks.store, racks.add, most=1)
    first = asyncio.create_task(group.ask("a"))
    gone = asyncio.create_task(group.ask("b"))
    await asyncio.sleep(0)
    gone.cancel()
    await first
    await group.ask("c")
    assert racks.batches == [["a"], ["c"]]
