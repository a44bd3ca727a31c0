"""What a controller and its load processes say to each other: msgpack, each word with its length before it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from rackwright.core.load.result import Sample, Second
from rackwright.core.load.schedule import Closed, Schedule, Share
from rackwright.core.load.sla.proof import Bounds
from rackwright.core.load.triggers import Watch

LENGTH = 4
"""Bytes of the length, big-endian."""


class Work(msgspec.Struct, kw_only=True, tag=True):
    """All that a load process must know."""

    scenario: str
    """A plugin's name, or ``FILE.py:Class``."""
    args: dict[str, Any] = {}
    context: dict[str, Any] = {}
    schedule: Schedule = msgspec.field(default_factory=Closed)
    share: Share = Share()
    beyond: int = 0
    """Iterations of a closed schedule up to this number are done already."""
    until: float = 0.0
    """A process whose share of an open schedule is done waits up to this second for another one."""
    leash: float = 0.0
    """Seconds without a word after which a process ends its load; 0 for never."""
    folder: str = ""
    """Where raw rows go; nowhere if empty."""
    most_bytes: int = 1 << 30
    """Of raw rows."""
    most_memory: int = 1 << 30
    """Bytes; a load process that takes more ends the run."""
    connections: int = 1_000
    watch: Watch = Watch()
    interval: float = 0.25
    """Seconds between reports."""
    bounds: Bounds = Bounds()
    """What passes one of these is told at once."""


class Begin(msgspec.Struct, tag=True):
    """Go: the workload starts, or has started, at ``zero``, by this host's monotonic clock; starts of an open schedule
    before the second ``after`` are left to others."""

    zero: float
    after: float = 0.0


class Turn(msgspec.Struct, tag=True):
    """From the second ``after`` on, another share of an open schedule is yours."""

    after: float
    share: Share


class Stop(msgspec.Struct, tag=True):
    """Start no more; ``cancel``: and end what runs."""

    cancel: bool = False


class Live(msgspec.Struct, tag=True):
    """Somebody is still there."""


class Ready(msgspec.Struct, tag=True):
    """The scenario is loaded; the work can begin."""


class Started(msgspec.Struct, tag=True):
    """A watched iteration started, ``at`` seconds from the workload's start."""

    number: int
    at: float


class Report(msgspec.Struct, kw_only=True, tag=True):
    """What was done since the last report; to be merged. No later one tells of seconds that ended before ``upto``."""

    upto: float
    seconds: list[Second] = []
    samples: list[Sample] = []
    iterations: int = 0
    """That ended, in all."""
    peak_rss: int = 0
    """Bytes."""
    proven: str = ""
    """Why the SLA cannot hold any more, if this process alone can tell."""


class Ended(msgspec.Struct, kw_only=True, tag=True):
    """The last word. ``fault``: why it could not do its work."""

    fault: str = ""
    never_started: int = 0
    """Starts that the schedule had, and that did not take place before the load was stopped."""
    left: int = 0
    """Iterations that would not end."""
    dropped_rows: int = 0


Asked = Work | Begin | Turn | Stop | Live
Told = Ready | Started | Report | Ended

_encoder = msgspec.msgpack.Encoder()
_told: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
_asked: msgspec.msgpack.Decoder[Asked] = msgspec.msgpack.Decoder(Asked)


def pack(word: Asked | Told) -> bytes:
    """A word with its length before it."""
    packed = _encoder.encode(word)
    return len(packed).to_bytes(LENGTH, "big") + packed


async def hear_told(reader: asyncio.StreamReader) -> Told:
    """The next word of a load process. Raises IncompleteReadError when it says no more, msgspec.MsgspecError."""
    return _told.decode(await _frame(reader))


async def hear_asked(reader: asyncio.StreamReader) -> Asked:
    """The next word to a load process; raises as `hear_told` does."""
    return _asked.decode(await _frame(reader))


async def _frame(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(LENGTH), "big")
    return await reader.readexactly(length)
