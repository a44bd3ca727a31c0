"""Where the time of one serialisation goes: what its client does when, and what each process computes.

A client's thread does one thing at a time, so its phases add up to the whole. While it begins, connects, plans, closes
and links no worker has anything to do: that is the part of Amdahl's law which more workers do not shorten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from benchmarks.fuel.meter import seconds_by_process
from rackwright.engine.serialization.policy import Policy

Result = TypeVar("Result")
PHASES = ("begin", "connect", "plan", "cut", "wait", "join", "close", "link")
ALONE = ("begin", "connect", "plan", "close", "link")
"""The phases in which workers have nothing to do."""


class Timeline:
    """A policy that is watched through one serialisation."""

    def __init__(self, policy: Policy) -> None:
        self.name = policy.name
        self._policy = policy
        self._phases = {phase: (0.0, 0.0) for phase in PHASES}
        self._phase, self._since = "begin", (0.0, 0.0)
        self._spent: dict[str, float] = {}
        self._left, self._more = 0, True

    def during(self, work: Callable[[], Result]) -> Result:
        """Do a piece of work that uses this policy once; give its result."""
        before = seconds_by_process()
        self._since = _now()
        result = work()
        self._turn("begin")
        self._spent = {name: seconds - before.get(name, 0.0) for name, seconds in seconds_by_process().items()}
        return result

    def answers(self, setup: bytes, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        """Give the answers of the policy; note what is done when."""
        self._turn("connect")
        for answer in self._policy.answers(setup, self._cutting(chunks)):
            self._turn("join")
            self._left -= 1
            yield answer
            self._turn("wait" if self._left or self._more else "close")
        self._turn("link")

    def told(self) -> dict[str, Any]:
        """Give the seconds of each phase, on the clock and of the client's thread; of those in which no worker has
        anything to do; and the seconds of processor of each process."""
        return {
            "phases": {name: [round(wall, 3), round(cpu, 3)] for name, (wall, cpu) in self._phases.items()},
            "alone_s": round(sum(self._phases[phase][0] for phase in ALONE), 3),
            "processes_cpu_s": {name: round(seconds, 2) for name, seconds in sorted(self._spent.items())},
        }

    def _cutting(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        source, phase = iter(chunks), "plan"
        while self._more:
            self._turn(phase)
            chunk, phase = next(source, None), "cut"
            self._more = chunk is not None
            self._left += self._more
            self._turn("wait" if self._left else "close")
            if chunk is not None:
                yield chunk

    def _turn(self, phase: str) -> None:
        """End the phase that was; begin another."""
        wall, cpu = _now()
        earlier = self._phases[self._phase]
        self._phases[self._phase] = earlier[0] + wall - self._since[0], earlier[1] + cpu - self._since[1]
        self._phase, self._since = phase, (wall, cpu)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()
