"""The desk: where the agents of machines fetch their work, and bring back what came of it.

An agent asks (long poll); it is handed what waits for it, and told what to end. What was handed over is handed over
again until the agent says that it works on it: so a lost answer costs nothing, and the same (id, attempt) starts
nothing new. An agent that begins anew has lost what it had: such attempts may be tried again.

A rack that starts anew knows none of the former attempts: the region gives them out again under a new number, and the
agents are told to end the old ones. In which system an agent runs is kept on the disk, for it says so only once.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import structlog

from rackwright.core.desk import RESTARTS, Recipient
from rackwright.core.errors import DriverError, Permanent, Retryable
from rackwright.core.jig import folder_name
from rackwright.core.machine_messages import AgentTask, Ended, Poll, Register, Said, Work

longest_poll = 25.0
"""Seconds that a poll may wait: under what proxies and clients bear."""

silence = 90.0
"""Seconds without a word after which an agent that has work is given up."""

again_after = 2.0
"""Seconds after which a task that was handed over, and of which the agent says nothing, is handed over again."""

LOG_LIMIT = 64 * 1024 * 1024
"""Bytes of one attempt's log that are kept."""

Pair = tuple[int, int]

log = structlog.get_logger()


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an agent: of which boot, in which system, for which request; as it said when it registered."""

    boot_id: str = ""
    system: str = ""
    request: str = ""


@dataclass
class Errand:
    """A task on the desk; ``handed`` is the boot of the agent that has it, since ``handed_at``."""

    to: Recipient
    task: AgentTask
    log: str
    ended: asyncio.Future[Ended]
    handed: str | None = None
    handed_at: float = 0.0
    logged: int = 0
    """Bytes of the agent's log that are here, or known to be lost."""


@dataclass
class Place:
    """One machine's place at the desk."""

    session: Session
    errands: dict[Pair, Errand] = field(default_factory=dict)
    heard: float = field(default_factory=time.monotonic)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    polls: int = 0
    over: set[Pair] = field(default_factory=set)
    """What the agent itself has ended: it needs not be told so, though it may not know yet that it was heard."""


class AgentDesk:
    """Hands tasks to agents; ``folder`` keeps in which systems they run. It is a ``core.desk.Desk``."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._places: dict[str, Place] = {}
        self._closing = False
        os.makedirs(folder, mode=0o700, exist_ok=True)

    async def carry_out(self, to: Recipient, task: AgentTask, log: str) -> Ended:
        """Hand a task over and wait for its end; see ``Desk``."""
        place = self._place(to.node)
        errand = Errand(to, task, log, asyncio.get_running_loop().create_future())
        pair = (task.id, task.attempt)
        place.errands[pair] = errand
        place.changed.set()
        try:
            return await self._watched(place, errand)
        finally:
            place.errands.pop(pair, None)
            place.changed.set()

    def close(self) -> None:
        """Let no poll wait any longer."""
        self._closing = True
        for place in self._places.values():
            place.changed.set()

    async def arrived(self, node: str, register: Register) -> None:
        """An agent has started: what another run of it had is lost. One that was to restart its machine has done so."""
        place = self._place(node)
        place.heard = time.monotonic()
        self._lost(place, register.boot_id)
        session = Session(boot_id=register.boot_id, system=register.system, request=register.request)
        await asyncio.to_thread(self._remember, node, session)
        place.session = session
        place.changed.set()

    async def poll(self, node: str, poll: Poll) -> Work:
        """What the agent is to start and to end; waits until there is something."""
        place = self._place(node)
        place.heard = time.monotonic()
        if poll.boot_id != place.session.boot_id:
            self._lost(place, poll.boot_id)
            place.session = Session(boot_id=poll.boot_id)
        place.polls += 1
        mine = place.polls
        place.changed.set()  # ends an older poll of the same machine
        deadline = time.monotonic() + min(max(poll.wait, 0.0), longest_poll)
        while True:
            if place.polls != mine:
                return Work()
            work = self._work(place, poll)
            left = deadline - time.monotonic()
            if work.tasks or work.cancel or left <= 0 or self._closing:
                return work
            place.changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await place.changed.wait()

    async def said(self, node: str, said: Said) -> None:
        """Put a piece into the attempt's log; what is there already is not written again. Raises ``Retryable`` when the
        disk does not take it."""
        place = self._place(node)
        place.heard = time.monotonic()
        errand = place.errands.get((said.id, said.attempt))
        if errand is None:
            return
        end = said.offset + len(said.data)
        if end <= errand.logged:
            return
        before, errand.logged = errand.logged, end
        try:
            await asyncio.to_thread(_append, errand.log, before, said)
        except OSError as error:
            errand.logged = before
            what = f"the rack's disk does not take the log: {error.strerror}"
            raise Retryable(what, where=errand.log, mend="make room there") from error

    def ended(self, node: str, ended: Ended) -> bool:
        """Take a result; gives False for one that nobody waits for any more."""
        place = self._place(node)
        place.heard = time.monotonic()
        errand = place.errands.get((ended.id, ended.attempt))
        if errand is None or errand.ended.done():
            return False
        errand.ended.set_result(ended)
        place.over.add((ended.id, ended.attempt))
        return True

    def _work(self, place: Place, poll: Poll) -> Work:
        running, now, tasks = set(poll.running), time.monotonic(), []
        for pair, errand in place.errands.items():
            has_it = errand.handed == poll.boot_id and now - errand.handed_at < again_after
            if pair in running or has_it or errand.ended.done() or not _fits(errand.to, place.session):
                continue
            errand.handed, errand.handed_at = poll.boot_id, now
            tasks.append(errand.task)
        place.over &= running | place.errands.keys()
        return Work(tasks=tuple(tasks), cancel=tuple(sorted(running - place.errands.keys() - place.over)))

    def _lost(self, place: Place, boot_id: str) -> None:
        """End what an earlier run of this machine's agent had."""
        for errand in place.errands.values():
            if errand.handed is None or errand.ended.done():
                continue
            task = errand.task
            restarted = errand.handed != boot_id
            if restarted and task.action in RESTARTS:
                errand.ended.set_result(Ended(id=task.id, attempt=task.attempt, outcome="ok"))
                continue
            who = "the machine restarted" if restarted else "the machine's agent began anew"
            errand.ended.set_exception(Retryable(f"{who} while it worked on this", where=errand.to.node))

    async def _watched(self, place: Place, errand: Errand) -> Ended:
        """Wait for the end, as long as there is hope for it."""
        deadline = time.monotonic() + errand.task.timeout
        while True:
            left = deadline - time.monotonic()
            done, _ = await asyncio.wait({errand.ended}, timeout=max(min(left, silence / 3), 0))
            if done:
                return errand.ended.result()
            if time.monotonic() >= deadline:
                raise _too_late(place, errand)
            quiet = time.monotonic() - place.heard
            if errand.handed is not None and quiet > silence and errand.task.action not in RESTARTS:
                what = f"the agent took this and has said nothing for {quiet:.0f} s: the machine hangs or lost power"
                raise Retryable(what, where=errand.to.node, mend="look at its console")

    def _place(self, node: str) -> Place:
        place = self._places.get(node)
        if place is None:
            place = self._places[node] = Place(session=self._remembered(node))
        return place

    def _remembered(self, node: str) -> Session:
        with suppress(OSError, msgspec.MsgspecError), open(self._path(node), "rb") as file:
            return msgspec.json.decode(file.read(), type=Session)
        return Session()

    def _remember(self, node: str, session: Session) -> None:
        path = self._path(node)
        try:
            with open(f"{path}.new", "wb") as file:
                file.write(msgspec.json.encode(session))
            os.replace(f"{path}.new", path)
        except OSError as error:
            log.error("in which system an agent runs is in memory only", node=node, reason=str(error))

    def _path(self, node: str) -> str:
        return os.path.join(self._folder, f"{folder_name(node)}.json")


def _fits(to: Recipient, session: Session) -> bool:
    """Whether the agent of this session may have what is meant for ``to``."""
    system = not to.systems or session.system in to.systems
    return system and (not to.request or session.request == to.request)


def _too_late(place: Place, errand: Errand) -> DriverError:
    """Why a task was not done in its time."""
    task, to, session = errand.task, errand.to, place.session
    if errand.handed is not None:
        what = f"the agent has not done `{task.action}` within {task.timeout:g} s and is told to end it"
        return Permanent(what, where=to.node, mend="raise `timeout` of the task if it needs longer")
    wanted = " or ".join(to.systems) or "any system"
    wanted += f" for request {to.request!r}" if to.request else ""
    there = f"one in {session.system or 'an unknown system'} for {session.request!r}" if session.boot_id else "none"
    what = f"no agent in {wanted} came for `{task.action}` within {task.timeout:g} s; the last that was seen: {there}"
    return Retryable(what, where=to.node, mend="look at the machine's console")


def _append(path: str, before: int, said: Said) -> None:
    """Write what is new of a piece behind the ``before`` bytes; a gap is told."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
        if file.tell() >= LOG_LIMIT:
            return
        if said.offset > before:
            file.write(b"\n[%d bytes of the log are missing]\n" % (said.offset - before))
        file.write(said.data[max(before - said.offset, 0) :])
        if file.tell() >= LOG_LIMIT:
            file.write(b"\n[the log is longer; the rest is not kept]\n")
