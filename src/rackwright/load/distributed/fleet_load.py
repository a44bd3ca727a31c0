"""One workload on many agents: shares dealt out, seconds merged, and dealt anew when an agent is lost or comes late."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from rackwright.core.load.course import Deal, rest, split, starts
from rackwright.core.load.result import Health, Sample, Second
from rackwright.core.load.schedule import Open, Share
from rackwright.load.distributed import messages
from rackwright.load.distributed.dealing import MOST_NOTICE, NOTICE, Dealing
from rackwright.load.distributed.member import Member
from rackwright.load.distributed.messages import (
    Began,
    Delta,
    Finished,
    FromController,
    Halt,
    Held,
    Prepare,
    Prepared,
    Proven,
)
from rackwright.load.distributed.part import Part, health
from rackwright.load.generators import Ears, LoadFailed
from rackwright.load.local import READY
from rackwright.load.merging import Merging

AHEAD = 0.3
"""Seconds from the word to the start, so that it reaches all agents before."""
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
NOBODY = "no agent was left to take the share of the one that was lost"

OnLoss = Literal["resplit", "fail"]


class Crew(Protocol):
    """The agents, as a load uses them."""

    leash: float
    """Seconds without a word of ours after which they start no more."""

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
        self._work = msgspec.structs.replace(asked.work, until=until, leash=crew.leash)
        self._ears = ears
        self._crew = crew
        self._on_loss = on_loss
        self._parts: list[Part] = []
        self._by_key: dict[tuple[str, int], Part] = {}
        self._merging = Merging(())
        self._dealing = Dealing(asked.load, crew.tell)
        self._orphans: list[Part] = []
        """Lost parts of an open schedule whose starts are not dealt to others yet."""
        self._floor = 0.0
        """The place before which no new share may begin: others may still start what they had."""
        self._looked = 0.0
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
        self._dealing.forget()
        self._bury(math.inf)

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

    def hear(self, member: Member, word: Prepared | Began | Proven | Held | Finished) -> None:
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
        elif isinstance(word, Held):
            self._hear_limit(part, word)
        else:
            part.finished, part.since, part.done = word, time.monotonic(), True
            self._close_if_complete(part)
            if part in self._dealing.shares:
                self._deal()
        self._changed.set()

    def _hear_limit(self, part: Part, held: Held) -> None:
        """How far a part goes while shares change."""
        furthest = self._second + MOST_NOTICE + LAG if self._is_open else sys.maxsize
        if 0 <= held.limit <= furthest or held.limit == math.inf:
            self._dealing.hear(part, held.turn, held.limit)
            self._settle()
        else:
            why = f"it says that it goes as far as {held.limit:g} in second {self._second:.1f}: its clock goes wrong"
            self._crew.give_up(part.member, why, for_good=True)

    def take(self, member: Member, delta: Delta) -> None:
        """An agent tells what it did in a second."""
        part = self._part(member, delta.piece)
        if part is None:
            return
        elapsed = time.monotonic() - self.zero
        newest = max((second.at for second in delta.report.seconds), default=0)
        told = delta.at, newest, delta.report.upto - 1
        if not all(at <= elapsed + SKEW for at in told) or delta.at < elapsed - LAG:
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
                part.lost_at = max(0.0, self._second) if self._begun else 0.0
                self.notes.append(f"{member.name} was given up at second {part.lost_at:.1f}: {member.lost}")
                if self._begun:
                    self._inherit(part)
        self._let_go()
        self._changed.set()

    def join(self, member: Member) -> None:
        """An agent came late: it gets a share as soon as its processes are ready."""
        working = {part.member for part in self._parts if part.works}
        schedule = self._work.schedule
        useful = schedule.processes(len(working) + 1) > len(working) and self._second < schedule.length
        mine = any(part.member is member for part in self._parts)
        if self._begun and not self.stopped_for and useful and working and not mine:
            self._ask(member, (), Share().split(len(working) + 1)[-1])

    @property
    def _second(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.zero

    @property
    def _working(self) -> list[Part]:
        return [part for part in self._parts if part.works]

    @property
    def _newcomers(self) -> list[Part]:
        """Those that came late and have nothing yet."""
        return [part for part in self._open_parts if not part.begun and not part.deals]

    @property
    def _open_parts(self) -> list[Part]:
        return [part for part in self._parts if not part.over]

    def _part(self, member: Member, piece: int) -> Part | None:
        part = self._by_key.get((member.session, piece))
        return None if part is None or part.over else part

    def _ask(self, member: Member, deals: Sequence[Deal], share: Share) -> Part:
        """Ask an agent to get ready for a piece of these deals, or of about this share if there are none yet."""
        piece = sum(part.member is member for part in self._parts)
        former = sum(part.member.name == member.name for part in self._parts)
        within = f"{self._work.folder}/{member.name}" + (f".{former + 1}" if former else "")
        work = msgspec.structs.replace(self._work, folder=within if self._work.folder else "")
        part = Part(member, piece, self._work.schedule, deals)
        self._parts.append(part)
        self._by_key[part.key] = part
        self._crew.tell(member, msgspec.structs.replace(self._asked, piece=piece, work=work, share=share))
        return part

    async def _prepare(self) -> None:
        here = self._crew.here
        members = here[: self._work.schedule.processes(len(here))]
        for member, share in zip(members, Share().split(len(members)), strict=True):
            self._ask(member, (), share)
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
        ready = self._open_parts
        for part, share in zip(ready, Share().split(len(ready)), strict=True):
            self._start(part, [Deal(0.0, share)])
        lost = [part for part in self._parts if part.over]
        if lost and self._on_loss == "fail":
            self._fail(f"{lost[0].member.name} was lost before the start: {lost[0].member.lost}")
        for member in self._crew.here:
            self.join(member)

    def _start(self, part: Part, deals: Sequence[Deal]) -> None:
        """Let a part begin with these deals."""
        self._merging.join(part.key)
        part.deals = list(deals)
        part.begun, part.since, part.upto = True, time.monotonic(), deals[0].after if self._is_open else 0.0
        zero = self.zero + part.member.clock.ahead
        self._crew.tell(
            part.member,
            messages.Start(load=self._asked.load, piece=part.piece, zero=zero, deals=tuple(deals)),
        )

    @property
    def _is_open(self) -> bool:
        return isinstance(self._work.schedule, Open)

    def _begin_late(self, part: Part) -> None:
        """A part is ready after the start: an heir begins with what it inherits, a newcomer when it has got a share."""
        if self.stopped_for:
            self._halt([part], cancel=True)
        elif part.deals:
            wait = max(0.0, part.free_at - time.monotonic())
            asyncio.get_running_loop().call_later(wait, self._start_heir, part)
        else:
            self._deal()

    def _start_heir(self, part: Part) -> None:
        if not part.over and not self.stopped_for:
            self._start(part, part.deals)

    def _deal(self) -> None:
        """Divide the load anew among all that work, and those that came late."""
        newcomers = [part for part in self._newcomers if part.ready]
        if self.stopped_for or not self._divisible or not (newcomers or self._orphans):
            self._dealing.call_off()
            return
        self._dealing.ask(self._working, newcomers)
        self._settle()

    @property
    def _divisible(self) -> bool:
        """Whether everything beyond some place is still to be done. Of a closed schedule that is not so when one has
        done all of its share, or has not begun what it inherits."""
        if self._is_open:
            return True
        mine = [part for part in self._parts if part.deals]
        return any(part.works for part in mine) and all((part.begun or part.over) and not part.done for part in mine)

    def _settle(self) -> None:
        """Let the new shares hold, when all have told how far they go."""
        reach = self._dealing.reach
        if not self._dealing.shares or reach is None:
            return
        if math.isinf(reach):
            self._dealing.call_off()
            return
        if self._is_open:
            reach = max(reach, self._floor, self._second)
        self._floor = reach
        for part, share in self._dealing.settle(reach).items():
            if not part.begun:
                self._start(part, [Deal(reach, share)])
                place = f"second {reach:.1f}" if self._is_open else f"iteration {reach:.0f}"
                self.notes.append(f"{part.member.name} came late: it takes part from {place} on")
        self._bury(reach)

    def _inherit(self, lost: Part) -> None:
        """The others do what a lost part has left."""
        free_at = lost.member.free_at(self._crew.leash)
        if not self.stopped_for and self._on_loss == "fail":
            self._fail(f"{lost.member.name} was lost at second {lost.lost_at:.1f}: {lost.member.lost}")
        if self._is_open and lost.begun:
            self._floor = max(self._floor, free_at - self.zero)
            self._orphans.append(lost)
        else:
            if lost.deals and not self.stopped_for:
                self._bequeath(lost, free_at)
            self._give(self._merging.leave(lost.key))
        if self._orphans:
            self._pass_on()
        elif lost in self._dealing.shares:
            self._deal()

    def _pass_on(self) -> None:
        """Find somebody for the starts of those that were lost."""
        if not self.stopped_for and (self._working or self._newcomers):
            self._deal()
            return
        if not self.stopped_for and self._second + NOTICE <= self._work.until:
            self._fail(NOBODY)
        self._bury(math.inf)

    def _bury(self, end: float) -> None:
        """What nobody knows of, until others have the share of those that were lost, must not count as done."""
        orphans, self._orphans = self._orphans, []
        for lost in orphans:
            self._give(self._merging.take(lost.key, lost.unknown(min(end, self._stopped - self.zero))))
            self._give(self._merging.leave(lost.key))

    def _bequeath(self, lost: Part, free_at: float) -> None:
        """Divide the iterations of a closed schedule that a lost part has not told of."""
        schedule, heirs = self._work.schedule, self._crew.here
        left = rest(schedule, lost.deals, lost.iterations)
        lost.done = not left
        if left and not heirs:
            self._fail(NOBODY)
        for heir, deals in zip(heirs, split(schedule, left, len(heirs)), strict=True):
            if next(starts(schedule, deals), None) is not None:
                self._ask(heir, deals, deals[-1].share or Share()).free_at = free_at

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
        trouble = finished.trouble
        if trouble is not None and self._fault is None:
            where = f"{name}: {trouble.where}" if trouble.where else name
            self._fault = LoadFailed(trouble.what, where=where, mend=trouble.mend)
            self.stop(trouble.what, cancel=True)
        self._give(self._merging.leave(part.key))
        self._let_go()
        self._changed.set()

    def _let_go(self) -> None:
        """Who came late is not needed any more when all others have done their share."""
        if not self._begun or self._orphans or any(part.deals for part in self._open_parts):
            return
        self._halt(self._newcomers, cancel=True)
        for part in self._newcomers:
            part.over = True

    async def _wait(self) -> None:
        """Wait until something changes; agents that take too long are given up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await self._changed.wait()
        self._changed.clear()
        if time.monotonic() - self._looked > LOOK:
            self._look()

    def _look(self) -> None:
        now = self._looked = time.monotonic()
        if self._dealing.late:
            self._dealing.call_off()
        elif self._begun and not self._dealing.shares:
            self._deal()
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
