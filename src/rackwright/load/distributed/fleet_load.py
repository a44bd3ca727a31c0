"""One workload on many agents: shares dealt out, seconds merged, and dealt anew when an agent is lost or comes late."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from rackwright.core.load.course import Deal
from rackwright.core.load.result import Health, Sample, Second
from rackwright.core.load.schedule import Closed, Open, Share
from rackwright.load.distributed import messages
from rackwright.load.distributed.member import Member
from rackwright.load.distributed.messages import Began, Delta, Finished, FromController, Halt, Prepare, Prepared, Proven
from rackwright.load.distributed.part import Part, health
from rackwright.load.generators import Ears, LoadFailed
from rackwright.load.local import READY
from rackwright.load.merging import Merging

AHEAD = 0.3
"""Seconds from the word to the start, so that it reaches all agents before."""
TURN = 0.5
"""Seconds from a new deal to the moment from which it holds."""
PREPARING = READY + 10
"""Seconds that an agent has to prepare a piece."""
LAST = 30.0
"""Seconds without a delta after which those that are still on their way are given up."""
ENDING = 60.0
"""Seconds that an agent has to end what was cancelled: longer than its load processes have."""
SKEW = 2.0
"""Seconds that an agent may tell of the future, by the controller's clock."""
LAG = 60.0
"""Seconds that an agent may tell of the past: longer than it waits for a load process that says nothing."""
LOOK = 0.25
"""Seconds between looks at what takes too long."""

OnLoss = Literal["resplit", "fail"]


class Crew(Protocol):
    """The agents, as a load uses them."""

    @property
    def here(self) -> Sequence[Member]:
        """Those that can carry out load."""
        ...

    def tell(self, member: Member, word: FromController) -> None:
        """Say something to one of them."""
        ...

    def give_up(self, member: Member, why: str, *, for_good: bool = False) -> None:
        """It cannot be relied on any more; all loads lose it. ``for_good``: it is not let in again."""
        ...


class FleetLoad:
    """Carries ``work`` out on the agents that are here when it begins, and on those that come later.

    ``asked`` is what an agent is asked for a piece, but for the piece itself. ``on_loss``: whether the share of a lost
    agent is divided among the others, or the load fails.
    """

    def __init__(self, asked: Prepare, ears: Ears, crew: Crew, on_loss: OnLoss) -> None:
        schedule = asked.work.schedule
        until = schedule.last if isinstance(schedule, Open) else 0.0
        self._asked = asked
        self._work = msgspec.structs.replace(asked.work, until=until)
        self._ears = ears
        self._crew = crew
        self._on_loss = on_loss
        self._parts: list[Part] = []
        self._by_key: dict[tuple[str, int], Part] = {}
        self._merging = Merging(())
        self._changed = asyncio.Event()
        self._begun = False
        self._stopped = self._cancelled = math.inf
        self._fault: LoadFailed | None = None
        self.zero = 0.0
        self.length = 0.0
        self.stopped_for = ""
        """Why the load was ended early."""
        self.notes: list[str] = []
        self.faults: list[str] = []

    async def run(self) -> None:
        """From the first share to the last word of every agent.

        Raises:
            LoadFailed: when no agent is here, or one of them cannot run the scenario.
        """
        try:
            await self._prepare()
            self._begin()
            while not all(part.over for part in self._parts):
                await self._wait()
        finally:
            self._halt(self._open_parts, cancel=True)
        self._tell_coverage()
        if self._fault is not None:
            raise self._fault

    def stop(self, reason: str, *, cancel: bool = False) -> None:
        """Start no more; ``cancel``: and end what runs."""
        self.stopped_for = self.stopped_for or reason
        self._stopped = min(self._stopped, time.monotonic())
        if cancel:
            self._cancelled = min(self._cancelled, time.monotonic())
        self._halt(self._open_parts, cancel=cancel)

    @property
    def samples(self) -> list[Sample]:
        """Errors by kind, the most frequent first."""
        return sorted(self._merging.samples.values(), key=lambda sample: -sample.count)

    @property
    def health(self) -> list[Health]:
        """How each agent did."""
        planned = self._work.schedule.planned
        agents: dict[Member, list[Part]] = {}
        for part in self._parts:
            agents.setdefault(part.member, []).append(part)
        return [health(parts, (planned or 0) / len(agents)) for parts in agents.values()]

    def hear(self, member: Member, word: Prepared | Began | Proven | Finished) -> None:
        """An agent says something of this load."""
        if isinstance(word, Began):
            self._ears.start(word.number, word.at)
            return
        if isinstance(word, Proven):
            if not self.stopped_for:
                self._ears.proof(f"{word.reason}, at {member.name}")
            return
        part = self._part(member, word.piece)
        if part is None:
            return
        if isinstance(word, Prepared):
            part.ready = True
            if self._begun:
                self._begin_late(part)
        else:
            part.finished, part.since = word, time.monotonic()
            self._close_if_complete(part)
        self._changed.set()

    def take(self, member: Member, delta: Delta) -> None:
        """An agent tells what it did in a second."""
        part = self._part(member, delta.piece)
        if part is None:
            return
        elapsed = time.monotonic() - self.zero
        newest = max((second.at for second in delta.report.seconds), default=0)
        if max(delta.at, newest) > elapsed + SKEW or delta.at < elapsed - LAG:
            why = f"its clock goes wrong: it told of second {delta.at:.1f} in second {elapsed:.1f}"
            self._crew.give_up(member, why, for_good=True)
            return
        part.take(delta)
        self.length = max(self.length, min(delta.at, elapsed))
        self._give(self._merging.take(part.key, delta.report))
        self._close_if_complete(part)

    def lose(self, member: Member) -> None:
        """An agent was given up."""
        for part in self._open_parts:
            if part.member is member:
                part.over = True
                part.lost_at = max(0.0, time.monotonic() - self.zero) if self._begun else 0.0
                self.notes.append(f"{member.name} was given up at second {part.lost_at:.1f}: {member.lost}")
                # One that came late to an open schedule, and has not begun, has no share that it could leave.
                if self._begun and (part.begun or isinstance(self._work.schedule, Closed)):
                    self._inherit(part)
        self._changed.set()

    def join(self, member: Member) -> None:
        """An agent came late: it gets its share of an open schedule as soon as its processes are ready."""
        schedule = self._work.schedule
        working = sum(part.works for part in self._parts)
        useful = isinstance(schedule, Open) and schedule.processes(working + 1) > working
        if self._begun and not self.stopped_for and useful and working:
            self._ask(member, Share())

    @property
    def _open_parts(self) -> list[Part]:
        return [part for part in self._parts if not part.over]

    def _part(self, member: Member, piece: int) -> Part | None:
        part = self._by_key.get((member.session, piece))
        return None if part is None or part.over else part

    def _ask(self, member: Member, share: Share, beyond: int = 0) -> None:
        piece = sum(part.member is member for part in self._parts)
        former = sum(part.member.name == member.name for part in self._parts)
        within = f"{self._work.folder}/{member.name}" + (f".{former + 1}" if former else "")
        folder = within if self._work.folder else ""
        work = msgspec.structs.replace(self._work, share=share, beyond=beyond, folder=folder)
        part = Part(member, piece, work)
        self._parts.append(part)
        self._by_key[part.key] = part
        self._crew.tell(member, msgspec.structs.replace(self._asked, piece=piece, work=work))

    async def _prepare(self) -> None:
        here = self._crew.here
        members = here[: self._work.schedule.processes(len(here))]
        for member, share in zip(members, Share().split(len(members)), strict=True):
            self._ask(member, share)
        while not self.stopped_for and any(not part.ready for part in self._open_parts):
            await self._wait()
        if self._fault is not None:
            raise self._fault
        if not self._open_parts and not self.stopped_for:
            raise LoadFailed(
                "no agent is left to carry out the load",
                mend="; ".join(self.notes) or "start one: rackwright load-agent",
            )

    def _begin(self) -> None:
        if self.stopped_for:
            return
        self.zero = time.monotonic() + AHEAD
        self._begun = True
        for part in self._open_parts:
            self._merging.join(part.key)
            self._start(part)
        for part in [each for each in self._parts if each.over]:
            self._inherit(part)

    def _start(self, part: Part, after: float = 0.0) -> None:
        part.begun, part.since = True, time.monotonic()
        zero = self.zero + part.member.clock.ahead
        self._crew.tell(part.member, messages.Start(load=self._asked.load, piece=part.piece, zero=zero, after=after))

    def _begin_late(self, part: Part) -> None:
        if self.stopped_for:
            self._halt([part], cancel=True)
            return
        if isinstance(self._work.schedule, Closed):
            self._start(part)
            return
        after = time.monotonic() - self.zero + TURN
        self._merging.join(part.key)
        part.upto = after
        self._start(part, after)
        self._deal(after)
        self.notes.append(f"{part.member.name} came late: it takes part from second {after:.1f} on")

    def _deal(self, after: float) -> None:
        """Divide an open schedule anew among all that work."""
        working = [part for part in self._parts if part.works]
        for part, share in zip(working, Share().split(len(working)), strict=True):
            part.deal(Deal(after, share))
            self._crew.tell(part.member, messages.Deal(self._asked.load, after, share))

    def _inherit(self, lost: Part) -> None:
        """The others do what a lost part has left."""
        after = max(0.0, time.monotonic() - self.zero + TURN)
        if not self.stopped_for and self._on_loss == "fail":
            self._fail(f"{lost.member.name} was lost at second {lost.lost_at:.1f}: {lost.member.lost}")
        elif not self.stopped_for:
            self._replace(lost, after)
        if isinstance(self._work.schedule, Open):
            # Also of a load that ended: what nobody knows of must not count as done.
            end = min(after, self._stopped - self.zero)
            self._give(self._merging.take(lost.key, lost.unknown(end)))
        self._give(self._merging.leave(lost.key))

    def _replace(self, lost: Part, after: float) -> None:
        """Let others have a lost part's share, of an open schedule from a second on."""
        heirs, closed = self._crew.here, isinstance(self._work.schedule, Closed)
        if closed and heirs:
            self._bequeath(lost, heirs)
        elif not closed and any(part.works for part in self._parts):
            self._deal(after)
        elif closed or after <= self._work.until:
            self._fail("no agent was left to take the share of the one that was lost")

    def _bequeath(self, lost: Part, heirs: Sequence[Member]) -> None:
        """Divide the iterations of a closed schedule that a lost part has not told of."""
        schedule, share = self._work.schedule, lost.work.share
        assert isinstance(schedule, Closed)
        beyond = schedule.passed(share, lost.work.beyond, lost.iterations)
        for heir, part in zip(heirs, share.split(len(heirs)), strict=True):
            if next(schedule.numbers(part, beyond), None) is not None:
                self._ask(heir, part, beyond)
                self._merging.join(self._parts[-1].key)

    def _fail(self, why: str) -> None:
        self.faults.append(why)
        self.stop(why)

    def _close_if_complete(self, part: Part) -> None:
        if part.finished is not None and part.complete:
            self._close(part, part.finished)

    def _close(self, part: Part, finished: Finished) -> None:
        part.over = True
        part.gaps += max(0, finished.deltas - part.deltas)
        self.length = max(self.length, finished.length)
        name = part.member.name
        self.notes += [f"{name}: {note}" for note in finished.notes]
        self.faults += [f"{name}: {fault}" for fault in finished.faults]
        if part.gaps:
            self.faults.append(f"{part.gaps} reports of {name} did not come: their iterations are not counted")
        if finished.fault and self._fault is None:
            self._fault = LoadFailed(finished.fault, where=name, mend="mend the scenario, or what the agent has not")
            self.stop(finished.fault, cancel=True)
        self._give(self._merging.leave(part.key))
        self._changed.set()

    async def _wait(self) -> None:
        """Wait until something changes; agents that take too long are given up."""
        try:
            async with asyncio.timeout(LOOK):
                await self._changed.wait()
        except TimeoutError:
            self._look()
        self._changed.clear()

    def _look(self) -> None:
        now = time.monotonic()
        for part in self._open_parts:
            if part.finished is not None:
                if now - part.since > LAST:
                    self._close(part, part.finished)
            elif not part.ready and now - part.since > PREPARING:
                self._crew.give_up(part.member, f"it was not ready within {PREPARING:g} s")
            elif part.works and now - part.since > LAG:
                why = f"it told nothing for {LAG:g} s: its clock goes wrong, or its processes hang"
                self._crew.give_up(part.member, why, for_good=True)
            elif now - self._cancelled > ENDING:
                self._crew.give_up(part.member, f"it did not end within {ENDING:g} s")

    def _halt(self, parts: Sequence[Part], *, cancel: bool) -> None:
        for member in dict.fromkeys(part.member for part in parts):
            self._crew.tell(member, Halt(self._asked.load, cancel))

    def _give(self, seconds: list[Second]) -> None:
        for second in seconds:
            self._ears.second(second)

    def _tell_coverage(self) -> None:
        uncovered = sum(part.uncovered for part in self._parts)
        planned = self._work.schedule.planned
        if uncovered:
            whole = f" of {planned} ({100 * (1 - uncovered / planned):.2f} % are covered)" if planned else ""
            self.notes.append(f"{uncovered} starts{whole} fell to agents that were lost; they count as missed")
        for member in dict.fromkeys(part.member for part in self._parts if part.member.clock.known):
            if abs(member.clock.wall_ahead) > SKEW:
                self.notes.append(
                    f"the clock of {member.name} is {member.clock.wall_ahead:+.1f} s off; moments are the controller's"
                )
