"""For the tests of the embedded server: ready-made data folders, users that can be killed, and what /proc says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg

from rackwright.store.embedded.server import read_status, works_in

PATIENCE = 60.0
LINGER = 0.3

USER = """
import asyncio, sys
from pathlib import Path
from rackwright.store import embedded

async def main():
    async with embedded.running(Path(sys.argv[1]), linger=float(sys.argv[2])) as dsn:
        print(dsn, flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


async def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait until something is true; fail after a minute."""
    end = time.monotonic() + PATIENCE
    for pause in itertools.repeat(0.02):
        if is_true():
            return
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        await asyncio.sleep(pause)


@contextlib.asynccontextmanager
async def user_process(data: Path, user: int | None = None) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Another process that uses the server; it is killed at the end. Gives it and the DSN that it got."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", USER, str(data), str(LINGER)),
        stdout=subprocess.PIPE,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            dsn = (await process.stdout.readline()).decode().strip()
        assert dsn.startswith("postgresql://"), "the other process did not get the server"
        yield process, dsn
    finally:
        if process.returncode is None:
            process.kill()
        # What it has left in the pipe is read too: only then does its transport close.
        await process.communicate()


def postmaster(data: Path) -> int:
    """The process id of the running postmaster; 0 without one."""
    cluster = data / "postgres" / "cluster"
    pid, _ = read_status(cluster)
    return pid if works_in(pid, cluster) else 0


def guards(data: Path) -> list[int]:
    """The process ids of all guards that ever started in ``data``, the newest last."""
    text = (data / "postgres.log").read_text()
    return [int(pid) for pid in re.findall(r"\[guard (\d+)\] guard starts", text)]


def kill(pid: int) -> None:
    """kill -9."""
    assert pid > 1
    os.kill(pid, signal.SIGKILL)


async def ask(dsn: str, question: str) -> object:
    """The one value that answers ``question``; asked again for a while when the server is just coming back."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                connection = await asyncpg.connect(dsn)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
                continue
            try:
                return await connection.fetchval(question)
            finally:
                await connection.close()


def copy(made: Path, data: Path) -> Path:
    """A copy of the stopped data folder ``made`` at ``data``, without its log."""
    shutil.copytree(made, data, ignore=shutil.ignore_patterns("postgres.log"))
    return data
