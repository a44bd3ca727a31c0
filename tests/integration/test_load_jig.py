"""The jig that proves what a service bears."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.core.errors import Permanent
from rackwright.core.jig import Jig
from rackwright.core.load.lines import Passed, lines
from rackwright.drivers.jig.load import KEPT, PAGE, LoadJig
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
        with pytest.raises(Permanent, match=r"failure_rate: 100 %.* it broke in second \d+ and did not recover") as caught:
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
