"""What a command calls to have the embedded PostgreSQL while it works."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from rackwright.core.errors import RackwrightError, StoreUnavailable
from rackwright.store.embedded.folder import Folder, file_errors, located, opened
from rackwright.store.embedded.locks import Lock, is_held, try_lock
from rackwright.store.embedded.log import Log, Progress
from rackwright.store.embedded.report import Doing, Failed, Word, parsed
from rackwright.store.embedded.server import found

LINGER = 3.0  # seconds that the server stays after its last user
TICK = 0.05  # seconds between two looks
WATCH = 1.0  # seconds between two looks whether the guard is still there
LONGEST_WATCH = 30.0  # seconds, when guards fail again and again
SILENT_DEATHS = 3  # guards that die without a word before we give up

Tell = Callable[[str], None]


def _tell_nobody(text: str) -> None:
    return None


@contextlib.asynccontextmanager
async def running(data: Path, *, linger: float = LINGER, tell: Tell = _tell_nobody) -> AsyncIterator[str]:
    """Have the PostgreSQL of the folder ``data`` running, made if missing; gives its DSN, which holds no password.

    Any number of commands may do so at once: they share one server. It stays while one of them lives and ``linger``
    seconds more. ``tell`` gets a line now and then when a start takes long. Raises InvalidInput or StoreUnavailable.
    """
    folder = opened(data)
    with file_errors(folder.home):
        users = await _joined(folder, tell)
    try:
        await _until_ready(folder, linger, tell)
        leaving = asyncio.Event()
        keeper = asyncio.create_task(_keep_guarded(folder, leaving, linger, tell))
        try:
            yield folder.dsn()
        finally:
            leaving.set()
            await keeper
    finally:
        users.release()


async def wait_stopped(data: Path, patience: float = 60.0) -> bool:
    """Wait until no server runs in the folder ``data``; False when one still does after ``patience`` seconds."""
    folder = located(data)
    end = time.monotonic() + patience
    while is_held(folder.guard) or found(folder.cluster) is not None:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(TICK)
    return True


async def _joined(folder: Folder, tell: Tell) -> Lock:
    """The shared users' lock. A server that is just being stopped holds us up until it is down."""
    looks = 0
    while (lock := try_lock(folder.users, shared=True)) is None:
        looks += 1
        if looks == round(1 / TICK):
            tell("waiting for PostgreSQL to end its last checkpoint")
        await asyncio.sleep(TICK)
    return lock


async def _until_ready(folder: Folder, linger: float, tell: Tell) -> None:
    progress = Progress(Log(folder.log))
    silent = 0
    while not _is_ready(folder):
        if not is_held(folder.guard):
            noise = await _start_guard(folder, linger, tell)
            silent = silent + 1 if noise is not None else 0
            if silent == SILENT_DEATHS:
                raise StoreUnavailable(
                    f"the guard of the embedded PostgreSQL dies: {noise or 'without a word'}",
                    where=str(folder.log),
                    mend="read the log, and check the installation of Rackwright",
                )
            continue
        text = progress.check()
        if text:
            tell(text)
        await asyncio.sleep(TICK)


def _is_ready(folder: Folder) -> bool:
    server = found(folder.cluster)
    return server is not None and server.is_ready() and is_held(folder.guard)


async def _start_guard(folder: Folder, linger: float, tell: Tell) -> str | None:
    """Start a guard and listen until it is settled; raises its error. Gives its last noise when it dies unsettled."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __package__, str(folder.data), str(linger)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    if process.stdout is None:
        return "it has no output"
    word: Word | None = None
    noise = ""
    async for line in process.stdout:
        word = parsed(line)
        if word is None:
            noise = line.decode(errors="replace").strip()
        elif isinstance(word, Doing):
            tell(word.text)
    await process.wait()
    if isinstance(word, Failed):
        raise word.error()
    return noise if word is None or isinstance(word, Doing) else None


async def _keep_guarded(folder: Folder, leaving: asyncio.Event, linger: float, tell: Tell) -> None:
    """Start a new guard whenever the old one has been killed or has given up; once more on leaving.

    Without that last look a guard killed a moment ago would leave the server with nobody to stop it.
    """
    pause, is_last = WATCH, False
    while not is_last:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await leaving.wait()
        is_last = leaving.is_set()
        if is_held(folder.guard) or (is_last and found(folder.cluster) is None):
            pause = WATCH
            continue
        try:
            await _start_guard(folder, linger, tell)
        except RackwrightError as error:
            tell(str(error))
            pause = min(2 * pause, LONGEST_WATCH)
