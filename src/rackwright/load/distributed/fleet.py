"""The controller: lets agents in, measures their clocks, sees whether they live, and gives them loads.

A run takes its load from a fleet in place of the processes of its own host: ``async with Fleet(...) as fleet``, then
``await fleet.gather(2)``, then ``Run(..., generators=fleet)``.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from rackwright.load.distributed import messages
from rackwright.load.distributed.address import parts_of
from rackwright.load.distributed.channel import Channel, server
from rackwright.load.distributed.door import Door
from rackwright.load.distributed.fleet_load import SKEW, FleetLoad, OnLoss
from rackwright.load.distributed.keys import ControllerKeys
from rackwright.load.distributed.member import Member
from rackwright.load.distributed.messages import (
    Beat,
    Dismissed,
    FromController,
    Goodbye,
    Hello,
    Lacks,
    Leave,
    Ping,
    Pong,
    Prepare,
    Refused,
    Source,
    Welcome,
)
from rackwright.load.distributed.rows import RowsChannel
from rackwright.load.distributed.sources import digest_of
from rackwright.load.generators import Ears, Load, LoadFailed
from rackwright.load.words import Work

SILENCE = 5.0
"""Seconds without a sign of life after which an agent is lost."""
LEASH = 0.8
"""The part of that after which an agent that hears nothing starts no more, so that others may have its share."""
LOOK = 0.25
"""Seconds between looks at who is silent."""
PING = 1.0
"""Seconds between pings to an agent whose clock is known."""
FAREWELL = 2.0
"""Seconds that agents have to answer the last word."""
REFUSALS = 50
"""Refusals that are remembered: the newest."""


class Fleet:
    """The agents of one run, whose folder is ``folder``. It listens at ``bind`` (``tcp://ADDRESS:PORT``) for control,
    and at the two ports after it for seconds and rows; with ``*`` for a port at any three.

    ``on_loss``: whether the share of a lost agent is divided among the others, or the load fails. With ``names`` only
    the agents of these names take part. ``say`` gets words for people. Raises InvalidInput when the address is none.
    """

    def __init__(
        self,
        keys: ControllerKeys,
        *,
        bind: str,
        folder: Path,
        on_loss: OnLoss = "resplit",
        silence: float = SILENCE,
        names: Sequence[str] = (),
        say: Callable[[str], object] = lambda words: None,
    ) -> None:
        self._keys = keys
        self._bind = bind
        self._host, self._port = parts_of(bind)
        self._folder = folder
        self.on_loss: OnLoss = on_loss
        self._silence = silence
        self.leash = silence * LEASH
        self._names = frozenset(names)
        self._say = say
        self._members: dict[bytes, Member] = {}
        self._sessions: dict[str, Member] = {}
        self._loads: dict[int, FleetLoad] = {}
        self._made = 0
        self._sources: dict[str, bytes] = {}
        self._changed = asyncio.Event()
        self._refusals: deque[str] = deque(maxlen=REFUSALS)
        self._leaving = False
        self.address = ""
        """Where agents connect to."""

    async def __aenter__(self) -> Self:
        """Begin to listen. Raises LoadFailed when the address cannot be used."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door = Door(self._context, self._keys.agents, self._refuse_key)
        control = server(self._context, zmq.ROUTER, self._keys)
        control.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._handshakes = Channel(control.get_monitor_socket(_HANDSHAKES), self._watch)
        self._control = Channel(control, self._hear)
        seconds = server(self._context, zmq.PULL, self._keys)
        self._seconds = Channel(seconds, self._hear_seconds)
        rows = server(self._context, zmq.ROUTER, self._keys)
        self._rows = RowsChannel(rows)
        ports = [str(self._port + step) if self._port else "*" for step in range(3)]
        try:
            for socket, its_port in zip((control, seconds, rows), ports, strict=True):
                socket.bind(f"{self._host}:{its_port}")
        except zmq.ZMQError as error:
            self._close()
            raise LoadFailed(
                f"agents cannot be awaited there: {error.strerror}", where=self._bind, mend="choose another address"
            ) from None
        self.address = _endpoint(control)
        self._ports = parts_of(_endpoint(seconds))[1], parts_of(_endpoint(rows))[1]
        self._tasks = [asyncio.create_task(self._ping()), asyncio.create_task(self._look())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        self._leaving = True
        for member in self._present:
            self.tell(member, Leave())
        # What an agent has not read when its connection ends, it never reads.
        end = time.monotonic() + FAREWELL
        while self._present and time.monotonic() < end:
            await asyncio.sleep(0.01)
        self._close()

    def _close(self) -> None:
        self._control.socket.disable_monitor()
        self._handshakes.close()
        self._control.close(linger=FAREWELL)
        self._seconds.close()
        self._rows.close()
        self._door.close()
        self._context.term()

    async def gather(self, agents: int = 0, *, wait: float = 60.0) -> None:
        """Wait until so many agents are here, and all whose names were given.

        Raises:
            LoadFailed: when they did not come within ``wait`` seconds.
        """
        try:
            async with asyncio.timeout(wait):
                while len(self.here) < agents or self._names - {member.name for member in self.here}:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise self._missing(max(agents, len(self._names)), wait) from None

    def _missing(self, agents: int, wait: float) -> LoadFailed:
        awaited = f"the agents {', '.join(sorted(self._names))}" if self._names else f"{agents} agents"
        came = ", ".join(member.name for member in self._present) or "none"
        refused = "; ".join(("", *self._refusals))
        return LoadFailed(
            f"{awaited} were awaited for {wait:g} s; came: {came}{refused}",
            where=self.address,
            mend="start them: rackwright load-agent --controller ADDRESS --keys agent.key",
        )

    def load(self, work: Work, ears: Ears) -> Load:
        """A load on all agents that are here, and those that come while it goes on."""
        file = Path(work.scenario.rpartition(":")[0])
        digest = ""
        if file.suffix == ".py":
            text = file.read_bytes()
            digest = digest_of(text)
            self._sources[digest] = text
        self._made += 1
        within = str(Path(work.folder).relative_to(self._folder)) if work.folder else ""
        asked = Prepare(
            load=self._made,
            piece=0,
            work=msgspec.structs.replace(work, folder=within),
            digest=digest,
            run=self._folder.name,
        )
        load = self._loads[self._made] = FleetLoad(asked, ears, self, self.on_loss)
        return load

    async def pull_rows(self) -> dict[str, str]:
        """Bring the raw rows of all agents into the run's folder; gives why they did not come, by the agent's name.

        Those of an agent that was lost stay where they are, unless it has come again.
        """
        again = {member.asked for member in self.here}
        faults = {member.name: member.lost for member in self._members.values() if member.lost}
        faults = {name: why for name, why in faults.items() if name not in again}
        for member in self.here:
            try:
                await self._rows.pull(member.identity, self._folder.name, self._folder)
            except LoadFailed as error:
                faults[member.name] = str(error)
        return faults

    @property
    def _present(self) -> list[Member]:
        return [member for member in self._members.values() if not member.lost]

    @property
    def here(self) -> list[Member]:
        """The agents that can carry out load, in the order in which they came."""
        return [member for member in self._members.values() if member.here and self._wants(member)]

    def _wants(self, member: Member) -> bool:
        """Whether it may take part: it has a name that is asked for, or is heir to one that was lost."""
        if not self._names or member.name in self._names:
            return True
        return member.asked in self._names and not any(other.name == member.asked for other in self._present)

    def tell(self, member: Member, word: FromController) -> None:
        """Say something to an agent."""
        self._control.send(member.identity, messages.pack(word))

    def give_up(self, member: Member, why: str, *, for_good: bool = False) -> None:
        """An agent cannot be relied on any more; ``for_good``: it is not let in again."""
        if member.lost:
            return
        member.lost = why
        self._say(f"{member.name} is given up: {why}")
        self.tell(
            member, Refused(f"the controller gave this agent up: {why}", _LOOK_AT) if for_good else Dismissed(why)
        )
        heirs = [other for other in self.here if other.asked == member.name]
        for load in list(self._loads.values()):
            for heir in heirs:
                load.join(heir)
            load.lose(member)
        self._changed.set()

    def _hear(self, frames: Sequence[bytes]) -> None:
        identity, packed = frames[0], frames[-1]
        try:
            word = messages.from_agent.decode(packed)
        except msgspec.MsgspecError as error:
            self._refuse(identity, f"it said what makes no sense: {error}", "let it have the version of the controller")
            return
        if isinstance(word, Hello):
            self._let_in(identity, word)
            return
        member = self._members.get(identity)
        if member is None or member.lost:
            why = "it was not let in" if member is None else member.lost
            self._control.send(identity, messages.pack(Dismissed(why)))
            return
        member.heard = member.turned = time.monotonic()
        if isinstance(word, Pong):
            self._read_clock(member, word)
        elif isinstance(word, Lacks):
            self.tell(member, Source(digest=word.digest, text=self._sources.get(word.digest, b"")))
        elif isinstance(word, Goodbye):
            self._part_from(member)
        elif load := self._loads.get(word.load):
            load.hear(member, word)

    def _part_from(self, member: Member) -> None:
        member.left = True
        if self._leaving:
            member.lost = "the run is over"
        else:
            self.give_up(member, "it was ended")

    def _hear_seconds(self, frames: Sequence[bytes]) -> None:
        try:
            word = messages.seconds.decode(frames[-1])
        except msgspec.MsgspecError:
            return
        member = self._sessions.get(word.session)
        if member is None or member.lost:
            return
        member.heard = time.monotonic()
        member.turned = max(member.turned, member.heard - (word.turned if isinstance(word, Beat) else 0.0))
        if not isinstance(word, Beat):
            if load := self._loads.get(word.load):
                load.take(member, word)
        elif word.turned > self._silence:
            self.give_up(member, f"it hangs: its loop has not turned for {word.turned:.1f} s")

    def _let_in(self, identity: bytes, hello: Hello) -> None:
        known = self._members.get(identity)
        if known is not None and not known.lost:
            self._welcome(known)
            return
        if not hmac.compare_digest(hello.token.encode(), self._keys.token.encode()):
            self._refuse(identity, f"{hello.name} has another token", "give it the agent.key of this controller.key")
            return
        if hello.version != messages.VERSION:
            self._refuse(
                identity,
                f"{hello.name} speaks version {hello.version}, the controller {messages.VERSION}",
                "install the same release on both",
            )
            return
        # It is one for a folder too.
        asked = re.sub(r"[^\w.-]", "-", hello.name).lstrip(".") or "agent"
        member = Member(identity, secrets.token_hex(8), self._free_name(asked), hello.host, asked)
        self._members.pop(identity, None)
        self._members[identity] = self._sessions[member.session] = member
        self._welcome(member)
        self.tell(member, Ping(time.monotonic()))

    def _free_name(self, asked: str) -> str:
        """A name that no other agent has."""
        taken = {member.name for member in self._present}
        numbered = (f"{asked}-{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain((asked,), numbered) if name not in taken)

    def _welcome(self, member: Member) -> None:
        seconds, rows = self._ports
        self.tell(member, Welcome(session=member.session, name=member.name, seconds=seconds, rows=rows))

    def _refuse(self, identity: bytes, reason: str, mend: str) -> None:
        self._note_refusal(f"an agent was refused: {reason}")
        self._control.send(identity, messages.pack(Refused(f"the controller refuses: {reason}", mend)))

    def _refuse_key(self, address: str, key: str) -> None:
        shown = f"its key {key[:8]}... is not known" if key else "it has no key"
        self._note_refusal(f"an agent at {address} was refused: {shown}")

    def _watch(self, frames: Sequence[bytes]) -> None:
        parse_monitor_message(list(frames))
        self._note_refusal("somebody was refused who takes this controller for another one, or speaks no CURVE")

    def _note_refusal(self, words: str) -> None:
        if words not in self._refusals:
            self._refusals.append(words)
            self._say(words)

    def _read_clock(self, member: Member, pong: Pong) -> None:
        now = time.monotonic()
        clock = member.clock
        was_known = clock.known
        there = pong.monotonic - (pong.sent + now) / 2
        if was_known and abs(there - clock.ahead) > SKEW + (now - pong.sent):
            self.give_up(member, f"its clock jumped by {there - clock.ahead:.1f} s", for_good=True)
            return
        clock.read(pong.sent, now, time.time(), pong.monotonic, pong.wall)
        if not clock.known:
            self.tell(member, Ping(time.monotonic()))
        elif not was_known:
            self._say(f"{member.name} is here, on {member.host}; its clock is known to {clock.doubt * 1e3:.2g} ms")
            for load in list(self._loads.values()) if self._wants(member) else ():
                load.join(member)
            self._changed.set()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING)
            for member in self._present:
                self.tell(member, Ping(time.monotonic()))

    async def _look(self) -> None:
        """Give up who is silent. Who was not listening cannot tell: after a stall of our own all have time again."""
        looked = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            now = time.monotonic()
            stalled, looked = now - looked > self._silence / 2, now
            for member in self._present:
                if stalled:
                    member.heard = now
                elif now - member.heard > self._silence:
                    self.give_up(member, f"it has said nothing for {self._silence:g} s")


def _endpoint(socket: zmq.Socket[bytes]) -> str:
    return bytes(socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")


_LOOK_AT = "look at its clock and its load, then start it again"
_HANDSHAKES = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
