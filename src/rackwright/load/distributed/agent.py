"""An agent: it comes to a controller, carries out its shares of that one's loads, and waits for the next one."""

from __future__ import annotations

import asyncio
import functools
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq

from rackwright.core.errors import NotAllowed, RackwrightError
from rackwright.load.distributed import messages
from rackwright.load.distributed.address import parts_of
from rackwright.load.distributed.beats import Beats
from rackwright.load.distributed.channel import Channel, client
from rackwright.load.distributed.handshakes import Handshakes
from rackwright.load.distributed.kept_rows import KeptRows
from rackwright.load.distributed.keys import AgentKeys
from rackwright.load.distributed.messages import (
    Delta,
    Dismissed,
    Finished,
    FromAgent,
    FromController,
    Goodbye,
    Halt,
    Hello,
    Lacks,
    Leave,
    Offer,
    Ping,
    Pong,
    Prepare,
    Refused,
    Rows,
    Settle,
    Source,
    Start,
    Welcome,
)
from rackwright.load.distributed.piece import Piece
from rackwright.load.distributed.sources import Sources
from rackwright.load.distributed.trouble import trouble_of

KNOCK = 0.5
"""Seconds between hellos that are not answered."""
DOUBT = 2.5
"""Seconds without a word after which it says hello again: the controller may be another one by now."""
SILENCE = 15.0
"""Seconds after which a controller that says nothing is gone."""


class Agent:
    """Serves the controller at ``address`` (``tcp://HOST:PORT``) with at most ``processes`` load processes.

    ``folder`` keeps scenarios and raw rows; ``once``: end after the first run; ``say`` gets words for people;
    ``monotonic`` and ``wall`` are this host's clocks. Raises InvalidInput when the address is none.
    """

    def __init__(
        self,
        keys: AgentKeys,
        address: str,
        *,
        folder: Path,
        processes: int,
        name: str = "",
        once: bool = False,
        say: Callable[[str], object] = print,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._address = address
        self._host, _ = parts_of(address)
        self._processes = processes
        self._name = name or socket.gethostname()
        self._once = once
        self._say = say
        self._monotonic = monotonic
        self._wall = wall
        self._sources = Sources(folder / "scenarios")
        self._rows = KeptRows(folder / "rows")
        self._identity = secrets.token_bytes(12)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._pieces: dict[tuple[int, int], Piece] = {}
        self._awaited: dict[str, list[Prepare]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._welcome: Welcome | None = None
        self._heard = 0.0
        self._beats: Beats | None = None
        self._seconds: Channel | None = None
        self._rows_channel: Channel | None = None
        self._refused: RackwrightError | None = None
        self._over = asyncio.Event()

    async def serve(self) -> None:
        """Serve until ``stop``, or with ``once`` until a run is over.

        Raises:
            NotAllowed: when the controller does not let it in, or is not the one of its keys.
        """
        control = client(self._context, zmq.DEALER, self._keys)
        control.setsockopt(zmq.IDENTITY, self._identity)
        handshakes = Handshakes(control, self._address, self._end)
        self._control = Channel(control, self._hear)
        control.connect(self._address)
        knocking = asyncio.create_task(self._knock())
        try:
            await self._over.wait()
        finally:
            knocking.cancel()
            if self._welcome is not None:
                self._tell(Goodbye())
            await self._give_up("the agent ends")
            self._part()
            handshakes.close()
            self._control.close(linger=1)
            self._context.term()
        if self._refused is not None:
            raise self._refused

    def stop(self) -> None:
        """End: what runs is cancelled."""
        self._over.set()

    async def _knock(self) -> None:
        """Say hello until somebody answers; give a controller up that says nothing any more."""
        while True:
            silent = time.monotonic() - self._heard
            alone = silent > DOUBT if self._welcome is not None else not self._pieces
            if alone and self._control.idle:
                self._tell(
                    Hello(token=self._keys.token, name=self._name, host=socket.gethostname(), cores=self._processes)
                )
            if self._welcome is not None and silent > SILENCE:
                self._leave(f"the controller has said nothing for {SILENCE:g} s")
            await asyncio.sleep(KNOCK)

    def _tell(self, word: FromAgent) -> None:
        self._control.send(messages.pack(word))

    def _tell_in(self, session: str, word: FromAgent) -> None:
        """Say a word of one session; when that is over, nobody is there who should hear it."""
        if self._welcome is not None and self._welcome.session == session:
            self._tell(word)

    def _send(self, delta: Delta) -> None:
        if self._seconds is not None:
            self._seconds.send(messages.pack(delta))

    def _hear(self, frames: Sequence[bytes]) -> None:
        try:
            word = messages.from_controller.decode(frames[-1])
        except msgspec.MsgspecError:
            self._say("the controller said what makes no sense; is its version another one?")
            return
        self._heard = time.monotonic()
        match word:
            case Ping() if self._welcome is not None:
                self._tell(Pong(sent=word.sent, monotonic=self._monotonic(), wall=self._wall()))
            case Welcome():
                self._come_in(word)
            case Refused():
                self._end(NotAllowed(word.reason, where=self._address, mend=word.mend))
            case Dismissed():
                self._leave(f"the controller gave this agent up: {word.reason}")
            case Leave():
                self._tell(Goodbye())
                self._leave("the run is over")
            case _ if self._welcome is not None:
                self._obey(word)

    def _obey(self, word: FromController) -> None:
        match word:
            case Prepare():
                self._prepare(word)
            case Source():
                self._take_source(word)
            case Start() | Offer() | Settle():
                if piece := self._pieces.get((word.load, word.piece)):
                    piece.obey(word)
            case Halt():
                for piece in self._of(word.load):
                    piece.stop("the controller says so", cancel=word.cancel)

    def _of(self, load: int) -> list[Piece]:
        return [piece for (number, _), piece in self._pieces.items() if number == load]

    def _come_in(self, welcome: Welcome) -> None:
        if self._welcome is not None and self._welcome.session == welcome.session:
            return
        if self._pieces:
            # They are of an earlier session. When they have ended, the next hello brings this welcome again.
            self._leave("the controller is another one, or has given this agent up")
            return
        self._part()
        self._welcome = welcome
        seconds = client(self._context, zmq.PUSH, self._keys)
        self._seconds = Channel(seconds)
        seconds.connect(f"{self._host}:{welcome.seconds}")
        rows = client(self._context, zmq.DEALER, self._keys)
        rows.setsockopt(zmq.IDENTITY, self._identity)
        self._rows_channel = Channel(rows, self._give_rows)
        rows.connect(f"{self._host}:{welcome.rows}")
        self._beats = Beats(self._context, self._keys, f"{self._host}:{welcome.seconds}", welcome.session)
        self._beats.start()
        self._say(f"takes part as {welcome.name}, at {self._address}")

    def _part(self) -> None:
        if self._beats is not None:
            self._beats.close()
        for channel in (self._seconds, self._rows_channel):
            if channel is not None:
                channel.close(linger=1)
        self._beats = self._seconds = self._rows_channel = self._welcome = None
        self._awaited.clear()

    def _prepare(self, word: Prepare) -> None:
        try:
            self._make_piece(word)
        except (RackwrightError, OSError) as error:
            self._tell_trouble(word, error)

    def _take_source(self, source: Source) -> None:
        awaiting = self._awaited.pop(source.digest, [])
        try:
            self._sources.keep(source.digest, source.text)
        except (RackwrightError, OSError) as error:
            for prepare in awaiting:
                self._tell_trouble(prepare, error)
            return
        for prepare in awaiting:
            self._prepare(prepare)

    def _tell_trouble(self, word: Prepare, error: Exception) -> None:
        self._say(f"a load cannot be prepared: {error}")
        self._tell(Finished(load=word.load, piece=word.piece, trouble=trouble_of(error)))

    def _make_piece(self, word: Prepare) -> None:
        """Start on a piece, if the file of its scenario is here; else ask for that."""
        if word.digest and not self._sources.has(word.digest):
            self._awaited.setdefault(word.digest, []).append(word)
            self._tell(Lacks(word.digest))
            return
        assert self._welcome is not None
        work = msgspec.structs.replace(
            word.work,
            scenario=self._sources.place(word.digest, word.work.scenario) if word.digest else word.work.scenario,
            folder=str(self._rows.folder(word.run, word.work.folder)) if word.work.folder else "",
        )
        key = word.load, word.piece
        session = self._welcome.session
        schedule = work.schedule
        processes = max(1, min(schedule.processes(self._processes), schedule.slots(word.share)))
        tell = functools.partial(self._tell_in, session)
        piece = Piece(*key, work, processes, session, tell, self._send, lambda: self._heard)
        self._pieces[key] = piece
        self._spawn(self._carry(key, piece))

    async def _carry(self, key: tuple[int, int], piece: Piece) -> None:
        try:
            await piece.run()
        finally:
            if self._pieces.get(key) is piece:
                del self._pieces[key]

    def _give_rows(self, frames: Sequence[bytes]) -> None:
        if self._rows_channel is None:
            return
        try:
            answer = self._rows.answer(messages.rows_asked.decode(frames[-1]))
        except (OSError, msgspec.MsgspecError) as error:
            answer = Rows(fault=str(error))
        self._rows_channel.send(messages.pack(answer))

    def _leave(self, why: str) -> None:
        """The run is over for this agent: it is nobody's at once, and what it still does is ended."""
        if self._welcome is None:
            return
        self._say(why)
        self._part()
        self._spawn(self._end_run(why))

    async def _end_run(self, why: str) -> None:
        await self._give_up(why)
        if self._once:
            self._over.set()

    async def _give_up(self, why: str) -> None:
        """End all pieces."""
        for piece in list(self._pieces.values()):
            piece.stop(why, cancel=True)
        while self._pieces:
            await asyncio.sleep(0.05)

    def _spawn(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _end(self, error: RackwrightError) -> None:
        self._refused = error
        self._over.set()
