"""A client's way to the scheduler: a thread with an event loop, from which all that happens comes as events."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Collection, Coroutine
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import zstandard

from rackwright.engine.serialization.answering import squeezed
from rackwright.engine.serialization.dask.admission import Registration, registrations
from rackwright.engine.serialization.dask.archive import Archive
from rackwright.engine.serialization.dask.certificates import check_address, security
from rackwright.engine.serialization.dask.desk import (
    ANSWERS,
    ARCHIVES,
    FAULT,
    LACKING,
)
from rackwright.engine.serialization.dask.library import configure

if TYPE_CHECKING:
    from distributed import Client

LOOK = 0.25
"""Seconds between two looks at the scheduler's workers."""
CONNECTING = 3.0
"""Seconds that one attempt to connect may take."""
LOST, BROKEN = "lost", "broken"
"""How a chunk came back, besides the ways of a desk: the scheduler was lost, or the worker could not be reached; the
connection to the worker broke while it had the chunk."""
_TRIES = 5
"""How often an archive is sent to a worker that loses it again."""


@dataclass(frozen=True)
class Seen:
    """The workers that the scheduler knows now, by address."""

    workers: dict[str, Registration | None]


@dataclass(frozen=True)
class Unreachable:
    """The scheduler cannot be reached: why; ``refused`` when trying again makes no sense."""

    why: str
    refused: bool = False


@dataclass(frozen=True)
class Returned:
    """A chunk came back: its ticket, how, and the answer or words."""

    ticket: int
    how: str
    data: bytes


@dataclass(frozen=True)
class Supplied:
    """The worker at an address has the archive; or it could not be brought there, of which chunks will tell."""

    worker: str


Event: TypeAlias = Seen | Unreachable | Supplied | Returned


class Link:
    """The way to a scheduler. To be used as a context; then ``send``, and ``hear`` what happens."""

    def __init__(self, address: str, certificates: Path, archive: Archive) -> None:
        check_address(address)
        self._address = address
        self._security = security(certificates, "client")
        self._archive = archive
        self._client: Client | None = None
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._tickets = itertools.count()
        self._attempts: dict[int, asyncio.Task[None]] = {}
        self._supplies: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="serialisation", daemon=True)

    def __enter__(self) -> Link:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def hear(self, wait: float) -> Event | None:
        """Give the next thing that happened; None when nothing does within ``wait`` seconds."""
        assert self._thread.is_alive(), "the thread of the link has ended"
        try:
            return self._events.get(timeout=wait) if wait else self._events.get_nowait()
        except Empty:
            return None

    def send(self, worker: str, chunk: bytes) -> int:
        """Send a chunk to the worker at an address, and the archive before it when the worker lacks it. Gives the
        ticket under which it comes back."""
        ticket = next(self._tickets)
        self._loop.call_soon_threadsafe(self._begin, ticket, worker, chunk)
        return ticket

    def supply(self, worker: str) -> None:
        """Let the worker at an address have the archive, so that its first chunk need not wait for it. ``Supplied``
        tells that it has it."""
        self._loop.call_soon_threadsafe(self._supplying, worker)

    def drop(self, ticket: int) -> None:
        """Forget a chunk that was sent: its worker is gone."""
        self._loop.call_soon_threadsafe(self._cancel, ticket)

    def _begin(self, ticket: int, worker: str, chunk: bytes) -> None:
        attempt = self._attempts[ticket] = self._loop.create_task(self._attempt(ticket, worker, chunk))
        attempt.add_done_callback(lambda _: self._attempts.pop(ticket, None))

    def _cancel(self, ticket: int) -> None:
        if ticket in self._attempts:
            self._attempts[ticket].cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._until_over(self._keep_connected()))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._close_all()

    def _close_all(self) -> None:
        """Close the loop, with every connection that the library has left: it forgets those that are being made."""
        from tornado.ioloop import IOLoop

        loop = IOLoop.current(instance=False)
        if loop is not None:
            loop.close(all_fds=True)
        self._loop.close()

    async def _until_over(self, work: Coroutine[None, None, None]) -> None:
        """Do the work until the link is closed; then leave nothing that runs."""
        working, over = asyncio.ensure_future(work), asyncio.ensure_future(self._over.wait())
        await asyncio.wait({working, over}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, over, *self._attempts.values(), *self._supplies.values()):
            task.cancel()
        await asyncio.gather(working, over, *self._attempts.values(), *self._supplies.values(), return_exceptions=True)

    async def _keep_connected(self) -> None:
        """Look at the workers again and again; connect anew when the scheduler was lost."""
        # That the link is closed is looked for, too: a cancellation may be lost in the library.
        while not self._over.is_set():
            try:
                await self._connected()
            except Exception as error:
                self._supplies.clear()
                self._events.put(Unreachable(_words(error), _is_refusal(error)))
            await asyncio.sleep(LOOK)

    async def _connected(self) -> None:
        from distributed import Client

        configure()
        client = Client(
            self._address, security=self._security, asynchronous=True, timeout=CONNECTING, set_as_default=False
        )
        try:
            await client
            self._client = client
            while client.scheduler is not None and not self._over.is_set():
                async with asyncio.timeout(CONNECTING):
                    known = await client.scheduler.identity()
                self._forget_all_but(known["workers"])
                self._events.put(Seen(registrations(known["workers"])))
                await asyncio.sleep(LOOK)
        finally:
            self._client = None
            # Also one that never connected must be closed.
            await client.close(timeout=CONNECTING)

    def _forget_all_but(self, workers: Collection[str]) -> None:
        for worker in [worker for worker in self._supplies if worker not in workers]:
            self._supplies.pop(worker).cancel()

    async def _attempt(self, ticket: int, worker: str, chunk: bytes) -> None:
        """Bring a chunk to a worker and its answer back."""
        try:
            small = squeezed(chunk)
            for _ in range(_TRIES):
                await self._supplied(worker)
                how, data = await self._answered(worker, small)
                if how != LACKING:
                    break
                self._supplies.pop(worker, None)
            self._events.put(Returned(ticket, how, data))
        except Exception as error:
            how = _how(error, connected=self._is_connected())
            self._events.put(Returned(ticket, how, _words(error).encode()))

    async def _supplied(self, worker: str) -> None:
        """Wait until a worker has the archive; however many chunks wait for it, it is sent once."""
        try:
            await asyncio.shield(self._supplying(worker))
        except Exception:
            self._supplies.pop(worker, None)
            raise

    def _supplying(self, worker: str) -> asyncio.Task[None]:
        """Begin to send a worker the archive, unless that has begun already."""
        if worker not in self._supplies:
            supply = self._supplies[worker] = self._loop.create_task(self._supply(worker))
            supply.add_done_callback(partial(self._tell_supplied, worker))
        return self._supplies[worker]

    def _tell_supplied(self, worker: str, supply: asyncio.Task[None]) -> None:
        if supply.cancelled():
            return
        # Its error is told to the chunks that wait for it; there may be none.
        supply.exception()
        self._events.put(Supplied(worker))

    async def _supply(self, worker: str) -> None:
        try:
            if not await self._asked(worker, ARCHIVES, data=b""):
                await self._asked(worker, ARCHIVES, data=self._archive.data)
        except OSError as error:
            raise _Unreached(str(error)) from error

    async def _answered(self, worker: str, chunk: bytes) -> tuple[str, bytes]:
        how, data = await self._asked(worker, ANSWERS, chunk=chunk)
        return how, zstandard.decompress(data)

    async def _asked(self, worker: str, operation: str, **words: Any) -> Any:
        """Ask a worker about the archive, on a connection of our own: nothing large passes the scheduler."""
        from distributed.core import send_recv

        pool = self._reached().rpc
        try:
            connection = await pool.connect(worker, CONNECTING)
        except OSError as error:
            raise _Unreached(str(error)) from error
        try:
            return await send_recv(connection, op=operation, name=self._archive.fingerprint, **words)
        except BaseException:
            # Half of an answer may be on the way yet.
            connection.abort()
            raise
        finally:
            pool.reuse(worker, connection)

    def _is_connected(self) -> bool:
        return self._client is not None and self._client.status == "running"

    def _reached(self) -> Client:
        if self._client is None:
            raise ConnectionError("the scheduler is not connected")
        return self._client


def _how(error: Exception, *, connected: bool) -> str:
    """Whether an error tells that a worker died of a chunk, that it or the scheduler is not to be reached, or that the
    work failed."""
    if not isinstance(error, OSError | CancelledError | TimeoutError):
        return FAULT
    return BROKEN if connected and not isinstance(error, _Unreached) else LOST


class _Unreached(OSError):
    """There is no connection to a worker."""


def _is_refusal(error: BaseException) -> bool:
    """Whether the other side does not want to speak with us, or we not with it."""
    from distributed.comm.core import FatalCommClosedError

    causes: Any = error
    while causes is not None:
        if isinstance(causes, FatalCommClosedError):
            return True
        causes = causes.__cause__ or causes.__context__
    return False


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
