"""From the first bad result to the last new start, when a broken promise stops a load of two generators.

Ours runs two agents on this host, with CURVE, by ``rackwright load run --agents 2``. ``local``: no iteration may fail,
which one process proves alone. ``aggregated``: at most one iteration in a hundred may fail in any second, which only
the merged seconds of both tell. Both moments are read from the raw rows of the agents: the end of the first iteration
that failed, and the start of the last one of all. Iterations fail from a number on that is another one in each round,
so the first bad result may be anywhere in a second.

Locust runs with two workers and the checker of its documentation: every second the master looks at the ratio of
failures and quits. Without its program its part is null. ``times_quicker`` is Locust's median by ours.

    python benchmarks/load_stop.py --locust /path/to/locust --json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rackwright.commands.demo_ground import free_port
from rackwright.load.chunks import read

RATE = 200
SLA: dict[str, Any] = {
    "local": {"failure_rate": {"max": 0, "on_violation": "stop"}},
    "aggregated": {"failure_rate": {"max": 1, "window": 1, "on_violation": "stop"}},
}

SCENARIO = '''
from rackwright.load.scenario import Scenario


class Breaks(Scenario):
    """Goes well up to a number."""

    async def run(self, bad_from: int) -> None:
        await self.sleep(0.005)
        self.check(self.iteration < bad_from, "bad")
'''

LOCUSTFILE = """
import os
import time

import gevent
from locust import User, constant_throughput, events, task
from locust.runners import MasterRunner, STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING

BAD_FROM = float(os.environ["BAD_FROM"])
TIMES = open(f"times-{os.getpid()}", "w", buffering=1)


class Breaks(User):
    wait_time = constant_throughput(10)

    @task
    def once(self):
        begun = time.monotonic()
        gevent.sleep(0.005)
        ended = time.monotonic()
        bad = ended > BAD_FROM
        TIMES.write(f"{begun} {ended} {int(bad)}\\n")
        self.environment.events.request.fire(
            request_type="own", name="once", response_time=5, response_length=0,
            exception=ValueError("bad") if bad else None, context={},
        )


def check(environment):
    while environment.runner.state not in (STATE_STOPPING, STATE_STOPPED, STATE_CLEANUP):
        time.sleep(1)
        if environment.runner.stats.total.fail_ratio > 0.001:
            environment.runner.quit()
            return


@events.init.add_listener
def begin(environment, **_):
    if isinstance(environment.runner, MasterRunner):
        gevent.spawn(check, environment)
"""


class Ours:
    """Two agents that stay, and one run for each round."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._controller = f"tcp://127.0.0.1:{free_port(following=2)}"
        (folder / "breaks.py").write_text(SCENARIO)
        self._program = [sys.executable, "-m", "rackwright"]
        subprocess.run([*self._program, "load", "keys", "keys"], cwd=folder, check=True, capture_output=True)
        self._agents = [
            subprocess.Popen(
                [*self._program, "load-agent", "--controller", self._controller, "--keys", "keys/agent.key",
                 "--name", name, "--processes", "1", "--data", name],
                cwd=folder, stderr=subprocess.DEVNULL,
            )
            for name in ("a", "b")
        ]  # fmt: skip
        self._rounds = 0

    def close(self) -> None:
        """End the agents."""
        for agent in self._agents:
            agent.terminate()
        for agent in self._agents:
            agent.wait()

    def stop(self, kind: str, bad_from: int) -> float:
        """Seconds from the first bad result to the last new start."""
        self._rounds += 1
        subtask = {
            "title": "Breaks",
            "scenario": {"breaks.py:Breaks": {"bad_from": bad_from}},
            "runner": {"arrival": {"rate": RATE, "duration": 30}},
            "sla": SLA[kind],
        }
        (self._folder / "task.json").write_text(json.dumps({"version": 2, "title": "Stop", "subtasks": [subtask]}))
        into = self._folder / f"run-{self._rounds}"
        done = subprocess.run(
            [*self._program, "load", "run", "task.json", "--agents", "2", "--bind", self._controller,
             "--keys", "keys/controller.key", "--pull-rows", "--to", str(into), "-o", "json"],
            cwd=self._folder, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        if done.returncode != 7:
            raise RuntimeError(f"the run ended with {done.returncode}: {done.stderr[-800:]}")
        columns = [each for name in "ab" for each in read(into / "000" / name / "process-0")]
        bad = min(end for each in columns for end, fault in zip(each.ended, each.faults, strict=True) if fault)
        return max(start for each in columns for start in each.started) - bad


def locust(program: str, folder: Path) -> float:
    """The same of Locust with two workers."""
    (folder / "locustfile.py").write_text(LOCUSTFILE)
    for old in folder.glob("times-*"):
        old.unlink()
    bad_from = time.monotonic() + 8 + random.random()
    subprocess.run(
        [program, "-f", "locustfile.py", "--headless", "--processes", "2", "-u", "20", "-r", "20", "-t", "40s"],
        cwd=folder, capture_output=True, timeout=120, check=False, env={**os.environ, "BAD_FROM": str(bad_from)},
    )  # fmt: skip
    rows = [line.split() for file in folder.glob("times-*") for line in file.read_text().splitlines()]
    first = min(float(ended) for _, ended, bad in rows if bad == "1")
    return max(float(begun) for begun, _, _ in rows) - first


def summary(values: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {"p50_ms": round(statistics.median(values) * 1e3, 1), "max_ms": round(max(values) * 1e3, 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="a quick look: 2 rounds")
    parser.add_argument("--locust", default=shutil.which("locust"), help="its program")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rounds = 2 if options.small else options.rounds
    dice = random.Random(7)
    values: dict[str, list[float]] = {"local": [], "aggregated": [], "locust": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = Ours(folder)
        try:
            for _ in range(rounds):
                for kind in SLA:
                    values[kind].append(ours.stop(kind, dice.randint(RATE, 2 * RATE)))
                if options.locust:
                    values["locust"].append(locust(options.locust, folder))
        finally:
            ours.close()
    result: dict[str, Any] = {kind: summary(found) if found else None for kind, found in values.items()}
    peer = result["locust"]
    result["times_quicker"] = {
        kind: round(peer["p50_ms"] / result[kind]["p50_ms"], 1) if peer else None for kind in SLA
    }
    if options.json:
        print(json.dumps(result))
        return
    for kind, found in result.items():
        print(kind, found or "not here")


if __name__ == "__main__":
    main()
