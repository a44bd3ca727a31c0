"""Load processes of this host, as the one who started them sees them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rackwright.core.load.result import Second
from rackwright.core.load.schedule import Closed
from rackwright.load import local
from rackwright.load.generators import Ears, LoadFailed
from rackwright.load.local import LocalLoad
from rackwright.load.words import Work

CODE = """
import time

from rackwright.load.scenario import Scenario


class Hangs(Scenario):
    async def run(self) -> None:
        if self.iteration == 2:
            time.sleep(600)
        await self.sleep(0.01)
"""


RUBBISH = """
import os

from rackwright.load.scenario import Scenario


class Babbles(Scenario):
    async def run(self) -> None:
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and "pipe:" in os.readlink(f"/proc/self/fd/{name}"):
                os.write(int(name), bytes([0, 0, 0, 1, 0xC1]))
        await self.sleep(600)
"""


GREEDY = """
from rackwright.load.scenario import Scenario

kept = []


class Greedy(Scenario):
    async def run(self) -> None:
        if self.iteration % 2:
            kept.append(bytearray(10 << 20))
        await self.sleep(0.05)
"""


async def run(work: Work, processes: int) -> tuple[LocalLoad, list[Second]]:
    seconds: list[Second] = []
    load = LocalLoad(work, processes, Ears(seconds.append, lambda number, at: None, lambda reason: None))
    async with asyncio.timeout(60):
        await load.run()
    return load, seconds


async def test_a_process_whose_scenario_blocks_for_ever_is_ended_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SILENCE", 6.0)
    (tmp_path / "hangs.py").write_text(CODE)
    work = Work(scenario=f"{tmp_path}/hangs.py:Hangs", schedule=Closed(times=40, concurrency=2))
    load, _ = await run(work, 2)
    assert [each.lost_at is not None for each in load.health] == [False, True]
    assert load.health[0].iterations == 20
    assert "process 1 said nothing for 6 s: its scenario blocks" in load.notes


async def test_a_scenario_that_cannot_be_loaded_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(LoadFailed, match="nothing_of_this_name"):
        await run(Work(scenario=f"{tmp_path}/wrong.py:Any", schedule=Closed()), 1)


async def test_a_process_whose_words_make_no_sense_ends_the_load_with_its_name_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "babbles.py").write_text(RUBBISH)
    work = Work(scenario=f"{tmp_path}/babbles.py:Babbles", schedule=Closed(times=1))
    with pytest.raises(LoadFailed, match="makes no sense") as failure:
        await run(work, 1)
    assert failure.value.where == "process 0"
    assert "scenario" in failure.value.mend


async def test_a_process_that_is_killed_before_it_is_ready_is_told_with_its_signal(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(LoadFailed, match="before it was ready, with SIGKILL"):
        await run(Work(scenario=f"{tmp_path}/dies.py:Any", schedule=Closed()), 1)


async def test_a_process_that_takes_too_much_memory_ends_the_others_too(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(GREEDY)
    work = Work(
        scenario=f"{tmp_path}/own.py:Greedy", schedule=Closed(duration=600, concurrency=2), most_memory=200 << 20
    )
    with pytest.raises(LoadFailed, match="its scenario keeps too much"):
        await run(work, 2)
