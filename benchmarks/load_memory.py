"""What memory a load run and its report need, and how that grows with the number of iterations.

The same run is made twice: at a hundredth of the iterations, and at all of them. The controller is looked at twenty
times a second while it runs (VmHWM: its highest resident size); its load processes tell theirs in the result. The
report is one HTML page. Bounds are 200 MiB for the controller and 10 s for the report; ``growth`` is the controller at
full size by the controller at a hundredth of it: 1 means that memory does not depend on the number of iterations.

    python benchmarks/load_memory.py --json
    python benchmarks/load_memory.py --iterations 100000 --vs rally --rally /path/to/rally --json

``--vs rally`` runs the same with Rally's Dummy.dummy: its own highest size, and that of its report. Without its program
its part is null.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SMALL, FULL, PEER = 100_000, 10_000_000, 100_000
"""Iterations: of a quick look, of the whole, and of a comparison with Rally."""
CONTROLLER_MIB, REPORT_SECONDS = 200, 10
LOOK = 0.05
"""Seconds between looks at a process."""
MIB = 1 << 20

SCENARIO = '''
from rackwright.load.scenario import Scenario


class Nothing(Scenario):
    """Does nothing, in one atomic action."""

    async def run(self) -> None:
        with self.atomic("nothing"):
            pass
'''


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, help=f"by default {FULL:,}; {PEER:,} with --vs")
    parser.add_argument("--small", action="store_true", help=f"a quick look: {SMALL:,} iterations")
    parser.add_argument("--vs", choices=["rally"], help="a peer that does the same")
    parser.add_argument("--rally", default=shutil.which("rally"), help="its program")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    given.iterations = given.iterations or (SMALL if given.small else PEER if given.vs else FULL)
    return given


def watched(command: list[str], folder: Path) -> dict[str, float]:
    """Run a program to its end: wall seconds, processor seconds with its children, its own highest size in MiB."""
    before, began = os.times(), time.monotonic()
    with (folder / "words").open("wb") as words:
        process = subprocess.Popen(command, cwd=folder, stdout=words, stderr=words)
        highest = 0
        while process.poll() is None:
            highest = max(highest, high_water(process.pid))
            time.sleep(LOOK)
    if process.returncode:
        raise RuntimeError(f"{command}: {(folder / 'words').read_text()[-1000:]}")
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": time.monotonic() - began, "cpu_seconds": spent, "mib": highest / MIB}


def high_water(pid: int) -> int:
    """The highest resident size of a process so far, in bytes; 0 when it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def ours(folder: Path, iterations: int) -> dict[str, Any]:
    """One run and its report."""
    (folder / "nothing.py").write_text(SCENARIO)
    run, page = folder / f"run-{iterations}", folder / f"{iterations}.html"
    subtask = {
        "title": "Nothing",
        "scenario": {"nothing.py:Nothing": {}},
        "runner": {"constant": {"times": iterations, "concurrency": 8}},
    }
    (folder / "task.json").write_text(json.dumps({"version": 2, "title": "Memory", "subtasks": [subtask]}))
    load = [sys.executable, "-m", "rackwright", "load"]
    loaded = watched([*load, "run", "task.json", "--to", str(run), "-o", "jsonl"], folder)
    reported = watched([*load, "report", str(run), "--html", str(page)], folder)
    (workload,) = json.loads((run / "run.json").read_bytes())["workloads"]
    done = sum(each["iterations"] for each in workload["health"])
    if done != iterations:
        raise RuntimeError(f"{done} of {iterations} iterations were made")
    return {
        "iterations": iterations,
        "controller_mib": loaded["mib"],
        "load_process_mib": max(each["peak_rss"] for each in workload["health"]) / MIB,
        "run_seconds": loaded["seconds"],
        "cpu_us_per_iteration": loaded["cpu_seconds"] / iterations * 1e6,
        "report_seconds": reported["seconds"],
        "report_mib": reported["mib"],
        "page_kib": page.stat().st_size / 1024,
    }


def rally(program: str, folder: Path, iterations: int) -> dict[str, Any]:
    """The same by Rally; its database is a file in the folder."""
    (folder / "rally.conf").write_text(f"[database]\nconnection = sqlite:///{folder}/rally.sqlite\n")
    subtask = {
        "title": "Nothing",
        "scenario": {"Dummy.dummy": {"sleep": 0}},
        "runner": {"constant": {"times": iterations, "concurrency": 8}},
    }
    (folder / "rally.json").write_text(json.dumps({"version": 2, "title": "Memory", "subtasks": [subtask]}))
    base = [program, "--config-file", str(folder / "rally.conf")]
    watched([*base, "db", "create"], folder)
    watched([*base, "env", "create", "--name", "here", "--no-use"], folder)
    loaded = watched([*base, "task", "start", "--env", "here", "--task", "rally.json", "--no-use"], folder)
    listed = subprocess.run([*base, "task", "list", "--env", "here", "--uuids-only"], capture_output=True, text=True,
                            check=True, cwd=folder)  # fmt: skip
    uuid = listed.stdout.split()[-1]
    reported = watched([*base, "task", "report", "--uuid", uuid, "--out", "rally.html"], folder)
    return {
        "iterations": iterations,
        "controller_mib": loaded["mib"],
        "run_seconds": loaded["seconds"],
        "cpu_us_per_iteration": loaded["cpu_seconds"] / iterations * 1e6,
        "report_seconds": reported["seconds"],
        "report_mib": reported["mib"],
    }


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All that was asked for, one after the other."""
    little, much = (ours(folder, count) for count in (max(options.iterations // 100, 1), options.iterations))
    peer = rally(options.rally, folder, options.iterations) if options.vs and options.rally else None
    held = much["controller_mib"] < CONTROLLER_MIB and much["report_seconds"] < REPORT_SECONDS
    result = {
        "ours": much,
        "growth": much["controller_mib"] / little["controller_mib"],
        "of_bound": {
            "controller": much["controller_mib"] / CONTROLLER_MIB,
            "report": much["report_seconds"] / REPORT_SECONDS,
        },
        "within_bounds": held,
    }
    if options.vs:
        result["rally"] = peer
        result["rally_by_ours"] = peer and {
            name: peer[name] / much[name] for name in ("controller_mib", "cpu_us_per_iteration", "report_seconds")
        }
    return result


def main() -> None:
    """Measure and print."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        result = measure(options, Path(name))
    if options.json:
        print(json.dumps(result))
        return
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
