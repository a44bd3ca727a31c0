"""What a load over many agents makes of those that are lost; the agents say here what each test wants."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rackwright.core.load.result import Second
from rackwright.core.load.schedule import Open, Stage
from rackwright.load.distributed.fleet_load import FleetLoad, OnLoss
from rackwright.load.distributed.member import Member
from rackwright.load.distributed.messages import Delta, Finished, FromController, Held, Prepare, Prepared, Start
from rackwright.load.generators import Ears
from rackwright.load.words import Report, Work


class Agents:
    """Those of ``names`` are here and do nothing but get ready; ``begun`` is set when one of them may begin."""

    leash = 0.5

    def __init__(self, names: str, schedule: Open, on_loss: OnLoss) -> None:
        self.here: list[Member] = []
        self.seconds: list[Second] = []
        self.begun = asyncio.Event()
        for name in names:
            self.come(name)
        ears = Ears(self.seconds.append, lambda number, at: None, lambda reason: None)
        asked = Prepare(load=1, piece=0, work=Work(scenario="", schedule=schedule))
        self.load = FleetLoad(asked, ears, self, on_loss)

    @property
    def missed(self) -> int:
        return sum(second.missed for second in self.seconds)

    def come(self, name: str) -> Member:
        member = Member(name.encode(), name, name, "h")
        now = time.monotonic()
        while not member.clock.known:
            member.clock.read(now, now, now, now, now)
        self.here.append(member)
        return member

    def tell(self, member: Member, word: FromController) -> None:
        if isinstance(word, Prepare) and not self.begun.is_set():
            asyncio.get_running_loop().call_soon(self.load.hear, member, Prepared(1, word.piece))
        elif isinstance(word, Start):
            self.begun.set()

    def give_up(self, member: Member, why: str, *, for_good: bool = False) -> None:
        self.here.remove(member)
        member.lost = why
        self.load.lose(member)

    def finish(self) -> None:
        for member in self.here:
            self.load.hear(member, Finished(load=1, piece=0))


@asynccontextmanager
async def under_way(
    names: str, *, rate: float = 100.0, length: float = 60.0, on_loss: OnLoss = "resplit"
) -> AsyncIterator[Agents]:
    """A load that these agents have begun; at the end those that are left say that they have done their share."""
    agents = Agents(names, Open(stages=(Stage(length, rate),)), on_loss)
    running = asyncio.create_task(agents.load.run())
    async with asyncio.timeout(60):
        await agents.begun.wait()
        yield agents
        agents.finish()
        await running


async def pass_second(agents: Agents, at: float) -> None:
    """Wait until so many seconds of the load have passed."""
    await asyncio.sleep(max(0.0, agents.load.zero + at - time.monotonic()))


async def test_an_agent_that_came_late_and_is_lost_before_it_began_leaves_nothing_behind() -> None:
    async with under_way("a") as agents:
        late = agents.come("b")
        agents.load.join(late)
        await pass_second(agents, 0.1)
        agents.give_up(late, "it was ended")
    assert agents.missed == 0
    assert agents.load.faults == []
    assert [note for note in agents.load.notes if "fell to agents" in note] == []


async def test_what_is_not_known_counts_as_missed_also_when_a_loss_fails_the_load() -> None:
    async with under_way("ab", on_loss="fail") as agents:
        await pass_second(agents, 0.3)
        agents.give_up(agents.here[0], "it hangs")
    assert "a was lost" in agents.load.faults[0]
    assert agents.missed >= 15
    assert agents.load.health[0].covered < 1.0


async def test_a_loss_after_the_last_start_counts_as_missed_and_does_not_fail_the_load() -> None:
    async with under_way("a", length=0.3) as agents:
        await pass_second(agents, 0.2)
        agents.give_up(agents.here[0], "it was ended")
    assert agents.load.faults == []
    assert agents.missed == 30
    assert agents.load.health[0].covered == 0.0


async def test_starts_after_a_stop_are_not_missed_when_an_agent_is_lost_later() -> None:
    async with under_way("a", rate=10.0) as agents:
        await pass_second(agents, 0.25)
        agents.load.stop("enough")
        until = time.monotonic() - agents.load.zero
        await asyncio.sleep(0.3)
        agents.give_up(agents.here[0], "it was ended")
    assert 3 <= agents.missed <= int(until * 10) + 1


@pytest.mark.parametrize("far", [math.inf, math.nan, 9e9])
async def test_an_agent_that_tells_of_seconds_that_cannot_be_is_given_up(far: float) -> None:
    async with under_way("ab") as agents:
        liar = agents.here[0]
        report = Report(upto=far, seconds=[])
        agents.load.take(liar, Delta(session="a", load=1, piece=0, number=1, at=0.1, report=report))
        assert "its clock goes wrong" in liar.lost
    assert [each.lost_at is not None for each in agents.load.health] == [True, False]


@pytest.mark.parametrize("far", [math.nan, -1.0, 9e9])
async def test_an_agent_that_goes_further_than_can_be_is_given_up(far: float) -> None:
    async with under_way("ab") as agents:
        liar = agents.here[0]
        agents.load.hear(liar, Held(load=1, piece=0, turn=1, limit=far))
        assert f"goes as far as {far:g}" in liar.lost
