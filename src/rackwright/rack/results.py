"""Results of attempts: on the disk before they are sent, and kept until the api has said what became of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import msgspec
import structlog

from rackwright.core.errors import InvalidInput, Retryable
from rackwright.core.messages import ClaimRequest, Claims, Result, Results, Verdicts
from rackwright.rack.client import RackClient, patiently

batch_limit = 200
"""Results in one batch, thus in one file and one request."""

log = structlog.get_logger()


class ResultSpool:
    """A folder with one file for each batch of results that was not acknowledged yet, named by a growing number.

    A batch keeps the incarnation of the rack that made it, also when a later one sends it.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._number = 0
        self._batches: dict[int, Results] = {}

    def load(self) -> int:
        """Read what former processes of the rack left; gives the number of results. A file that cannot be read is put
        aside under another name."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        stems = [name.removesuffix(".json") for name in os.listdir(self.folder) if name.endswith(".json")]
        numbers = sorted(int(stem) for stem in stems if stem.isdigit())
        for number in numbers:
            try:
                with open(self._path(number), "rb") as file:
                    self._batches[number] = msgspec.json.decode(file.read(), type=Results)
            except (OSError, msgspec.MsgspecError) as error:
                log.error("spooled results cannot be read", path=self._path(number), reason=str(error))
                self.put_aside(number)
        self._number = max(numbers, default=0)
        return len(self.held())

    def keep(self, batch: Results) -> int:
        """Make a batch safe on the disk; gives its number. When the disk does not take it, it is kept in memory only,
        and said so."""
        self._number += 1
        self._batches[self._number] = batch
        try:
            self._write(self._path(self._number), msgspec.json.encode(batch))
        except OSError as error:
            log.error("results are in memory only", path=self.folder, reason=str(error), mend="free space on that disk")
        return self._number

    def oldest(self) -> tuple[list[int], Results] | None:
        """The numbers of the oldest batches, as many as fit into one request, and what they hold; None: there are none.
        While one request is under way, results are made safe one by one; they need not be sent so."""
        numbers: list[int] = []
        items: list[Result] = []
        first = next(iter(self._batches.values()), None)
        if first is None:
            return None
        for number, batch in self._batches.items():
            full = bool(items) and len(items) + len(batch.items) > batch_limit
            if full or batch.incarnation != first.incarnation:
                break
            numbers.append(number)
            items += batch.items
        return numbers, Results(first.incarnation, items)

    def drop(self, numbers: Sequence[int]) -> None:
        """Forget batches that were acknowledged."""
        for number in numbers:
            del self._batches[number]
            with suppress(FileNotFoundError):
                os.unlink(self._path(number))

    def put_aside(self, number: int) -> None:
        """Keep a batch for people, and never send it again."""
        self._batches.pop(number, None)
        with suppress(FileNotFoundError):
            os.replace(self._path(number), f"{self._path(number)}.refused")

    def held(self) -> list[tuple[int, int]]:
        """The (id, attempt) pairs of all results that are not acknowledged."""
        return [(item.id, item.attempt) for batch in self._batches.values() for item in batch.items]

    def _path(self, number: int) -> str:
        return os.path.join(self.folder, f"{number:012}.json")

    def _write(self, path: str, data: bytes) -> None:
        """Under its name there is a whole file or none, also after a power cut."""
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Trade(Protocol):
    """What comes back for results: the next node tasks."""

    def want(self) -> ClaimRequest | None:
        """What to ask for with a batch of results; these places are taken until ``settle``."""

    def settle(self, wanted: ClaimRequest, claims: Claims | None) -> None:
        """What came of it; None: there was no answer."""


class ResultSender:
    """Takes results as they come, makes them safe in batches, and sends them in order."""

    def __init__(self, client: RackClient, spool: ResultSpool, incarnation: str) -> None:
        self.client = client
        self.spool = spool
        self.incarnation = incarnation
        self.trade: Trade | None = None
        self._fresh: list[Result] = []
        self._came = asyncio.Event()
        self._emptied = asyncio.Event()

    def give(self, result: Result) -> None:
        """Take one result."""
        self._fresh.append(result)
        self._emptied.clear()
        self._came.set()

    def held(self) -> list[tuple[int, int]]:
        """The (id, attempt) pairs that are done, but not acknowledged."""
        return [*self.spool.held(), *((item.id, item.attempt) for item in self._fresh)]

    async def emptied(self) -> None:
        """Wait until every result that was given is acknowledged."""
        await self._emptied.wait()

    def save(self) -> None:
        """Make all fresh results safe."""
        while self._fresh:
            batch, self._fresh = self._fresh[:batch_limit], self._fresh[batch_limit:]
            self.spool.keep(Results(self.incarnation, batch))

    async def run(self) -> None:
        """Send for ever. Results that come while the api is away are made safe at once: by the second task."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._save_as_they_come())
            group.create_task(self._send())

    async def _save_as_they_come(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            self.save()

    async def _send(self) -> None:
        while True:
            self.save()
            oldest = self.spool.oldest()
            if oldest is None:
                self._emptied.set()
                await self._came.wait()
            else:
                await self._deliver(*oldest)

    async def _deliver(self, numbers: Sequence[int], batch: Results) -> None:
        """Send batches as one; where the api will never take it, each result alone: a bad one must not take the others
        with it."""
        try:
            await self._send_all(numbers, batch)
        except InvalidInput:
            alone = [Results(batch.incarnation, [item]) for item in batch.items]
            kept = [(self.spool.keep(one), one) for one in alone]
            self.spool.drop(numbers)
            for number, one in kept:
                await self._deliver_alone(number, one)

    async def _deliver_alone(self, number: int, one: Results) -> None:
        try:
            await self._send_all([number], one)
        except InvalidInput as error:
            log.error("result refused for good and put aside", path=self.spool.folder, reason=str(error))
            self.spool.put_aside(number)

    async def _send_all(self, numbers: Sequence[int], batch: Results) -> None:
        verdicts = await patiently("results", lambda: self._ask(batch))
        for verdict in verdicts.items:
            if not verdict.taken:
                log.info("result not taken", id=verdict.id, attempt=verdict.attempt, reason=verdict.reason)
        self.spool.drop(numbers)

    async def _ask(self, batch: Results) -> Verdicts:
        verdicts = await self._send_one(batch)
        judged = {(item.id, item.attempt) for item in verdicts.items}
        missing = [item.id for item in batch.items if (item.id, item.attempt) not in judged]
        if missing:
            raise Retryable(f"the api gave no verdict on {len(missing)} of {len(batch.items)} results")
        return verdicts

    async def _send_one(self, batch: Results) -> Verdicts:
        wanted = self.trade.want() if self.trade is not None and batch.incarnation == self.incarnation else None
        if self.trade is None or wanted is None:
            return await self.client.results(batch)
        claims = None
        try:
            verdicts = await self.client.results(msgspec.structs.replace(batch, next=wanted))
            claims = verdicts.next
        finally:
            self.trade.settle(wanted, claims)
        return verdicts
