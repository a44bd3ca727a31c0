"""Raw rows brought from agents on request: one chunk after the other, on a channel of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zmq

from rackwright.load.chunks import ENDING
from rackwright.load.distributed import messages
from rackwright.load.distributed.channel import Channel
from rackwright.load.distributed.messages import GiveRows, ListRows, Rows
from rackwright.load.generators import LoadFailed

PATIENCE = 30.0
"""Seconds that an agent has for one answer."""


class RowsChannel:
    """The controller's side."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._channel = Channel(socket, self._hear)
        self._answers: dict[bytes, asyncio.Future[Rows]] = {}

    def close(self) -> None:
        """End it."""
        self._channel.close()

    async def pull(self, identity: bytes, run: str, into: Path) -> int:
        """Bring all chunks of a run from one agent into a folder; gives their number.

        Raises:
            LoadFailed: when the agent does not answer, has lost them, or they cannot be kept here.
        """
        listed = await self._ask(identity, ListRows(run))
        for path in listed.paths:
            answer = await self._ask(identity, GiveRows(run, path))
            _keep(into, path, answer.chunk)
        return len(listed.paths)

    async def _ask(self, identity: bytes, word: ListRows | GiveRows) -> Rows:
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self._answers[identity] = answer
        self._channel.send(identity, messages.pack(word))
        try:
            async with asyncio.timeout(PATIENCE):
                given = await answer
        except TimeoutError:
            raise LoadFailed(f"nothing was said for {PATIENCE:g} s", mend="see whether it still runs") from None
        finally:
            del self._answers[identity]
        if given.fault:
            raise LoadFailed(given.fault, mend="look at the disk of that host")
        return given

    def _hear(self, frames: Sequence[bytes]) -> None:
        answer = self._answers.get(frames[0])
        if answer is None or answer.done():
            return
        try:
            answer.set_result(messages.rows_given.decode(frames[-1]))
        except msgspec.MsgspecError as error:
            answer.set_result(Rows(fault=f"the answer makes no sense: {error}"))


def _keep(into: Path, path: str, chunk: bytes) -> None:
    file = (into / path).resolve()
    if not file.is_relative_to(into.resolve()) or not path.endswith(ENDING):
        raise LoadFailed("an agent names a file that cannot be its own", where=path, mend="do not trust this agent")
    if not chunk:
        raise LoadFailed("a chunk is not there any more", where=path, mend="see who removes files at that host")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}")
        draft.write_bytes(chunk)
        draft.replace(file)
    except OSError as error:
        raise LoadFailed(f"it cannot be written here: {error}", where=path, mend="free space on this disk") from None
