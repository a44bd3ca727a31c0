"""A server program of the rack's: started, watched, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence

import structlog

from rackwright.core.errors import Retryable

STARTED = 60.0
"""Seconds that a program may take until it answers: Kea takes 1.6 s with 100,000 hosts on an idle small machine."""
STOPPED = 5.0
"""Seconds that it may take to end before it is killed."""
TAIL = 20
"""Lines of its output that are kept for messages."""

_TIED = ("setpriv", "--pdeathsig", "KILL")
"""Has the kernel end the program with its starter (package util-linux)."""

log = structlog.get_logger()


class ServerProcess:
    """One program in the foreground; its output goes into the rack's log. ``heard`` is given every line of it.
    ``tied``: it ends when this process is killed; else it goes on until the next start takes it over."""

    def __init__(
        self, name: str, package: str, heard: Callable[[str], None] = lambda line: None, *, tied: bool = False
    ) -> None:
        self.name = name
        self._tied = tied
        self._package = package
        self._heard = heard
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._tail: list[str] = []

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def tail(self) -> str:
        """The last lines that it said."""
        return " | ".join(self._tail[-12:])

    async def start(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Start it anew; gives its process id. Raises ``Retryable`` when it is not installed."""
        await self.stop()
        program = shutil.which(self.name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if program is None:
            raise Retryable(f"{self.name} is not installed", mend=f"install the package {self._package}")
        self._tail.clear()
        self._process = await asyncio.create_subprocess_exec(
            *(_TIED if self._tied else ()), program, *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=os.environ | dict(environment or {}),
            # It goes on when the rack's process is killed: what it then says to nobody must not end it (SIGPIPE).
            restore_signals=False,
        )  # fmt: skip
        self._reading = asyncio.create_task(self._read(self._process))
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """End it, by force if it takes too long."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOPPED):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reading is not None:
            await asyncio.wait({self._reading})

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await _line(process.stdout):
            said = line.decode(errors="replace").rstrip()
            self._tail = [*self._tail[-TAIL:], said]
            self._heard(said)
            log.debug(said, program=self.name)
        await process.wait()


async def runs(pid_file: str, argument: str) -> bool:
    """Whether the program runs whose id is in the file, and that was started with something that ends with this
    argument: one that a rack's process left behind when it was killed."""
    return await asyncio.to_thread(_still_runs, pid_file, argument) is not None


async def end_former(pid_file: str, argument: str) -> None:
    """End the program that a rack's process left behind when it was killed: the one whose id is in the file, if it was
    started with something that ends with this argument."""
    pid = await asyncio.to_thread(_still_runs, pid_file, argument)
    until = asyncio.get_running_loop().time() + STOPPED
    while pid is not None:
        late = asyncio.get_running_loop().time() > until
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        await asyncio.sleep(0.05)
        pid = await asyncio.to_thread(_still_runs, pid_file, argument)


def _still_runs(pid_file: str, argument: str) -> int | None:
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            started_with = file.read().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if any(part.endswith(argument.encode()) for part in started_with) else None


async def _line(stream: asyncio.StreamReader) -> bytes:
    """The next line; what is too long for one is passed over."""
    while True:
        try:
            return await stream.readline()
        except ValueError:
            continue
