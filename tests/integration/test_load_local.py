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


async def run(work: Work, processes: int) -> tuple[LocalLoad, list[Second]]:
    seconds: list[Second] = []
    load = LocalLoad(work, processes, Ears(seconds.append, lambda number, at: None, lambda reason: None))
    async with asyncio.timeout(60):
        await load.run()
    return load, seconds


async def test_a_process_whose_scenario_blocks_for_ever_is_ended_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SILENCE", 2.0)
    (tmp_path / "hangs.py").write_text(CODE)
    work = Work(scenario=f"{tmp_path}/hangs.py:Hangs", schedule=Closed(times=40, concurrency=2))
    load, _ = await run(work, 2)
    assert [each.lost_at is not None for each in load.health] == [False, True]
    assert load.health[0].iterations == 20
    assert "process 1 said nothing for 2 s: its scenario blocks" in load.notes


async def test_a_scenario_that_cannot_be_loaded_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(LoadFailed, match="nothing_of_this_name"):
        await run(Work(scenario=f"{tmp_path}/wrong.py:Any", schedule=Closed()), 1)
