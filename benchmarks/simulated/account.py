"""The account of a run: which part took how long, what the api answered meanwhile, who used how much; at any moment."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

TELL = 10.0
"""Seconds between two lines on how far it is."""


class Stopped(Exception):
    """It does not go on; the words say why."""


@dataclass
class Usage:
    """What processes hold now and have used so far, by what they are."""

    memory_mb: dict[str, list[int]] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Part:
    """One part of the run; ``seconds`` and what was used grow until it is over."""

    name: str
    wanted: int
    began: float
    before: Usage
    already: int = 0
    """Machines that were through it when it began."""
    done: int = 0
    seconds: float = 0.0
    used: Usage = field(default_factory=Usage)
    latencies: list[float] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """All of it."""
        came = self.done - self.already
        spent = {
            what: round(seconds - self.before.cpu_seconds.get(what, 0.0), 2)
            for what, seconds in self.used.cpu_seconds.items()
        }
        return {
            "machines": self.done,
            "seconds": round(self.seconds, 1),
            "per_second": round(came / self.seconds, 1) if self.seconds else 0.0,
            "api_ms": quantiles(self.latencies),
            "cpu_seconds": spent,
            "cpu_ms_per_node": {what: round(s / came * 1000, 2) for what, s in spent.items()} if came else {},
            "memory_mb": self.used.memory_mb,
        }


class Account:
    """Keeps the parts. ``usage`` tells what all processes have used so far."""

    def __init__(self, usage: Callable[[], Usage]) -> None:
        self.parts: list[Part] = []
        self._usage = usage
        self._told = (0.0, 0)

    @contextmanager
    def part(self, name: str, wanted: int, already: int = 0) -> Iterator[Part]:
        """Begin a part, which lasts as long as the context; what it has come to is kept when it breaks off, too."""
        now = time.monotonic()
        part = Part(name, wanted, now, self._usage(), already, done=already)
        self.parts.append(part)
        self._told = (now, already)
        try:
            yield part
        finally:
            part.seconds = time.monotonic() - part.began
            part.used = self._usage()
            self._say(part)

    def done(self, count: int) -> None:
        """So many machines are through this part; it is told from time to time."""
        part = self.parts[-1]
        part.done = count
        if time.monotonic() - self._told[0] >= TELL:
            part.used = self._usage()
            self._say(part)

    def answered(self, seconds: float) -> None:
        """The api took so long for an answer."""
        if self.parts:
            self.parts[-1].latencies.append(seconds)

    def _say(self, part: Part) -> None:
        now = time.monotonic()
        since, before = self._told
        rate = (part.done - before) / max(now - since, 1e-9)
        memory = ", ".join(f"{what} {sum(sizes)} MB" for what, sizes in sorted(part.used.memory_mb.items()))
        print(
            f"fleet: {part.name}: {part.done:,} of {part.wanted:,} after {now - part.began:,.0f} s, {rate:,.1f}/s; "
            f"api {quantiles(part.latencies)} ms; {memory}",
            file=sys.stderr,
            flush=True,
        )
        self._told = (now, part.done)


def quantiles(seconds: list[float]) -> dict[str, float]:
    """The middle and the slow end, in milliseconds."""
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50": round(cuts[49] * 1000, 1), "p99": round(cuts[98] * 1000, 1)}
