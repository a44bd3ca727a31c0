"""What a controller and its load processes say to each other: msgpack, each word with its length before it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from rackwright.core.load.course import WHOLE, Deal
from rackwright.core.load.result import Sample, Second
from rackwright.core.load.schedule import Closed, Schedule, Share
from rackwright.core.load.sla.proof import Bounds
from rackwright.core.load.triggers import Watch

LENGTH = 4
"""Bytes of the length, big-endian."""
MOST = 256 << 20
"""Bytes of one word; a longer one is none."""


class Work(msgspec.Struct, kw_only=True, tag=True):
    """All that a load process must know."""

    scenario: str
    """A plugin's name, or ``FILE.py:Class``."""
    args: dict[str, Any] = {}
    context: dict[str, Any] = {}
    schedule: Schedule = msgspec.field(default_factory=Closed)
    until: float = 0.0
    """A process whose share of an open schedule is done waits up to this second for another one."""
    leash: float = 0.0
    """Seconds without news of the controller after which a process starts no more until there are some: others may have
    its share by then; 0 for never."""
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
    """Go: the workload starts, or has started, at ``zero``, by this host's monotonic clock. These are your deals."""

    zero: float
    deals: tuple[Deal, ...] = WHOLE


class Turn(msgspec.Struct, tag=True):
    """Another share is to be yours. Say how far you go meanwhile (``Held``), and wait there for ``Settle``; it comes
    within ``ahead`` seconds if all goes well."""

    number: int
    share: Share | None
    ahead: float


class Settle(msgspec.Struct, tag=True):
    """From this place on the shares of a turn hold; infinite: they do not, all stays as it was."""

    number: int
    place: float


class Stop(msgspec.Struct, tag=True):
    """Start no more; ``cancel``: and end what runs."""

    cancel: bool = False


class Live(msgspec.Struct, tag=True):
    """What was dealt is surely yours until this moment of this host's monotonic clock."""

    until: float


class Ready(msgspec.Struct, tag=True):
    """The scenario is loaded; the work can begin."""


class Started(msgspec.Struct, tag=True):
    """A watched iteration started, ``at`` seconds from the workload's start."""

    number: int
    at: float


class Held(msgspec.Struct, tag=True):
    """The answer to a turn: the place before which this process stays until it is settled; infinite: it cannot take
    another share any more."""

    number: int
    limit: float


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
    stuck: str = ""
    """Why the load was ended: nothing in it went on."""
    never_started: int = 0
    """Starts that the schedule had, and that did not take place before the load was stopped."""
    left: int = 0
    """Iterations that would not end."""
    dropped_rows: int = 0


Asked = Work | Begin | Turn | Settle | Stop | Live
Told = Ready | Started | Held | Report | Ended

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
    if length > MOST:
        raise msgspec.DecodeError(f"a word of {length} bytes")
    return await reader.readexactly(length)
