"""What machines told the rack, on its way to the region: on the disk before the machine is answered, sent in batches.

Facts are kept in SQLite until the region has taken them. That a machine is there at all is only worth knowing while it
is new, so heartbeats are kept in memory.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from rackwright.core.errors import Conflict, InvalidInput, NotAllowed, NotFound, Retryable
from rackwright.rack.client import patiently
from rackwright.rack.region import Observation
from rackwright.rack.together import Together

rhythm = 5.0
"""Seconds for which heartbeats are gathered: far less than a silent machine is waited for, and each rack of thousands
sends a request that often, as long as machines of it live."""

gather_time = 0.02
"""Seconds for which facts are gathered: machines come in swarms, and somebody waits for their facts."""

batch_items = 500
"""Machines in one request."""

batch_bytes = 3 * 1024 * 1024
"""Bytes of facts in one request; a single report may be larger."""

_TABLE = "CREATE TABLE IF NOT EXISTS told (id INTEGER PRIMARY KEY AUTOINCREMENT, report BLOB NOT NULL)"

T = TypeVar("T")

log = structlog.get_logger()


class Hearing(Protocol):
    """Who takes observations: the region. Raises ``Retryable``, or ``InvalidInput``, ``NotFound``, ``Conflict`` for
    what it will never take."""

    async def observed(self, items: Sequence[Observation]) -> None:
        """Take what was seen."""


class ReportSpool:
    """Reports on the disk, in the order in which they came."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _TABLE):
            self._db.execute(statement)
        self._keeping = Together(self._insert_all, batch_items)
        self._turn = asyncio.Lock()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    async def keep(self, report: Observation) -> None:
        """Make a report safe. Those that come while others are written go together into the next transaction. Raises
        ``Retryable`` when the disk does not take it."""
        await self._keeping.one(report)

    def oldest(self) -> tuple[int, list[Observation]]:
        """The oldest reports that fit into one request, and the number up to which they go; (0, []): there are none."""
        rows = self._db.execute("SELECT id, report FROM told ORDER BY id LIMIT ?", (batch_items,))
        last, size = 0, 0
        found: list[Observation] = []
        for number, body in rows:
            size += len(body)
            if found and size > batch_bytes:
                break
            found.append(msgspec.json.decode(body, type=Observation))
            last = number
        return last, found

    async def drop(self, last: int) -> None:
        """Forget the reports up to this number."""
        async with self._turn:
            await self._in_thread(lambda: self._db.execute("DELETE FROM told WHERE id <= ?", (last,)))

    async def _in_thread(self, work: Callable[[], object]) -> None:
        # A transaction that has begun goes on in its thread; the turn is kept until it has ended.
        writing = asyncio.create_task(asyncio.to_thread(work))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            raise
        except sqlite3.Error as error:
            what = f"what a machine said cannot be kept: {error}"
            raise Retryable(what, mend="make room on the rack's disk") from error

    async def _insert_all(self, reports: Sequence[Observation]) -> list[None]:
        rows = [(msgspec.json.encode(item),) for item in reports]
        async with self._turn:
            await self._in_thread(lambda: self._insert(rows))
        return [None] * len(rows)

    def _insert(self, rows: list[tuple[bytes]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:
            self._db.executemany("INSERT INTO told (report) VALUES (?)", rows)


class Relay:
    """Hands on what machines told; ``hearing`` is the region."""

    def __init__(self, hearing: Hearing, folder: str) -> None:
        self.hearing = hearing
        self.spool = ReportSpool(os.path.join(folder, "told.sqlite"))
        self._seen: dict[str, float] = {}
        self._mentioned: dict[str, dict[str, Any]] = {}
        self._came, self._pressing = asyncio.Event(), asyncio.Event()
        self._press()  # for what a former process left

    def close(self) -> None:
        """Let go of the files; what was not sent stays for the next start."""
        self.spool.close()

    async def report(self, node: str, facts: dict[str, Any], *, alive: bool | None = None) -> None:
        """Tell the region facts of a node; returns when they are safe. Raises ``Retryable`` when they are not."""
        await self.spool.keep(Observation(node=node, facts=facts, alive=alive))
        self._seen[node] = time.monotonic()
        self._press()

    async def note(self, node: str, facts: dict[str, Any]) -> None:
        """Tell the region facts of a node that it did not say itself: it was not heard of by this."""
        await self.spool.keep(Observation(node=node, facts=facts))
        self._press()

    def mention(self, node: str, facts: dict[str, Any]) -> None:
        """Tell the region facts of a node that are looked at again and again anyway: they are in memory only."""
        self._mentioned[node] = self._mentioned.get(node, {}) | facts
        self._press()

    def seen(self, node: str) -> None:
        """Tell the region that a node was heard of."""
        self._seen[node] = time.monotonic()
        self._came.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._came.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(rhythm):
                    await self._pressing.wait()
                await asyncio.sleep(gather_time)
            self._came.clear()
            self._pressing.clear()
            while await self._send_one():
                pass

    def _press(self) -> None:
        self._came.set()
        self._pressing.set()

    async def _send_one(self) -> bool:
        """Send one batch; gives False when all was sent."""
        last, reports = self.spool.oldest()
        reports += [Observation(node=node, facts=facts) for node, facts in _taken(self._mentioned)]
        seen = dict(_taken(self._seen))
        items = _merged(reports, seen, time.monotonic())
        if not items:
            return False
        await self._deliver(items)
        if last:
            await patiently("forgetting what was told", lambda: self.spool.drop(last))
        return bool(last or self._seen or self._mentioned)

    async def _deliver(self, items: list[Observation]) -> None:
        try:
            await patiently("observed", lambda: self._tell(items))
        except (InvalidInput, NotFound, Conflict) as error:
            await self._deliver_apart(items, str(error))

    async def _tell(self, items: list[Observation]) -> None:
        try:
            await self.hearing.observed(items)
        except NotAllowed as error:
            # A token can be mended, and then all that waits here is wanted.
            raise Retryable(error.what, where=error.where, mend=error.mend) from error

    async def _deliver_apart(self, items: list[Observation], reason: str) -> None:
        """One report that the region will never take must not take the others of its batch with it."""
        if len(items) == 1:
            log.error("the region refuses for good what a machine told", node=items[0].node, reason=reason)
            return
        for item in items:
            await self._deliver([item])


def _taken(waiting: dict[str, T]) -> list[tuple[str, T]]:
    """Take as many of those that wait as one request may hold."""
    return [(name, waiting.pop(name)) for name in list(waiting)[:batch_items]]


def _merged(reports: list[Observation], seen: dict[str, float], now: float) -> list[Observation]:
    """One item for each node: of its facts the newest, and how long ago it was heard of."""
    merged: dict[str, Observation] = {}
    for report in reports:
        before = merged.get(report.node, Observation(node=report.node))
        alive = before.alive if report.alive is None else report.alive
        merged[report.node] = Observation(node=report.node, facts=before.facts | report.facts, alive=alive)
    for name, when in seen.items():
        known = merged.get(name, Observation(node=name))
        merged[name] = msgspec.structs.replace(known, seen=round(max(now - when, 0.0), 3))
    return list(merged.values())
