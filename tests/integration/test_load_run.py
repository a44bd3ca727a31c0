"""Whole runs from the command line, with load processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rackwright.load.run_folder import RunFolder

CODE = '''
from rackwright.load.scenario import BlockingScenario, Scenario


class Own(Scenario):
    """Does what its user wants."""

    async def run(self, seconds: float = 0.0, fails_from: int = 0) -> None:
        print("to nobody")
        with self.atomic("step"):
            await self.sleep(seconds)
        self.check(not fails_from or self.iteration < fails_from, "it broke")


class Plain(BlockingScenario):
    def run(self) -> None:
        self.wait(0.01)


class Dies(Scenario):
    async def run(self) -> None:
        import os

        os._exit(1)
'''


class Ground:
    """A folder with a scenario, task files and runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "own.py").write_text(CODE)
        self.environment = {**os.environ, "RACKWRIGHT_DATA": str(folder / "data")}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "rackwright", "load", *arguments]

    def task(self, scenario: object, runner: object, **more: object) -> str:
        subtask = {"title": "Own", "scenario": scenario, "runner": runner, **more}
        file = self.folder / "task.json"
        file.write_text(json.dumps({"version": 2, "title": "T", "subtasks": [subtask]}))
        return str(file)

    def load(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


OWN = "own.py:Own"


def test_a_run_that_holds_its_sla_ends_with_0_and_can_be_read_again(ground: Ground) -> None:
    hook = {"action": {"sys_call": "echo fired"}, "trigger": {"event": {"unit": "iteration", "at": [30]}}}
    task = ground.task({OWN: {}}, {"constant": {"times": 60, "concurrency": 4}}, hooks=[hook])
    run = ground.load("run", task, "--processes", "2", "-o", "jsonl")
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    told = [line["event"] for line in lines if line["event"] not in {"second", "standing"}]
    assert told == ["begin", "judgement", "end", "result"]
    assert [line["generators"] for line in lines if line["event"] == "standing"][-1] == 2
    assert sum(line["actions"]["step"]["total"] for line in lines if "step" in line.get("actions", {})) == 60
    result = RunFolder(Path(lines[-1]["folder"])).read()
    (workload,) = result.workloads
    assert (result.success, workload.whole[""].total, workload.description) == (True, 60, "Does what its user wants.")
    assert [(firing.status, firing.value, firing.output) for firing in workload.firings] == [
        ("success", 30.0, "fired\n")
    ]
    assert sum(health.iterations for health in workload.health) == 60
    status = ground.load("status", "-o", "json")
    assert json.loads(status.stdout)["workloads"][0]["table"][0]["total"] == 60
    assert result.id in ground.load("results").stdout


@pytest.mark.parametrize(("option", "code"), [((), 7), (("--rally-exit-codes",), 2)])
def test_a_broken_sla_has_an_exit_code_of_its_own(ground: Ground, option: tuple[str, ...], code: int) -> None:
    task = ground.task({OWN: {"fails_from": 5}}, {"serial": {"times": 10}})
    run = ground.load("run", task, *option)
    assert run.returncode == code
    assert "BROKEN Own: failure_rate: 60 %" in run.stderr
    assert "6 times CheckFailed: it broke" in run.stderr


def test_a_run_ends_as_soon_as_its_sla_breaks_when_asked(ground: Ground) -> None:
    runner = {"constant_for_duration": {"duration": 600, "concurrency": 2}}
    run = ground.load("run", ground.task({OWN: {"seconds": 0.05, "fails_from": 3}}, runner), "--abort-on-sla-failure")
    assert run.returncode == 7
    assert "aborted_on_sla" in run.stderr


def test_a_run_can_be_aborted_from_elsewhere(ground: Ground) -> None:
    runner = {"constant_for_duration": {"duration": 600, "concurrency": 2}}
    running = ground.start("run", ground.task({OWN: {"seconds": 0.05}}, runner), "-o", "jsonl")
    assert running.stdout is not None
    while '"second"' not in running.stdout.readline():
        assert running.poll() is None
    assert "will start no more" in ground.load("abort").stderr
    assert running.wait(60) == 130
    assert '"status":"aborted"' in running.stdout.read()
    running.stdout.close()
    assert running.stderr is not None
    running.stderr.close()


def test_a_signal_ends_a_run_with_its_results_kept(ground: Ground) -> None:
    runner = {"constant_for_duration": {"duration": 600, "concurrency": 2}}
    running = ground.start("run", ground.task({OWN: {"seconds": 0.05}}, runner), "--to", str(ground.folder / "here"))
    folder = RunFolder(ground.folder / "here")
    while not list(folder.seconds(0)):
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert folder.read().workloads[0].whole[""].total > 0
    assert folder.read().status == "aborted"


def test_a_load_process_that_dies_is_told_and_the_run_ends(ground: Ground) -> None:
    run = ground.load("run", ground.task({"own.py:Dies": {}}, {"constant": {"times": 2, "concurrency": 2}}))
    assert run.returncode == 7
    assert "process 0 ended at second" in run.stderr


def test_plain_functions_are_scenarios_too(ground: Ground) -> None:
    run = ground.load("run", ground.task({"own.py:Plain": {}}, {"constant": {"times": 20, "concurrency": 5}}))
    assert run.returncode == 0, run.stderr


def test_find_knee_tells_the_highest_rate_that_held(ground: Ground) -> None:
    runner = {"find_knee": {"start": 10, "max": 40, "factor": 2, "duration": 1}}
    task = ground.task({OWN: {}}, runner, sla={"max_seconds_per_iteration": 30})
    run = ground.load("run", task, "--to", str(ground.folder / "knee"))
    assert run.returncode in (0, 7), run.stderr
    (workload,) = RunFolder(ground.folder / "knee").read().workloads
    assert workload.knee["tried"][0]["rate"] == 10
    assert workload.judgements[0].criterion == "find_knee"


def test_what_is_missing_is_told_before_anything_starts(ground: Ground) -> None:
    run = ground.load("run", ground.task({"Nova.boot": {}}, {"serial": {}}, contexts={"users": {}}))
    assert run.returncode == 1
    assert "no scenario is called Nova.boot" in run.stderr
    assert "no context is called users" in run.stderr
    assert not (ground.folder / "data" / "load").exists()


def test_what_a_run_keeps_goes_into_reports(ground: Ground) -> None:
    run = ground.load("run", ground.task({OWN: {}}, {"serial": {"times": 5}}), "--to", str(ground.folder / "kept"))
    assert run.returncode == 0, run.stderr
    page = ground.folder / "report.html"
    report = ground.load("report", str(ground.folder / "kept"), "--html", str(page))
    assert report.returncode == 0, report.stderr
    assert "own.py:Own" in page.read_text()


def test_agents_are_counted_or_named_not_both(ground: Ground) -> None:
    ended = ground.load("run", ground.task({OWN: {}}, {"serial": {}}), "--agents", "2", "--hosts", "a,b")
    assert ended.returncode == 2
    assert "--agents and --hosts exclude each other" in ended.stderr
