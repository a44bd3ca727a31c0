"""The policy ``processes``: chunks are answered by processes of this machine, each fed through a pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TypeAlias

from rackwright.core.errors import RackwrightError
from rackwright.engine.serialization.answering import ANSWER, CHUNK, HELLO, SETUP, read_frame, squeezed, write_frame
from rackwright.engine.serialization.flow import Flow, Job

DEATHS = 3
"""Workers that may die of one chunk before it is an error."""
_PATIENCE = 2.0
"""Seconds for a process that has closed its pipe to be gone."""
_PIPE = 1 << 20
"""Bytes that a pipe holds: most chunks as a whole, so that nobody is woken for pieces of one."""
_PROGRAM = "from rackwright.engine.serialization.answering import main; main()"


@dataclass(frozen=True)
class Work:
    """What is to be called, as ``module:function``, and the files outside the package that it needs."""

    function: str = "rackwright.engine.serialization.work:answer"
    files: tuple[Path, ...] = ()


WORK = Work()


class Died(Exception):
    """A process died before it answered; the text says how."""


class Answerer:
    """A process of this machine that answers chunks, one at a time.

    It runs the package that this process runs or, with ``code``, the one in that folder, in which the work's files
    lie too. Raises RackwrightError when it does not start or when it runs another package than it should.
    """

    def __init__(self, work: Work = WORK, code: Path | None = None) -> None:
        self._setup: bytes | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, work.function],
            env=_environment([code] if code else [file.parent for file in work.files]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=_PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._greet(code)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def prepare(self, setup: bytes) -> None:
        """Send the setup (squeezed) of the next chunks, unless it is the one of the last: the process makes it ready.
        Raises OSError."""
        if self._setup is not setup and self._setup != setup:
            write_frame(self._questions, SETUP, setup)
            self._setup = setup

    def ask(self, setup: bytes, chunk: bytes, kind: bytes = CHUNK) -> bytes:
        """Give the answer to a chunk, of which ``kind`` says whether it, and so its answer, is squeezed. The setup
        (squeezed) is sent when it is another than the last time. Raises Died, or RackwrightError when the function
        failed."""
        try:
            self.prepare(setup)
            write_frame(self._questions, kind, chunk)
            frame = read_frame(self._answers)
        except OSError:
            frame = None
        if frame is None:
            raise Died(self._end(_PATIENCE))
        kind, data = frame
        if kind == ANSWER:
            return data
        raise RackwrightError(
            f"serialisation failed: {data.decode()}", mend="this is a fault of the program: report it"
        )

    def kill(self) -> None:
        """Kill the process; whoever waits for its answer sees it die."""
        self._process.kill()

    def close(self) -> None:
        """End the process at once, whatever it does."""
        self._end()

    def _greet(self, code: Path | None) -> None:
        frame = read_frame(self._answers)
        if frame is None or frame[0] != HELLO:
            raise RackwrightError(
                f"a process for serialisation does not start: {self._end(_PATIENCE)}",
                mend="its last lines in the log say why",
            )
        package = Path(os.fsdecode(frame[1]))
        if code is not None and package.parent.resolve() != code.resolve():
            self._end()
            raise RackwrightError("a process for serialisation runs another package", where=str(package))

    def _end(self, patience: float = 0.0) -> str:
        """End the process, and say how it ended; one that is dying of itself is given time, to tell its own end."""
        with suppress(OSError):
            self._questions.close()
        self._answers.close()
        try:
            code = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _environment(folders: Iterable[Path]) -> Mapping[str, str]:
    inherited = os.environ.get("PYTHONPATH", "")
    paths = [*dict.fromkeys(str(folder) for folder in folders), *filter(None, [inherited])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


_Outcome: TypeAlias = bytes | Exception


@dataclass(eq=False)
class _Seat:
    """One worker of a run: a thread that asks its process, what waits for it, and how many chunks it holds."""

    inbox: SimpleQueue[Job | None] = field(default_factory=SimpleQueue)
    held: deque[Job] = field(default_factory=deque)


class Processes:
    """Answers by ``count`` processes, each with at most ``load_coefficient`` chunks in flight. A process is started
    when there is a chunk for it, and the setup is sent to it once. One that dies is replaced."""

    name = "processes"

    def __init__(self, count: int, load_coefficient: int = 2, work: Work = WORK) -> None:
        self._count = count
        self._load = load_coefficient
        self._work = work

    def answers(self, setup: bytes, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Give the answer to each chunk, in order. Raises RackwrightError."""
        flow = Flow(chunks, DEATHS)
        with _Crew(self._count, self._load, self._work, squeezed(setup)) as crew:
            while True:
                crew.fill(flow)
                if flow.finished:
                    return
                answer = flow.pop()
                if answer is not None:
                    yield answer
                    crew.hear(flow, wait=False)
                else:
                    crew.hear(flow, wait=True)


class _Crew:
    """The workers of one run."""

    def __init__(self, count: int, load: int, work: Work, setup: bytes) -> None:
        self._count, self._load, self._work, self._setup = count, load, work, setup
        self._seats: list[_Seat] = []
        self._threads: list[threading.Thread] = []
        self._outbox: SimpleQueue[tuple[_Seat, Job, _Outcome]] = SimpleQueue()
        self._over = threading.Event()
        self._answerers: set[Answerer] = set()

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for seat in self._seats:
            seat.inbox.put(None)
        for answerer in list(self._answerers):
            answerer.kill()
        for thread in self._threads:
            thread.join()

    def fill(self, flow: Flow) -> None:
        """Give out chunks while anybody may hold one more."""
        while (seat := self._free()) is not None and (job := flow.take()) is not None:
            seat.held.append(job)
            seat.inbox.put(job)

    def hear(self, flow: Flow, *, wait: bool) -> None:
        """Take in what the workers have said; with ``wait``, at least one word."""
        while wait or not self._outbox.empty():
            wait = False
            seat, job, outcome = self._outbox.get()
            seat.held.remove(job)
            if isinstance(outcome, bytes):
                flow.answered(job, outcome)
            elif isinstance(outcome, Died):
                flow.died(job, str(outcome))
            else:
                raise outcome

    def _free(self) -> _Seat | None:
        """Find the worker with the least to do; a new one is started before any has two chunks."""
        seat = min(self._seats, key=lambda each: len(each.held), default=None)
        if (seat is None or seat.held) and len(self._seats) < self._count:
            return self._seated()
        return seat if seat is not None and len(seat.held) < self._load else None

    def _seated(self) -> _Seat:
        seat = _Seat()
        thread = threading.Thread(target=self._work_on, args=(seat,), name="serialisation", daemon=True)
        self._seats.append(seat)
        self._threads.append(thread)
        thread.start()
        return seat

    def _work_on(self, seat: _Seat) -> None:
        """Live a worker's life: ask the process, and start it anew when it has died."""
        answerer: Answerer | None = None
        while (job := seat.inbox.get()) is not None and not self._over.is_set():
            try:
                if answerer is None:
                    answerer = Answerer(self._work)
                    self._answerers.add(answerer)
                outcome: _Outcome = answerer.ask(self._setup, job.chunk)
            except Exception as error:
                outcome = error
                if answerer is not None and isinstance(error, Died):
                    self._answerers.discard(answerer)
                    answerer = None
            self._outbox.put((seat, job, outcome))
        if answerer is not None:
            self._answerers.discard(answerer)
            answerer.close()
