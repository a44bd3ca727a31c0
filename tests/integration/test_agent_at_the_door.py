"""The agent as it is shipped, at the door as it is shipped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rackwright.agent.loop import Agent
from rackwright.agent.settings import Settings
from rackwright.core.desk import Recipient
from rackwright.core.errors import Retryable
from rackwright.core.machine_messages import AgentTask, Ended
from tests.integration.door_world import World, world

STRANGER = "new-100"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "rack") as found:
        yield found


def running(here: World, folder: Path, clocks: list[float]) -> tuple[Agent, threading.Thread]:
    settings = Settings(door=here.url, request="q1")
    agent = Agent(settings, str(folder), look=lambda: {"cpu": {"cores": 3}}, set_clock=clocks.append)
    thread = threading.Thread(target=agent.run, daemon=True)
    thread.start()
    return agent, thread


async def ended(agent: Agent, thread: threading.Thread) -> None:
    agent.stop()
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()


async def carried_out(here: World, log: Path, attempt: int, script: str) -> Ended:
    task = AgentTask(id=5, attempt=attempt, action="script", parameters={"script": script}, timeout=30.0)
    to = Recipient(node=STRANGER, systems=("discovery",), request="q1")
    return await here.desk.carry_out(to, task, str(log))


async def test_it_registers_works_tells_its_log_and_gives_facts(here: World, tmp_path: Path) -> None:
    agent, thread = running(here, tmp_path / "agent", [])
    script = "#!/bin/sh\necho one; echo two; echo tests.cpu=ok > $RACKWRIGHT_OUTPUT\n"
    result = await carried_out(here, tmp_path / "log", 1, script)
    assert (result.outcome, result.facts) == ("ok", {"tests.cpu": "ok"})
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    (said,) = here.region.enlisted
    assert (said.inventory["cpu"], said.request) == ({"cores": 3}, "q1")
    failed = await carried_out(here, tmp_path / "log2", 2, "#!/bin/sh\necho no >&2; exit 3\n")
    assert failed.outcome == "failed"
    assert "3" in failed.reason
    await ended(agent, thread)


async def test_a_task_that_is_cancelled_at_the_rack_ends_on_the_machine(here: World, tmp_path: Path) -> None:
    agent, thread = running(here, tmp_path / "agent", [])
    mark = tmp_path / "mark"
    work = asyncio.create_task(
        carried_out(here, tmp_path / "log", 1, f"#!/bin/sh\ntouch {mark}; sleep 60; rm {mark}\n")
    )
    async with asyncio.timeout(60):
        while not mark.exists():
            await asyncio.sleep(0.05)
    work.cancel()
    result = await carried_out(here, tmp_path / "log", 2, "#!/bin/sh\nexit 0\n")
    assert result.outcome == "ok"
    async with asyncio.timeout(60):
        while agent._jobs:
            await asyncio.sleep(0.05)
    assert mark.exists()
    await ended(agent, thread)


async def test_an_agent_that_is_started_anew_gives_its_task_up(here: World, tmp_path: Path) -> None:
    agent, thread = running(here, tmp_path / "agent", [])
    mark = tmp_path / "mark"
    work = asyncio.create_task(carried_out(here, tmp_path / "log", 1, f"#!/bin/sh\ntouch {mark}; sleep 60\n"))
    async with asyncio.timeout(60):
        while not mark.exists():
            await asyncio.sleep(0.05)
    second, other = running(here, tmp_path / "agent2", [])
    with pytest.raises(Retryable, match="began anew"):
        await asyncio.wait_for(work, 60)
    for one in ((agent, thread), (second, other)):
        await ended(*one)
