from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.desk import Recipient
from rackwright.core.errors import Permanent, Retryable
from rackwright.core.machine_messages import AgentTask, Ended, Said
from rackwright.rack import desk as desk_module
from tests.integration.door_world import Agent, World, world


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as found:
        yield found


class Errand:
    """A task that a jig hands over."""

    def __init__(self, here: World, folder: Path, *, attempt: int = 1, action: str = "inventory", **to: Any) -> None:
        self.log = folder / f"5-{attempt}.log"
        timeout = to.pop("timeout", 30.0)
        task = AgentTask(id=5, attempt=attempt, action=action, timeout=timeout)
        recipient = Recipient(node="n1", **to)
        self.work = asyncio.create_task(here.desk.carry_out(recipient, task, str(self.log)))

    async def ended(self) -> Ended:
        return await asyncio.wait_for(self.work, 60)


async def test_an_agent_that_waits_is_handed_a_task_and_its_result_comes_back(here: World, tmp_path: Path) -> None:
    agent = Agent(here, 1)
    await agent.register()
    waiting = asyncio.create_task(agent.task())
    await asyncio.sleep(0.05)
    errand = Errand(here, tmp_path)
    task = await waiting
    assert (task.id, task.attempt, task.action) == (5, 1, "inventory")
    assert await agent.end(task, facts={"observed.inventory.cpu": {"cores": 2}})
    assert (await errand.ended()).facts == {"observed.inventory.cpu": {"cores": 2}}


async def test_a_task_waits_for_an_agent_that_is_still_booting(here: World, tmp_path: Path) -> None:
    errand = Errand(here, tmp_path)
    await asyncio.sleep(0.05)
    agent = Agent(here, 1)
    await agent.register()
    await agent.end(await agent.task())
    assert (await errand.ended()).outcome == "ok"


async def test_what_the_agent_says_is_in_the_log_while_it_works_and_once(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    task = await agent.task()
    await agent.say(task, 0, b"one\n")
    assert errand.log.read_bytes() == b"one\n"
    await agent.say(task, 0, b"one\n")
    await agent.say(task, 2, b"e\ntwo\n")
    assert errand.log.read_bytes() == b"one\ntwo\n"
    await agent.say(task, 11, b"end\n")
    assert errand.log.read_bytes() == b"one\ntwo\n\n[3 bytes of the log are missing]\nend\n"
    await agent.end(task)
    await errand.ended()


async def test_a_log_that_never_ends_is_cut(here: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "LOG_LIMIT", 1000)
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    task = await agent.task()
    for piece in range(5):
        await agent.say(task, piece * 600, b"x" * 600)
    assert errand.log.read_bytes() == b"x" * 1200 + b"\n[the log is longer; the rest is not kept]\n"
    await agent.end(task)
    await errand.ended()


async def test_a_log_that_the_disk_does_not_take_is_asked_for_again(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    task = await agent.task()
    errand.log.mkdir()
    piece = Said(id=task.id, attempt=task.attempt, offset=0, data=b"one\n")
    answer = await agent.post("log", piece)
    assert (answer.status_code, "does not take the log" in answer.text) == (503, True)
    errand.log.rmdir()
    await agent.say(task, 0, b"one\n")
    assert errand.log.read_bytes() == b"one\n"
    await agent.end(task)
    await errand.ended()


async def test_the_same_result_twice_is_harmless(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    task = await agent.task()
    assert await agent.end(task)
    await errand.ended()
    assert not await agent.end(task, outcome="failed", reason="no")


async def test_a_cancelled_task_is_cancelled_on_the_machine(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    await agent.task()
    waiting = asyncio.create_task(agent.poll(wait=60))
    await asyncio.sleep(0.05)
    errand.work.cancel()
    assert (await asyncio.wait_for(waiting, 20)).cancel == ((5, 1),)


async def test_an_agent_that_waits_is_not_called_for_what_it_has_ended_itself(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    task = await agent.task()
    waiting = asyncio.create_task(agent.poll(wait=0.5))
    await asyncio.sleep(0.05)
    assert await agent.end(task)
    await errand.ended()
    assert (await asyncio.wait_for(waiting, 60)).cancel == ()


async def test_a_machine_that_restarts_loses_its_task_which_may_be_tried_again(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    await agent.task()
    await Agent(here, 1, boot_id="boot-2").register()
    with pytest.raises(Retryable, match="the machine restarted"):
        await errand.ended()


async def test_an_agent_that_was_killed_and_began_anew_loses_its_task(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    await agent.task()
    await Agent(here, 1).register()
    with pytest.raises(Retryable, match="agent began anew"):
        await errand.ended()


async def test_a_machine_that_was_to_restart_and_comes_up_has_done_so(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path, action="reboot")
    await agent.register()
    await agent.task()
    await Agent(here, 1, boot_id="boot-2").register()
    assert (await errand.ended()).outcome == "ok"


async def test_an_agent_that_falls_silent_with_a_task_is_given_up(
    here: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "silence", 0.3)
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    await agent.task()
    with pytest.raises(Retryable, match="has said nothing for"):
        await errand.ended()


async def test_when_no_agent_comes_in_time_the_reason_says_which_one_was_seen(here: World, tmp_path: Path) -> None:
    await Agent(here, 1, request="q1").register()
    errand = Errand(here, tmp_path, timeout=0.2, systems=("rescue",), request="q2")
    with pytest.raises(Retryable, match=r"no agent in rescue for request 'q2' came.*seen: one in discovery for 'q1'"):
        await errand.ended()


async def test_an_agent_that_is_not_done_in_time_is_told_to_end(here: World, tmp_path: Path) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path, timeout=2.0)
    await agent.register()
    await agent.task()
    with pytest.raises(Permanent, match=r"not done `inventory` within 2 s"):
        await errand.ended()
    assert (await agent.poll()).cancel == ((5, 1),)


async def test_only_the_agent_that_booted_for_a_request_gets_its_task(here: World, tmp_path: Path) -> None:
    old = Agent(here, 1, system="installed", request="old")
    await old.register()
    errand = Errand(here, tmp_path, systems=("discovery",), request="new")
    assert (await old.poll(wait=0.1)).tasks == ()
    fresh = Agent(here, 1, boot_id="boot-2", request="new")
    await fresh.register()
    await fresh.end(await fresh.task())
    await errand.ended()


async def test_an_answer_that_was_lost_is_given_again_and_not_all_the_time(
    here: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, errand = Agent(here, 1), Errand(here, tmp_path)
    await agent.register()
    await agent.task()
    agent.running.clear()
    assert (await agent.poll(wait=0)).tasks == ()
    monkeypatch.setattr(desk_module, "again_after", 0.0)
    await agent.end((await agent.poll(wait=0)).tasks[0])
    await errand.ended()


async def test_a_newer_poll_ends_the_older_one_which_gets_nothing(here: World, tmp_path: Path) -> None:
    agent = Agent(here, 1)
    await agent.register()
    older = asyncio.create_task(agent.poll(wait=60))
    await asyncio.sleep(0.05)
    newer = asyncio.create_task(agent.poll())
    assert (await asyncio.wait_for(older, 20)).tasks == ()
    errand = Errand(here, tmp_path)
    await agent.end((await newer).tasks[0])
    await errand.ended()


async def test_a_rack_that_was_restarted_ends_the_old_attempt_and_hands_out_the_new(tmp_path: Path) -> None:
    async with world(tmp_path) as first:
        agent, errand = Agent(first, 1, request="q1"), Errand(first, tmp_path)
        await agent.register()
        task = await agent.task()
        errand.work.cancel()
    async with world(tmp_path) as second:
        agent.world = second
        assert (await agent.poll(wait=0)).cancel == ((5, 1),)
        assert not await agent.end(task)
        # It knows without a new registration in which system the agent runs.
        again = Errand(second, tmp_path, attempt=2, systems=("discovery",), request="q1")
        newer = await agent.task()
        assert newer.attempt == 2
        await agent.end(newer)
        assert (await again.ended()).outcome == "ok"


async def test_no_agent_gets_the_tasks_of_another_machine(here: World, tmp_path: Path) -> None:
    errand, other = Errand(here, tmp_path), Agent(here, 2)
    await other.register()
    assert (await other.poll(wait=0.1)).tasks == ()
    assert not await other.end(AgentTask(id=5, attempt=1, action="inventory"))
    errand.work.cancel()
