"""A small supervisor: starts processes of this program, starts them again when they end, and ends them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from rackwright.commands.tied import tied_environment
from rackwright.core.errors import StoreUnavailable

FIRST_PAUSE = 0.25
"""Seconds before the first restart; each further one waits twice as long."""
LONGEST_PAUSE = 15.0
STEADY_AFTER = 5.0
"""Seconds after which a process counts as well again."""
HOPELESS = 3
"""Deaths before it was ever ready, after which waiting longer makes no sense."""
LOOK = 0.05
"""Seconds between two looks whether a process is ready."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Program:
    """A process to keep: its name in the log, the arguments after ``rackwright``, what is added to the environment,
    the signal that it gets when the supervisor itself is killed, the seconds that it may take to end, and the file
    descriptors that it inherits."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    on_orphan: signal.Signals = signal.SIGTERM
    grace: float = 15.0
    inherited: tuple[int, ...] = ()


class Child:
    """One kept process. Its log goes where ours goes."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.deaths = 0
        self._process: Process | None = None
        self._keeper = asyncio.create_task(self._keep())

    @property
    def pid(self) -> int | None:
        """The process that runs now; None when none does."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def ready(self, answers: Callable[[], Awaitable[bool]], patience: float) -> None:
        """Wait until ``answers`` says yes. Raises StoreUnavailable when the process keeps dying, or takes too long."""
        clock = asyncio.get_running_loop().time
        end = clock() + patience
        while not (self.pid is not None and await answers()):
            if self.deaths >= HOPELESS or clock() > end:
                how = f"ended {self.deaths} times" if self.deaths else f"was not ready after {patience:g} s"
                raise StoreUnavailable(f"the {self.program.name} {how}", mend="its last lines above say why")
            await asyncio.sleep(LOOK)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self.pid is not None and self._process is not None:
            _send(self._process, number)

    async def end(self) -> None:
        """End the process: politely, and by force after its grace."""
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper
        process = self._process
        if process is None or process.returncode is not None:
            return
        log.info("process stops", process=self.program.name, pid=process.pid)
        _send(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(self.program.grace):
                await process.wait()
        except TimeoutError:
            log.warning("process does not stop and is killed", process=self.program.name, pid=process.pid)
            _send(process, signal.SIGKILL)
            await process.wait()

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while True:
            began = clock()
            code = await self._once()
            self.deaths += 1
            if clock() - began >= STEADY_AFTER:
                pause = FIRST_PAUSE
            log.warning("process ended and is started again", process=self.program.name, how=_words(code), pause=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _once(self) -> int:
        """Run the process to its end. A cancellation leaves it running."""
        environment = os.environ | self.program.environment | tied_environment(self.program.on_orphan)
        # A session of its own: Ctrl-C in a terminal reaches the supervisor only, which then ends all in order.
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "rackwright", *self.program.arguments),
            env=environment,
            stdin=DEVNULL,
            stdout=DEVNULL,
            start_new_session=True,
            pass_fds=self.program.inherited,
        )
        log.info("process started", process=self.program.name, pid=process.pid)
        return await process.wait()


async def end_all(children: list[Child]) -> None:
    """End all of these at once."""
    await asyncio.gather(*(child.end() for child in children))


def _send(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _words(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
