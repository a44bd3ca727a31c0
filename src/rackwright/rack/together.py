"""Questions that come one by one, asked together: while one request is under way, the next one is gathered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """Asks ``many`` for what ``one`` was asked, at most ``most`` at a time. ``many`` gives an answer for each question,
    in their order; an answer that is an error is raised to who asked. What it raises itself, all get.

    The first question goes alone and at once: where few ask, nobody waits for company.
    """

    def __init__(self, many: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]], most: int) -> None:
        self._many = many
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def one(self, question: Q) -> A:
        """The answer to one question."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            batch = [(question, answer) for question, answer in batch if not answer.done()]
            if batch:
                await self._settle(batch)

    async def _settle(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        found: Sequence[A | Exception]
        try:
            found = await self._many([question for question, _ in batch])
        except Exception as error:
            found = [error] * len(batch)
        for (_, answer), said in zip(batch, found, strict=True):
            if answer.done():
                continue
            if isinstance(said, Exception):
                answer.set_exception(said)
            else:
                answer.set_result(said)
