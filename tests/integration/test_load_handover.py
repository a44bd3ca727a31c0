"""Shares of a load that goes on, dealt anew among agents: caps hold, and no start is made twice or by nobody."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.core.load.schedule import Closed, Open, Stage
from rackwright.load.distributed import keys
from rackwright.load.generators import LoadFailed
from rackwright.load.run_folder import RunFolder
from tests.integration.load_ground import CODE, Ground, Target, carry_out, opened, target


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with opened(tmp_path) as here:
        yield here


@pytest.fixture
async def visited() -> AsyncIterator[Target]:
    async with target() as made:
        yield made


async def until(condition: object) -> None:
    """Wait until something that can be called is true."""
    assert callable(condition)
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_cap_on_iterations_in_flight_is_one_of_all_processes_of_all_agents(
    ground: Ground, visited: Target
) -> None:
    for name in "ab":
        await ground.start(name, processes=2)
    await ground.fleet.gather(2)
    schedule = Open(stages=(Stage(3.0, 60.0),), max_in_flight=3, max_lag=60.0)
    load, heard = ground.load(schedule, "Visit", args={"port": visited.port, "seconds": 0.3})
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    await asyncio.sleep(2)
    load.stop("enough")
    await running
    assert visited.most == 3


async def test_an_agent_that_comes_late_takes_slots_of_a_closed_load_and_no_iteration_is_made_twice(
    ground: Ground, visited: Target
) -> None:
    await ground.start("a")
    await ground.fleet.gather(1)
    load, heard = ground.load(Closed(times=400, concurrency=6), "Visit", args={"port": visited.port, "seconds": 0.2})
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    await ground.start("b")
    await running
    assert sorted(visited.numbers) == list(range(1, 401))
    assert heard.whole.total == 400
    assert load.faults == []
    late = next(each for each in load.health if each.name == "b")
    assert late.iterations > 20
    assert any("b came late: it takes part from iteration" in note for note in load.notes)


async def test_agents_of_a_closed_load_come_and_go_and_nothing_is_left_undone(ground: Ground, visited: Target) -> None:
    first = await ground.start("a", processes=2)
    await ground.fleet.gather(1)
    load, heard = ground.load(Closed(times=500, concurrency=6), "Visit", args={"port": visited.port, "seconds": 0.2})
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    await ground.start("b")
    await until(lambda: any("b came late" in note for note in load.notes))
    first.kill()
    await running
    assert load.faults == []
    assert heard.whole.total == 500
    assert set(visited.numbers) == set(range(1, 501))
    again = len(visited.numbers) - 500
    assert again < 60, "only what was not told of is done again"


async def test_a_deal_that_is_heard_late_makes_no_start_twice(ground: Ground, visited: Target) -> None:
    """An agent stands still again and again while a third one comes, for less time than makes it lost."""
    await ground.start("a")
    slow = await ground.start("b")
    await ground.fleet.gather(2)
    schedule = Open(stages=(Stage(12.0, 50.0),), max_lag=60.0)
    load, heard = ground.load(schedule, "Visit", args={"port": visited.port, "seconds": 0.01})
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    await ground.start("c")
    while not running.done() and not any("c came late" in note for note in load.notes):
        slow.send_signal(signal.SIGSTOP)
        await asyncio.sleep(1.0)
        slow.send_signal(signal.SIGCONT)
        await asyncio.sleep(1.0)
    await running
    assert sorted(visited.numbers) == list(range(1, 601))
    assert heard.whole.total == heard.count(lambda second: second.intended) == 600
    assert any("c came late" in note for note in load.notes)


async def test_load_processes_of_an_agent_that_hangs_make_no_start_that_another_has(
    ground: Ground, visited: Target
) -> None:
    hanging = await ground.start("a")
    await ground.start("b")
    await ground.fleet.gather(2)
    schedule = Open(stages=(Stage(12.0, 50.0),), max_lag=60.0)
    load, heard = ground.load(schedule, "Visit", args={"port": visited.port, "seconds": 0.01})
    running = asyncio.create_task(carry_out(load))
    await heard.first.wait()
    hanging.send_signal(signal.SIGSTOP)
    await running
    assert len(visited.numbers) == len(set(visited.numbers)), "each start is made once"
    assert heard.count(lambda second: second.intended) == 600
    missed = heard.count(lambda second: second.missed)
    assert heard.whole.total + missed == 600
    assert len(visited.numbers) >= heard.whole.total


async def test_only_the_agents_that_are_named_take_part(tmp_path: Path) -> None:
    async with opened(tmp_path, names=["a"]) as ground:
        await ground.start("stranger")
        with pytest.raises(LoadFailed, match=r"the agents a were awaited for 6 s; came: (stranger|none)"):
            await ground.fleet.gather(wait=6)
        await ground.start("a")
        await ground.fleet.gather()
        await until(lambda: any("stranger is here" in words for words in ground.said))
        load, heard = ground.load(Closed(times=20, concurrency=4))
        await carry_out(load)
        assert heard.whole.total == 20
        assert [each.name for each in load.health] == ["a"]


async def test_an_agent_that_is_killed_and_started_again_takes_its_own_place(tmp_path: Path) -> None:
    # Whoever comes back within the silence has not been lost before, however long a process takes to start here.
    async with opened(tmp_path, names=["a"], silence=10.0) as ground:
        killed = await ground.start("a")
        await ground.fleet.gather()
        load, heard = ground.load(Open(stages=(Stage(15.0, 20.0),), max_lag=60.0))
        running = asyncio.create_task(carry_out(load))
        await heard.first.wait()
        killed.kill()
        await ground.start("a")
        await running
        assert load.faults == []
        assert heard.count(lambda second: second.intended) == 300
        assert [each.name for each in load.health] == ["a", "a-2"]
        assert load.health[1].iterations > 50


async def test_what_an_agent_has_no_room_for_is_told_with_its_name_the_place_and_what_to_do(ground: Ground) -> None:
    (ground.folder / "a").mkdir()
    (ground.folder / "a" / "scenarios").touch()
    await ground.start("a")
    await ground.fleet.gather(1)
    load, _ = ground.load(Closed(times=2))
    with pytest.raises(LoadFailed) as failure:
        await carry_out(load)
    assert failure.value.where == f"a: {ground.folder / 'a' / 'scenarios'}"
    assert "Error" in failure.value.what
    assert "look at that host" in failure.value.mend


async def test_rows_that_do_not_come_are_told_by_the_agent_and_the_others_come(ground: Ground) -> None:
    for name in "ab":
        await ground.start(name)
    await ground.fleet.gather(2)
    load, _ = ground.load(Closed(times=20, concurrency=2), folder=str(ground.folder / "run" / "000"))
    await carry_out(load)
    (chunk,) = (ground.folder / "a" / "rows").rglob("*.zst")
    os.truncate(chunk, 0)
    faults = await ground.fleet.pull_rows()
    assert list(faults) == ["a"]
    assert "a chunk is not there any more" in faults["a"]
    assert len(list((ground.folder / "run" / "000" / "b").rglob("*.zst"))) == 1


async def test_a_load_whose_agents_all_hang_in_its_iterations_ends_with_the_reason(ground: Ground) -> None:
    await ground.start("a")
    await ground.fleet.gather(1)
    load, heard = ground.load(Closed(times=20, concurrency=2, timeout=0.5), args={"seconds": math.inf})
    await carry_out(load)
    assert heard.whole.errors == heard.whole.total == 20
    assert load.samples[0].message == "not done after 0.5 s"


@asynccontextmanager
async def commanded(
    folder: Path, port: int, *options: str, agents: str = "a", **more: Any
) -> AsyncIterator[tuple[Process, list[Process]]]:
    """A load of 20 visits a second for 14 seconds by the command, with these agents; gives the command, and them."""
    (folder / "own.py").write_text(CODE)
    subtask = {
        "title": "Visits",
        "scenario": {"own.py:Visit": {"port": port, "seconds": 0.01}},
        "runner": {"arrival": {"rate": 20, "duration": 14}},
        **more,
    }
    (folder / "task.json").write_bytes(msgspec.json.encode({"version": 2, "title": "T", "subtasks": [subtask]}))
    keys.make(folder / "keys")
    place = f"tcp://127.0.0.1:{free_port(following=2)}"

    async def start(*words: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rackwright", *words, cwd=folder, stdout=DEVNULL, stderr=DEVNULL
        )

    started = [
        await start(
            "load-agent", "--controller", place, "--keys", "keys/agent.key", "--name", name, "--data", name,
            "--processes", "1",
        )
        for name in agents
    ]  # fmt: skip
    controller = await start(
        "load", "run", "task.json", "--hosts", ",".join(agents), "--bind", place, "--keys", "keys/controller.key",
        "--to", "run", *options,
    )  # fmt: skip
    try:
        yield controller, started
    finally:
        for process in (controller, *started):
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            async with asyncio.timeout(60):
                await process.wait()


async def test_a_controller_that_stands_still_stops_its_load_and_goes_on_with_it_later(
    tmp_path: Path, visited: Target
) -> None:
    async with commanded(tmp_path, visited.port) as (controller, _):
        await until(lambda: len(visited.numbers) > 20)
        controller.send_signal(signal.SIGSTOP)
        await asyncio.sleep(6)
        before = len(visited.numbers)
        await asyncio.sleep(1.5)
        assert len(visited.numbers) == before, "nothing is started when others may have the share"
        controller.send_signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            assert await controller.wait() == 0
    assert sorted(visited.numbers) == list(range(1, 281))
    (workload,) = RunFolder(tmp_path / "run").read().workloads
    assert sum(second.missed for second in workload.seconds) > 20
    assert any("generator-limited" in note for note in workload.notes)


async def test_the_load_of_a_controller_that_is_killed_ends(tmp_path: Path, visited: Target) -> None:
    async with commanded(tmp_path, visited.port) as (controller, _):
        await until(lambda: len(visited.numbers) > 20)
        controller.kill()
        await asyncio.sleep(6)
        before = len(visited.numbers)
        await asyncio.sleep(1.5)
        assert len(visited.numbers) == before < 280


async def test_rows_that_cannot_be_brought_are_a_note_and_the_verdict_stays(tmp_path: Path, visited: Target) -> None:
    runner = {"constant": {"times": 400, "concurrency": 4}}
    more = {"runner": runner, "scenario": {"own.py:Visit": {"port": visited.port, "seconds": 0.1}}}
    async with commanded(tmp_path, visited.port, "--pull-rows", agents="ab", **more) as (controller, agents):
        await until(lambda: len(visited.numbers) > 20)
        agents[1].kill()
        async with asyncio.timeout(60):
            assert await controller.wait() == 0
    run = RunFolder(tmp_path / "run").read()
    assert run.success
    (workload,) = run.workloads
    (note,) = [note for note in workload.notes if note.startswith("raw rows")]
    assert note.startswith("raw rows of b did not come: it has said nothing for")
    assert any((tmp_path / "run" / "000" / "a").rglob("*.zst"))
