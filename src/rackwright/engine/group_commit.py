"""Group commit: requests that come at the same time are carried out in one transaction, each answered for itself.

A transaction costs some forty statements and a commit, whether it moves one node task or a thousand. So while one is
under way what comes meanwhile is gathered, and goes together into the next. Where few ask, nobody waits for company.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from rackwright.core.errors import RackwrightError, StoreUnavailable
from rackwright.core.ports import Store, Transaction
from rackwright.engine.transact import transact

Q = TypeVar("Q")
A = TypeVar("A")


class Apart(Exception):
    """These requests cannot be carried out together: each is to be tried alone."""


class PutOff(enum.Enum):
    """In place of an answer: nothing was done for this request, it is first in the next transaction."""

    LATER = "later"


Work = Callable[[Transaction, Sequence[Q]], Awaitable[Sequence[A | RackwrightError | PutOff]]]
"""Carries requests out; gives an answer for each, in their order. One that is an error is raised to who asked; the
others are kept all the same, so it must have changed nothing. The first of them must not be put off."""


def _one(_: object) -> int:
    return 1


class GroupCommit(Generic[Q, A]):
    """Requests of one kind. At most ``most`` go into one transaction, as ``weigh`` weighs them; one alone may be more.

    When ``work`` raises, nothing of the transaction is kept, and each of its requests is tried in one of its own: a
    request that cannot be carried out never spoils the others. With the store away all are told so.
    """

    def __init__(self, store: Store, work: Work[Q, A], most: int, weigh: Callable[[Q], int] = _one) -> None:
        self._store = store
        self._work = work
        self._most = most
        self._weigh = weigh
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, request: Q) -> A:
        """The answer to one request; what it has changed is committed."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            batch = self._next()
            try:
                await self._carry_out(batch)
            except StoreUnavailable as error:
                _settle(batch, [error] * len(batch))
            except Exception as error:
                if len(batch) == 1:
                    _settle(batch, [error])
                else:
                    await self._apart(batch)

    def _next(self) -> list[tuple[Q, asyncio.Future[A]]]:
        """Take the next that still wait for their answer."""
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        weight, taken = 0, 0
        for request, answer in self._waiting:
            weight += 0 if answer.done() else self._weigh(request)
            if batch and weight > self._most:
                break
            taken += 1
            if not answer.done():
                batch.append((request, answer))
        del self._waiting[:taken]
        return batch

    async def _apart(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        for one in batch:
            try:
                await self._carry_out([one])
            except Exception as error:
                _settle([one], [error])

    async def _carry_out(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        if batch:
            requests = [request for request, _ in batch]
            answers = await transact(self._store, lambda tx: self._work(tx, requests))
            self._waiting[:0] = [one for one, answer in zip(batch, answers, strict=True) if isinstance(answer, PutOff)]
            _settle(batch, answers)


def _settle(batch: Sequence[tuple[Q, asyncio.Future[A]]], answers: Sequence[A | Exception | PutOff]) -> None:
    for (_, waiting), answer in zip(batch, answers, strict=True):
        if waiting.done() or isinstance(answer, PutOff):
            continue
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)
