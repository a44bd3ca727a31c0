"""Listening to PostgreSQL's notifications on one connection that comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg

from rackwright.core.errors import StoreUnavailable
from rackwright.store.news import Board
from rackwright.store.postgres.session import CONNECT_TIMEOUT, translated

CHANNELS = ("work", "plan", "barrier", "event", "hook", "served", "rack")
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between tries to connect again."""
PULSE = 30.0
"""Every so many seconds the connection has to answer."""


class Listening:
    """Puts every notification on the board while it runs."""

    def __init__(self, dsn: str, board: Board) -> None:
        self._dsn = dsn
        self._board = board
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()

    async def ready(self) -> None:
        """Start if need be and wait until the connection listens. Raises StoreUnavailable after CONNECT_TIMEOUT."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="rackwright-listening")
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._up.wait()
        except TimeoutError as error:
            raise StoreUnavailable("the database cannot be reached", mend="check that the server runs") from error

    async def stop(self) -> None:
        """End it and close the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                with translated():
                    await self._listen()
            except StoreUnavailable:
                self._up.clear()
            if self._up.is_set():
                pause = FIRST_PAUSE
                self._up.clear()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _listen(self) -> None:
        """Listen until the connection is lost."""
        connection = await asyncpg.connect(
            self._dsn, timeout=CONNECT_TIMEOUT, server_settings={"application_name": "rackwright-listen"}
        )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel in CHANNELS:
                await connection.add_listener(channel, self._heard)
            self._up.set()
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PULSE):
                        await lost.wait()
                if not lost.is_set():
                    await connection.execute("SELECT 1", timeout=CONNECT_TIMEOUT)
        finally:
            connection.terminate()

    def _heard(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._board.tell(channel, str(payload))
