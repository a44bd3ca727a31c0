"""Load from many hosts: a controller here, agents in processes of their own, ZeroMQ and CURVE between them."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.core.errors import NotAllowed
from rackwright.core.load.result import WHOLE
from rackwright.core.load.schedule import Closed
from rackwright.core.load.sla.proof import Bounds
from rackwright.core.load.triggers import Watch
from rackwright.load.chunks import read as read_chunks
from rackwright.load.distributed import fleet_load
from rackwright.load.distributed.agent import Agent
from rackwright.load.distributed.fleet import Fleet
from rackwright.load.distributed.keys import AgentKeys, pair
from rackwright.load.generators import LoadFailed
from rackwright.load.run_folder import RunFolder
from tests.integration.load_ground import CODE, Ground, carry_out, opened, steady


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with opened(tmp_path) as here:
        yield here


async def test_two_agents_do_together_what_was_asked_and_their_rows_come_on_request(ground: Ground) -> None:
    await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2, wait=60)
    load, heard = ground.load(Closed(times=101, concurrency=6), folder=str(ground.folder / "run" / "000"))
    await carry_out(load)
    assert heard.whole.total == 101
    assert heard.count(lambda second: second.started) == 101
    assert sorted(each.name for each in load.health) == ["a", "b"]
    assert sum(each.iterations for each in load.health) == 101
    assert (load.notes, load.faults) == ([], [])
    assert await ground.fleet.pull_rows() == {}
    rows = [
        number
        for name in "ab"
        for columns in read_chunks(ground.folder / "run" / "000" / name / "process-0")
        for number in columns.number
    ]
    assert sorted(rows) == list(range(1, 102))


async def test_an_open_load_keeps_its_rate_over_agents_and_a_second_load_follows(ground: Ground) -> None:
    await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    for _ in range(2):
        load, heard = ground.load(steady(100, 2))
        await carry_out(load)
        assert heard.whole.total == 200
        assert heard.count(lambda second: second.intended) == 200
        assert [second.intended for second in heard.seconds[:2]] == [100, 100]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_the_share_of_an_agent_that_ends_is_carried_on_by_the_others(ground: Ground, end: signal.Signals) -> None:
    killed = await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    load, heard = ground.load(steady(100, 9))
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    killed.send_signal(end)
    await running
    assert heard.count(lambda second: second.intended) == 900
    missed = heard.count(lambda second: second.missed)
    assert 0 < missed < 450
    assert 0 <= 900 - missed - heard.whole.total <= 10, "but for those that were under way"
    lost, whole = sorted(load.health, key=lambda each: each.name)
    assert lost.lost_at is not None
    assert lost.covered < 1.0 == whole.covered
    assert load.faults == []
    assert any("fell to agents that were lost" in note for note in load.notes)


async def test_a_killed_agent_s_iterations_of_a_closed_load_are_done_by_the_others(ground: Ground) -> None:
    killed = await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    load, heard = ground.load(Closed(times=240, concurrency=4), args={"seconds": 0.05})
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    killed.kill()
    await running
    assert heard.whole.total == 240
    assert load.faults == []


async def test_a_load_that_may_lose_nobody_fails_when_an_agent_is_lost(tmp_path: Path, ground: Ground) -> None:
    ground.fleet.on_loss = "fail"
    killed = await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    load, heard = ground.load(steady(50, 60))
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    killed.kill()
    await running
    assert "a was lost" in load.faults[0]


async def test_an_agent_that_hangs_is_given_up_and_may_come_back(ground: Ground) -> None:
    hanging = await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    load, heard = ground.load(steady(50, 20), folder=str(ground.folder / "run" / "000"))
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    hanging.send_signal(signal.SIGSTOP)
    await running
    assert heard.count(lambda second: second.intended) == 1000
    assert any("a was given up" in note and "said nothing" in note for note in load.notes)
    (chunk,) = read_chunks(ground.folder / "a" / "rows" / "run-run" / "000" / "a" / "process-0")
    assert max(chunk.started) < 18, "its load processes end on their own"
    hanging.send_signal(signal.SIGCONT)
    await ground.fleet.gather(2, wait=60)


async def test_the_last_agent_s_loss_ends_the_load(ground: Ground) -> None:
    killed = await ground.start("a")
    await ground.fleet.gather(1)
    load, heard = ground.load(steady(50, 600))
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    killed.kill()
    await running
    assert load.faults == ["no agent was left to take the share of the one that was lost"]


async def test_an_agent_with_a_wrong_key_is_refused_and_both_sides_say_so(ground: Ground) -> None:
    _, other = pair()
    stranger = await ground.start(
        "stranger",
        keys=AgentKeys(public=other.public, secret=other.secret, controller=ground.agent_keys.controller, token=""),
    )
    _, said = await stranger.communicate()
    assert stranger.returncode == 5
    assert b"the controller does not know this agent's key" in said
    assert any("was refused: its key" in words for words in ground.said)


async def test_an_agent_with_a_wrong_token_is_refused_and_both_sides_say_so(ground: Ground) -> None:
    keys = ground.agent_keys
    wrong = AgentKeys(public=keys.public, secret=keys.secret, controller=keys.controller, token="wrong")
    stranger = await ground.start("stranger", keys=wrong)
    _, said = await stranger.communicate()
    assert stranger.returncode == 5
    assert b"another token" in said
    assert any("stranger has another token" in words for words in ground.said)


async def test_an_agent_of_another_controller_is_refused_and_both_sides_say_so(ground: Ground) -> None:
    _, other = pair()
    stranger = await ground.start("stranger", keys=other)
    _, said = await stranger.communicate()
    assert stranger.returncode == 5
    assert b"not the controller whose key this agent has" in said
    assert ground.said != []


async def test_agents_that_do_not_come_are_named(ground: Ground) -> None:
    await ground.start("a")
    with pytest.raises(LoadFailed, match="came: a"):
        await ground.fleet.gather(2, wait=8)


async def test_an_agent_whose_clock_is_an_hour_off_does_its_share_and_it_is_told(ground: Ground) -> None:
    await ground.start("b")
    agent = Agent(
        ground.agent_keys,
        ground.fleet.address,
        folder=ground.folder / "a",
        processes=1,
        name="a",
        say=ground.said.append,
        wall=lambda: time.time() + 3600,
    )
    serving = asyncio.create_task(agent.serve())
    await ground.fleet.gather(2)
    load, heard = ground.load(steady(50, 2))
    await carry_out(load)
    assert heard.whole.total == 100
    assert heard.count(lambda second: second.missed) == 0
    assert any(note.startswith("the clock of a is +3600") for note in load.notes)
    agent.stop()
    await serving


async def test_an_agent_that_lies_about_its_clock_is_given_up(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_load, "LAG", 5.0)
    await ground.start("b")
    agent = Agent(
        ground.agent_keys,
        ground.fleet.address,
        folder=ground.folder / "a",
        processes=1,
        name="a",
        say=ground.said.append,
        monotonic=lambda: time.monotonic() + 3600,
    )
    serving = asyncio.create_task(agent.serve())
    await ground.fleet.gather(2)
    load, heard = ground.load(steady(50, 12))
    await carry_out(load)
    assert heard.count(lambda second: second.intended) == 600
    assert any("a was given up" in note and "clock" in note for note in load.notes)
    with pytest.raises(NotAllowed, match="clock"):
        await serving


async def test_an_agent_that_comes_late_takes_its_share_from_then_on(ground: Ground) -> None:
    await ground.start("a")
    await ground.fleet.gather(1)
    load, heard = ground.load(steady(100, 12))
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    await ground.start("b")
    await running
    assert heard.count(lambda second: second.intended) == 1200
    assert heard.whole.total == 1200
    first, late = load.health
    assert (first.name, late.name) == ("a", "b")
    assert 0 < late.iterations < first.iterations
    assert any("b came late" in note for note in load.notes)


async def test_a_stop_ends_all_agents_and_a_cancel_ends_what_runs(ground: Ground) -> None:
    await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    load, heard = ground.load(steady(100, 600), args={"seconds": 300})
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    load.stop("enough")
    load.stop("enough", cancel=True)
    async with asyncio.timeout(60):
        await running
    assert heard.count(lambda second: second.started) < 6_000


async def test_what_one_agent_can_prove_stops_all_at_once(ground: Ground) -> None:
    await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    load, heard = ground.load(steady(100, 60), args={"slow": 150}, bounds=Bounds(seconds=0.9))
    heard.on_proof = load.stop
    await carry_out(load)
    assert "0.9 s are allowed" in heard.proofs[0]
    assert heard.count(lambda second: second.started) < 3000


async def test_a_scenario_that_an_agent_cannot_load_is_told_with_the_agent_s_name(ground: Ground) -> None:
    ground.scenario.write_text("import nothing_of_this_name\n")
    await ground.start("a")
    await ground.fleet.gather(1)
    load, _ = ground.load(steady(1, 1))
    with pytest.raises(LoadFailed, match=r"a: .*nothing_of_this_name"):
        await carry_out(load)


async def test_an_agent_serves_one_controller_after_the_other(tmp_path: Path) -> None:
    keys, agent_keys = pair()
    address = f"tcp://127.0.0.1:{free_port(following=2)}"
    said: list[str] = []
    agent = Agent(agent_keys, address, folder=tmp_path / "a", processes=1, name="a", say=said.append)
    serving = asyncio.create_task(agent.serve())
    for _ in range(2):
        async with Fleet(keys, bind=address, folder=tmp_path / "run") as fleet:
            await fleet.gather(1, wait=60)
    agent.stop()
    async with asyncio.timeout(60):
        await serving
    assert said.count(f"takes part as a, at {address}") == 2


async def test_watched_iterations_are_told_to_the_controller(ground: Ground) -> None:
    await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    load, heard = ground.load(Closed(times=20, concurrency=2), watch=Watch(frozenset({1, 12})))
    await carry_out(load)
    assert sorted(heard.started) == [1, 12]


async def test_the_command_runs_a_task_on_two_agents_with_hooks_and_contexts_here_alone(tmp_path: Path) -> None:
    async def rackwright(*words: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rackwright", *words, cwd=tmp_path, stdout=PIPE, stderr=PIPE
        )

    (tmp_path / "own.py").write_text(CODE)
    subtask = {
        "title": "Own",
        "scenario": {"own.py:Own": {}},
        "runner": {"constant": {"times": 50, "concurrency": 4}},
        "contexts": {"dummy_context": {}},
        "hooks": [{"action": {"sys_call": "echo once"}, "trigger": {"event": {"unit": "iteration", "at": [20]}}}],
    }
    (tmp_path / "task.json").write_bytes(msgspec.json.encode({"version": 2, "title": "T", "subtasks": [subtask]}))
    await (await rackwright("load", "keys", "keys")).communicate()
    address = f"tcp://127.0.0.1:{free_port(following=2)}"
    started = [
        await rackwright(
            "load-agent", "--controller", address, "--keys", "keys/agent.key", "--name", name, "--data", name, "--once"
        )
        for name in ("a", "b")
    ]
    run = await rackwright(
        "load", "run", "task.json", "--hosts", "a,b", "--bind", address, "--keys", "keys/controller.key", "--to", "run"
    )
    async with asyncio.timeout(120):
        _, said = await run.communicate()
        for agent in started:
            await agent.communicate()
    assert [process.returncode for process in (run, *started)] == [0, 0, 0], said.decode()
    (workload,) = RunFolder(tmp_path / "run").read().workloads
    assert workload.whole[WHOLE].total == 50
    assert sorted(each.name for each in workload.health) == ["a", "b"]
    assert [(firing.value, firing.output) for firing in workload.firings] == [(20.0, "once\n")]
