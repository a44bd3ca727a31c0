"""What a controller and its agents say to each other: msgpack, one word to a frame.

    agent       controller
    Hello    ->                 again and again, until it is answered
             <- Welcome         or Refused, when the token or the version is wrong
             <- Ping            all the time; it measures the clock, and shows that the controller lives
    Pong     ->
             <- Prepare         a share of a workload; the agent answers Lacks, if it has not the scenario's file
    Prepared ->                 or Finished, with a fault
             <- Start
    Delta    ->                 once a second, on the channel of seconds
    Proven   ->                 at once
             <- Offer           shares change; all that work are asked
    Held     ->                 how far the agent goes meanwhile
             <- Settle          from where on the new shares hold
             <- Halt
    Finished ->
             <- Leave
    Goodbye  ->                 also when the agent ends before the run does

Raw rows have a channel of their own: ListRows and GiveRows ask, Rows answers.
"""

from __future__ import annotations

import msgspec

from rackwright.core.load.course import WHOLE, Deal
from rackwright.core.load.result import Health
from rackwright.core.load.schedule import Share
from rackwright.load.words import Report, Work

VERSION = 2
"""Of these words; both sides must have the same."""


class Hello(msgspec.Struct, kw_only=True, tag=True):
    """An agent is here."""

    token: str
    name: str
    host: str
    cores: int
    version: int = VERSION


class Pong(msgspec.Struct, kw_only=True, tag=True):
    """The answer to a ping, with the agent's clocks: ``monotonic`` for moments, ``wall`` for people, in seconds."""

    sent: float
    monotonic: float
    wall: float


class Lacks(msgspec.Struct, tag=True):
    """The agent has no file of this digest."""

    digest: str


class Prepared(msgspec.Struct, tag=True):
    """The load processes of a piece are ready."""

    load: int
    piece: int


class Began(msgspec.Struct, tag=True):
    """A watched iteration started, ``at`` seconds from the workload's start."""

    load: int
    number: int
    at: float


class Proven(msgspec.Struct, tag=True):
    """The SLA cannot hold any more, whatever others do; the agent has stopped."""

    load: int
    reason: str


class Held(msgspec.Struct, kw_only=True, tag=True):
    """The answer to an offer: the piece makes no start from the place ``limit`` on before the turn is settled;
    infinite: it cannot take another share."""

    load: int
    piece: int
    turn: int
    limit: float


class Trouble(msgspec.Struct, frozen=True):
    """Why a piece could not be carried out at all."""

    what: str
    where: str = ""
    mend: str = ""


class Finished(msgspec.Struct, kw_only=True, tag=True):
    """The last word on a piece."""

    load: int
    piece: int
    deltas: int = 0
    """How many were sent of it."""
    length: float = 0.0
    notes: list[str] = []
    faults: list[str] = []
    trouble: Trouble | None = None
    health: list[Health] = []


class Goodbye(msgspec.Struct, tag=True):
    """The agent leaves; what it has not done is for others."""


class Delta(msgspec.Struct, kw_only=True, tag=True):
    """What a piece did since the last delta. ``number`` counts the deltas of the piece from 1; ``at`` is the moment, in
    seconds from the workload's start, by the agent's clock."""

    session: str
    load: int
    piece: int
    number: int
    at: float
    report: Report


class Beat(msgspec.Struct, tag=True):
    """The agent lives; its loop last turned so many seconds ago."""

    session: str
    turned: float


class Welcome(msgspec.Struct, kw_only=True, tag=True):
    """The agent takes part, by this name; the ports of the channels of seconds and of rows, on the same host."""

    session: str
    name: str
    seconds: int
    rows: int


class Refused(msgspec.Struct, tag=True):
    """The agent cannot take part."""

    reason: str
    mend: str


class Dismissed(msgspec.Struct, tag=True):
    """The agent was given up; it may come again."""

    reason: str


class Ping(msgspec.Struct, tag=True):
    """Tell your clocks; ``sent`` comes back as it is."""

    sent: float


class Source(msgspec.Struct, kw_only=True, tag=True):
    """A scenario's file, by the SHA-256 of its text."""

    digest: str
    text: bytes


class Prepare(msgspec.Struct, kw_only=True, tag=True):
    """Start load processes for a piece of a load. With a ``digest``, the scenario is in the file of that digest."""

    load: int
    piece: int
    work: Work
    share: Share = Share()
    """What it will begin with, as far as that is known: how many processes are worth it."""
    digest: str = ""
    run: str = ""
    """Under which raw rows are kept; ``work.folder`` is the place within it."""


class Start(msgspec.Struct, kw_only=True, tag=True):
    """Begin a piece, which these deals make. The load starts, or has started, at ``zero`` by the agent's monotonic
    clock."""

    load: int
    piece: int
    zero: float
    deals: tuple[Deal, ...] = WHOLE


class Offer(msgspec.Struct, kw_only=True, tag=True):
    """Another share is to be yours. Say how far you go meanwhile, and stay there until it is settled; that comes within
    ``ahead`` seconds if all goes well."""

    load: int
    piece: int
    turn: int
    share: Share
    ahead: float


class Settle(msgspec.Struct, kw_only=True, tag=True):
    """From this place on the shares of a turn hold; infinite: they do not, all stays as it was."""

    load: int
    piece: int
    turn: int
    place: float


class Halt(msgspec.Struct, tag=True):
    """Start no more iterations of a load; ``cancel``: and end those that run."""

    load: int
    cancel: bool = False


class Leave(msgspec.Struct, tag=True):
    """The run is over."""


class ListRows(msgspec.Struct, tag=True):
    """Which chunks of raw rows are kept of a run?"""

    run: str


class GiveRows(msgspec.Struct, tag=True):
    """Send a chunk, by its path in the run's folder."""

    run: str
    path: str


class Rows(msgspec.Struct, kw_only=True, tag=True):
    """The paths of all chunks; or, with a ``path``, one chunk."""

    paths: list[str] = []
    path: str = ""
    chunk: bytes = b""
    fault: str = ""
    """Why there is nothing."""


FromAgent = Hello | Pong | Lacks | Prepared | Began | Proven | Held | Finished | Goodbye
FromController = Welcome | Refused | Dismissed | Ping | Source | Prepare | Start | Offer | Settle | Halt | Leave
Word = FromAgent | FromController | Delta | Beat | ListRows | GiveRows | Rows

_encoder = msgspec.msgpack.Encoder()
from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
from_controller: msgspec.msgpack.Decoder[FromController] = msgspec.msgpack.Decoder(FromController)
seconds: msgspec.msgpack.Decoder[Delta | Beat] = msgspec.msgpack.Decoder(Delta | Beat)
rows_asked: msgspec.msgpack.Decoder[ListRows | GiveRows] = msgspec.msgpack.Decoder(ListRows | GiveRows)
rows_given: msgspec.msgpack.Decoder[Rows] = msgspec.msgpack.Decoder(Rows)


def pack(word: Word) -> bytes:
    """A word as a frame."""
    return _encoder.encode(word)
