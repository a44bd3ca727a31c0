"""One load process: `python -m rackwright.load.process`. Its work comes on stdin, its words go to stdout.

What scenarios print goes to stderr. It ends when its share is done, when it is told to stop, or when nobody is there
any more.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import uvloop

from rackwright.core.errors import RackwrightError
from rackwright.load.chunks import Writer
from rackwright.load.code import load_scenario
from rackwright.load.generator import Generator, describe
from rackwright.load.http import Http
from rackwright.load.scenario import Scenario, Surroundings
from rackwright.load.words import Asked, Begin, Ended, Live, Ready, Settle, Stop, Told, Turn, Work, hear_asked, pack

FLUSH = 5.0
"""Seconds that the last words have to be taken."""
LEASHES = 3
"""After so many leashes without a word it ends: nobody will come back."""


def main() -> None:
    """Do one work, then end, whatever the scenario's threads still do."""
    words = os.dup(1)
    os.dup2(2, 1)
    uvloop.run(_serve(words))
    sys.stderr.flush()
    os._exit(0)


async def _serve(words: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    voice = _Voice()
    await loop.connect_write_pipe(lambda: voice, os.fdopen(words, "wb"))
    work = await hear_asked(reader)
    if not isinstance(work, Work):
        return
    try:
        scenario = load_scenario(work.scenario)
    except RackwrightError as error:
        voice.tell(Ended(fault=str(error)))
    else:
        voice.tell(Ready())
        word = await hear_asked(reader)
        if isinstance(word, Begin):
            listening = functools.partial(_listen, reader, work.leash)
            await _generate(_prepare(work, scenario, voice, word), listening, voice)
    await voice.close()


def _prepare(work: Work, scenario: type[Scenario], voice: _Voice, begin: Begin) -> Generator:
    surroundings = Surroundings(Http(connections=work.connections), work.context)
    rows = Writer(Path(work.folder), work.most_bytes) if work.folder else None
    return Generator(work, scenario, surroundings, voice.tell, begin.zero, rows, begin.deals)


async def _generate(
    generator: Generator, listen: Callable[[Generator], Coroutine[Any, Any, None]], voice: _Voice
) -> None:
    listening = asyncio.create_task(listen(generator))
    try:
        await generator.run()
    except Exception as error:
        voice.tell(Ended(fault=describe(error).trace))
    finally:
        listening.cancel()


async def _listen(reader: asyncio.StreamReader, leash: float, generator: Generator) -> None:
    try:
        while True:
            async with asyncio.timeout(leash * LEASHES or None):
                word = await hear_asked(reader)
            _obey(word, generator)
    except (asyncio.IncompleteReadError, TimeoutError):
        generator.stop(cancel=True)


def _obey(word: Asked, generator: Generator) -> None:
    if isinstance(word, Stop):
        generator.stop(cancel=word.cancel)
    elif isinstance(word, Turn):
        generator.turn(word)
    elif isinstance(word, Settle):
        generator.settle(word.number, word.place)
    elif isinstance(word, Live):
        generator.lend(word.until)


class _Voice(asyncio.BaseProtocol):
    """What this process says; the loop does not wait for it to be heard."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is ready."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def tell(self, word: Told) -> None:
        """Say one thing."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack(word))

    async def close(self) -> None:
        """Wait until all was taken, but not for ever."""
        assert self._transport is not None
        end = asyncio.get_running_loop().time() + FLUSH
        while self._transport.get_write_buffer_size() and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    main()
