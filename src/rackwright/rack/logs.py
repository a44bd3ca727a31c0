"""Logs of attempts: written to a local folder by the jigs, and shipped to the api while they grow."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass

import structlog

from rackwright.core.errors import InvalidInput
from rackwright.core.messages import LogChunk, LogChunks
from rackwright.rack.client import RackClient, patiently

shortest_pause, longest_pause = 0.5, 2.0
"""Seconds between two looks at the logs: short while one of them grows. Most attempts say a few words and end: where
many do, their logs go together, and a rack whose machines take their time looks seldom."""

request_limit = 1024 * 1024
"""Bytes of logs in one request."""

log = structlog.get_logger()


@dataclass
class Spooled:
    """One log: how much of it the api has, and whether it still grows."""

    id: int
    attempt: int
    path: str
    shipped: int = 0
    ended: bool = False

    @property
    def name(self) -> str:
        """Of its file in the folder."""
        return os.path.basename(self.path)


class LogShipper:
    """Ships the logs in ``folder``: each byte in order, repeated until acknowledged, then the file is removed."""

    def __init__(self, client: RackClient, folder: str) -> None:
        self.client = client
        self.folder = folder
        self._logs: dict[tuple[int, int], Spooled] = {}
        self._begun, self._hurry = asyncio.Event(), asyncio.Event()
        self._emptied = asyncio.Event()
        self._looked = -longest_pause

    def load(self) -> None:
        """Take over the logs of former processes of the rack; they grow no more."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for name in sorted(os.listdir(self.folder)):
            number, _, attempt = name.removesuffix(".log").partition("-")
            if number.isdigit() and attempt.isdigit():
                self.path(int(number), int(attempt))
                self.end(int(number), int(attempt))

    def path(self, number: int, attempt: int) -> str:
        """The file for the log of an attempt, from now on shipped while it grows."""
        path = os.path.join(self.folder, f"{number}-{attempt}.log")
        self._logs[number, attempt] = Spooled(number, attempt, path)
        self._emptied.clear()
        self._begun.set()
        return path

    def end(self, number: int, attempt: int) -> None:
        """The log of this attempt is whole: it is shipped at once, unless others just were."""
        spooled = self._logs.get((number, attempt))
        if spooled is not None:
            spooled.ended = True
            if time.monotonic() - self._looked > longest_pause:
                self._hurry.set()

    async def emptied(self) -> None:
        """Ship all that there is without waiting for more, and wait until that is done."""
        self._hurry.set()
        await self._emptied.wait()

    async def run(self) -> None:
        """Ship for ever."""
        pause = longest_pause
        while True:
            if not self._logs:
                self._emptied.set()
                self._begun.clear()
                await self._begun.wait()
            if await self._hurried(pause):
                pause = shortest_pause
            pieces = self._next_pieces()
            await self._ship(pieces)
            self._looked = time.monotonic() if pieces else self._looked
            if sum(len(piece.data) for piece in pieces) >= request_limit:
                pause = 0.0
            elif any(not piece.last for piece in pieces):
                pause = shortest_pause
            else:
                pause = min(max(2 * pause, shortest_pause), longest_pause)

    async def _hurried(self, pause: float) -> bool:
        """Wait, but no longer once somebody is in a hurry; gives whether that is so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._hurry.wait()
        hurried = self._hurry.is_set()
        self._hurry.clear()
        return hurried

    def _next_pieces(self) -> list[LogChunk]:
        """What is to be sent now: as much of each log as one request may hold."""
        pieces: list[LogChunk] = []
        room, there = request_limit, self._there()
        for spooled in list(self._logs.values()):
            if spooled.name not in there:
                self._silent(spooled)
                continue
            piece = self._next_piece(spooled, room)
            if piece is not None:
                pieces.append(piece)
                room -= len(piece.data)
            if room <= 0:
                break
        return pieces

    def _there(self) -> Container[str]:
        """The logs that have a file. Most attempts say nothing until their end: one look at the folder costs less than
        to find each of their files missing."""
        if not self._logs:
            return ()
        try:
            return set(os.listdir(self.folder))
        except OSError:
            # Each log then tells what is wrong with it.
            return {spooled.name for spooled in self._logs.values()}

    def _silent(self, spooled: Spooled) -> None:
        """Nothing was said yet, or nothing at all."""
        if spooled.ended:
            self._forget(spooled)

    def _next_piece(self, spooled: Spooled, room: int) -> LogChunk | None:
        try:
            data, last = _read(spooled, room)
        except FileNotFoundError:
            self._silent(spooled)
            return None
        except OSError as error:
            log.error("log cannot be read", path=spooled.path, reason=str(error))
            self._forget(spooled)
            return None
        if not data and not last:
            return None
        return LogChunk(id=spooled.id, attempt=spooled.attempt, offset=spooled.shipped, data=data, last=last)

    async def _ship(self, pieces: list[LogChunk]) -> None:
        """Send pieces."""
        if not pieces:
            return
        try:
            await patiently("logs", lambda: self.client.logs(LogChunks(pieces)))
        except InvalidInput as error:
            await self._ship_apart(pieces, str(error))
        else:
            for piece in pieces:
                self._acknowledged(piece)

    async def _ship_apart(self, pieces: list[LogChunk], reason: str) -> None:
        """One piece that the api will never take must not hold back the logs of other attempts."""
        if len(pieces) > 1:
            for piece in pieces:
                await self._ship([piece])
            return
        log.error("log refused for good", id=pieces[0].id, attempt=pieces[0].attempt, reason=reason)
        self._forget(self._logs[pieces[0].id, pieces[0].attempt])

    def _acknowledged(self, piece: LogChunk) -> None:
        spooled = self._logs.get((piece.id, piece.attempt))
        if spooled is None:
            return
        spooled.shipped = piece.offset + len(piece.data)
        if piece.last:
            self._forget(spooled)
        else:
            # To the end of the row: a loud task must not keep the others silent.
            self._logs[piece.id, piece.attempt] = self._logs.pop((piece.id, piece.attempt))

    def _forget(self, spooled: Spooled) -> None:
        self._logs.pop((spooled.id, spooled.attempt), None)
        with suppress(OSError):
            os.unlink(spooled.path)


def _read(spooled: Spooled, room: int) -> tuple[bytes, bool]:
    """The next bytes of a log, and whether they are its last."""
    with open(spooled.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(spooled.shipped)
        data = file.read(room)
    return data, spooled.ended and spooled.shipped + len(data) >= size
