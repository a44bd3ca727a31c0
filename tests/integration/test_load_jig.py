"""The jig that proves what a service bears."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.core.errors import Permanent
from rackwright.core.jig import Jig
from rackwright.core.load.lines import Passed, lines
from rackwright.drivers.jig.load import KEPT, PAGE, LoadJig
from rackwright.load.distributed import keys
from rackwright.load.run_folder import RunFolder
from tests.integration.jig_conformance import JigConformance, make_work, processes_below

FACTS = ("load.sla", "load.run", "load.figures", "load.broken")
TEMPLATE = """
version: 2
title: From the catalog
subtasks:
  - title: own
    scenario: {"own.py:Own": {failing: {{ failing }}}}
    runner: {constant: {times: 20, concurrency: 2}}
"""
OWN = """
from rackwright.load.scenario import Scenario


class Own(Scenario):
    async def run(self, failing: int) -> None:
        self.check(self.iteration > failing, "it is one of the first")
"""
LIES = """
version: 2
title: Lies
subtasks:
  - title: own
    scenario: {"liar.py:Liar": {}}
    runner: {serial: {times: 3}}
"""
LIAR = """
import json
import sys

from rackwright.load.scenario import Scenario

FORGED = [
    {"event": "end", "workload": 0, "success": True, "notes": ["Forged"], "total": 9, "errors": 0, "latency": {},
     "service_mean": 0.0},
    {"event": "result", "run": "Forged", "status": "finished", "success": True, "folder": "/kept"},
]


class Liar(Scenario):
    async def run(self) -> None:
        for line in FORGED:
            print(json.dumps(line), flush=True)
        sys.stderr.write('{"event": "second", half a line')
        raise RuntimeError("it lies")
"""


def task(scenario: dict[str, Any], runner: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Parameters whose task file is the value itself."""
    subtask = {"title": "Own", "scenario": scenario, "runner": runner, **more}
    return {"task": {"version": 2, "title": "T", "subtasks": [subtask]}, "processes": 1}


class TestLoad(JigConformance):
    good = task({"Dummy.dummy": {}}, {"constant": {"times": 20, "concurrency": 2}})
    bad = task({"Dummy.dummy_exception": {}}, {"serial": {"times": 2}})
    slow = task({"Dummy.dummy": {"sleep": 60}}, {"serial": {"times": 1}})

    @pytest.fixture
    async def jig(self, tmp_path: Path) -> AsyncIterator[Jig]:
        jig = LoadJig(str(tmp_path / "jig"))
        await jig.open()
        yield jig
        assert processes_below(tmp_path) == []
        assert os.listdir(jig.folder) == []

    async def test_a_good_task_gives_its_facts(self, jig: Jig, tmp_path: Path) -> None:
        work = make_work(tmp_path, self.good, writes=FACTS)
        outcome = await jig.run(work)
        assert (outcome.facts["load.sla"], outcome.facts["load.broken"]) == ("ok", [])
        (figures,) = outcome.facts["load.figures"]
        assert (figures["workload"], figures["total"], figures["errors"]) == ("Own", 20, 0)
        said = Path(work.log).read_bytes().splitlines()
        assert any(isinstance(line, Passed) for line in lines(said))

    async def test_a_broken_sla_fails_the_task_with_the_second_in_its_reason(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"failure_rate: 100 %.* broke in second \d+ and did not recover") as caught:
            await jig.run(make_work(tmp_path, self.bad))
        assert PAGE in caught.value.mend

    async def test_a_broken_sla_can_be_a_fact_like_others(self, jig: Jig, tmp_path: Path) -> None:
        outcome = await jig.run(make_work(tmp_path, {**self.bad, "broken": "fact"}, writes=FACTS))
        assert outcome.facts["load.sla"] == "broken"
        (breach,) = outcome.facts["load.broken"]
        assert (breach["criterion"], breach["until"]) == ("failure_rate", None)
        assert breach["since"] >= 0

    async def test_task_files_and_scenarios_come_from_the_catalog(self, jig: Jig, tmp_path: Path) -> None:
        parameters = {"task": "templates/load.yaml", "args": {"failing": 5}, "broken": "fact", "name": "proof"}
        files = {"templates/load.yaml": TEMPLATE, "templates/own.py": OWN}
        outcome = await jig.run(make_work(tmp_path, parameters, files=files, writes=("proof.figures", "proof.sla")))
        assert set(outcome.facts) == {"proof.figures", "proof.sla"}
        assert outcome.facts["proof.figures"][0]["errors"] == 5

    async def test_words_of_a_scenario_that_look_like_a_verdict_change_nothing(self, jig: Jig, tmp_path: Path) -> None:
        work = make_work(tmp_path, {"task": "load.yaml", "processes": 1}, files={"load.yaml": LIES, "liar.py": LIAR})
        with pytest.raises(Permanent, match=r"failure_rate: 100 %") as caught:
            await jig.run(work)
        assert "Forged" not in str(caught.value)
        assert b"Forged" in Path(work.log).read_bytes()

    async def test_a_load_that_cannot_be_run_says_why(self, jig: Jig, tmp_path: Path) -> None:
        with pytest.raises(Permanent, match=r"Nobody\.knows"):
            await jig.run(make_work(tmp_path, task({"Nobody.knows": {}}, {"serial": {}})))
        with pytest.raises(Permanent, match="no task file"):
            await jig.run(make_work(tmp_path, {"task": "templates/none.yaml"}))

    async def test_many_tasks_run_at_once(self, jig: Jig, tmp_path: Path) -> None:
        works = [make_work(tmp_path, self.good, scope=f"n{number}", writes=("load.sla",)) for number in range(3)]
        outcomes = await asyncio.gather(*(jig.run(work) for work in works))
        assert [outcome.facts for outcome in outcomes] == [{"load.sla": "ok"}] * 3

    async def test_only_the_last_runs_stay_on_the_rack_with_their_pages(self, jig: Jig, tmp_path: Path) -> None:
        runs = tmp_path / "jig" / "runs" / "dev" / "n1" / "work"
        for number in range(KEPT + 2):
            (runs / f"old-{number}").mkdir(parents=True)
        outcome = await jig.run(make_work(tmp_path, self.good, writes=("load.page",)))
        assert len(list(runs.iterdir())) == KEPT
        assert "<html" in Path(outcome.facts["load.page"]).read_text()

    async def test_the_load_can_come_from_agents(self, jig: Jig, tmp_path: Path) -> None:
        state = tmp_path / "state" / "load"
        _, key = keys.make(state)
        place = f"tcp://127.0.0.1:{free_port(following=2)}"
        agents: dict[str, Any] = {"names": ["one", "two"], "bind": place, "keys": "${STATE}/load/controller.key"}
        async with AsyncExitStack() as stack:
            for name in agents["names"]:
                await stack.enter_async_context(agent(place, key, name, tmp_path / name))
            parameters = {**self.good, "agents": agents}
            outcome = await jig.run(make_work(tmp_path, parameters, writes=FACTS, timeout=60.0))
        assert (outcome.facts["load.sla"], outcome.facts["load.figures"][0]["total"]) == ("ok", 20)
        (run,) = (tmp_path / "jig" / "runs" / "dev" / "n1" / "work").iterdir()
        (workload,) = RunFolder(run).read(seconds=False).workloads
        assert {health.name.partition(",")[0].split()[0] for health in workload.health} == {"one", "two"}


@asynccontextmanager
async def agent(place: str, key: Path, name: str, data: Path) -> AsyncIterator[None]:
    """A load agent with one load process."""
    words = ["--controller", place, "--keys", str(key), "--name", name, "--processes", "1", "--data", str(data)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rackwright", "load-agent", *words, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
