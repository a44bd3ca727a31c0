"""Requests for each second of processor time that load generators need, against one nginx on this host.

Ours runs a user's own scenario on one load process; Locust a FastHttpUser; wrk one thread; Rally HttpRequests. A peer
whose program is not here is null. Processor time is that of the generator and its children from start to end, so
start-up counts; runs are long enough that it does not matter much. The median of several rounds is given, and peers
take turns within a round, so that whatever else the machine does meets all alike.

    python benchmarks/load.py --locust /path/to/locust --json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.load_honesty import SCENARIO, free_port, wait_for

CONNECTIONS = 32
PEERS = ("locust", "rally", "wrk")

NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello\\n"; }} }}
}}
"""

LOCUSTFILE = """
from locust import FastHttpUser, constant, task


class Get(FastHttpUser):
    wait_time = constant(0)

    @task
    def get(self):
        self.client.get("/")
"""


class Ground:
    """Where and against what is measured."""

    def __init__(self, folder: Path, port: int, seconds: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.seconds = seconds

    def spend(self, command: list[str]) -> tuple[str, float]:
        """What a program prints, and its processor seconds with those of its children."""
        before = os.times()
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.folder, timeout=self.seconds * 5 + 120
        )
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return done.stdout, spent


def ours(ground: Ground) -> float:
    """A user's own scenario on one load process."""
    (ground.folder / "get.py").write_text(SCENARIO)
    subtask = {
        "title": "Get",
        "scenario": {"get.py:Get": {"url": ground.url}},
        "runner": {"constant_for_duration": {"duration": ground.seconds, "concurrency": CONNECTIONS, "timeout": 0}},
    }
    task = {"version": 2, "title": "Throughput", "subtasks": [subtask]}
    (ground.folder / "task.json").write_text(json.dumps(task))
    folder = ground.folder / f"run-{time.monotonic_ns()}"
    said, spent = ground.spend(
        [sys.executable, "-m", "rackwright", "load", "run", "task.json", "-o", "json", "--processes", "1",
         "--to", str(folder)]
    )  # fmt: skip
    (workload,) = json.loads(said)["workloads"]
    part = workload["table"][0]
    return float(part["total"] - part["errors"]) / spent


def locust(program: str, ground: Ground) -> float:
    """One process of Locust."""
    (ground.folder / "locustfile.py").write_text(LOCUSTFILE)
    said, spent = ground.spend(
        [program, "-f", "locustfile.py", "--headless", "-u", str(CONNECTIONS), "-r", str(CONNECTIONS),
         "-t", f"{ground.seconds}s", "-H", ground.url, "--json", "--only-summary"]
    )  # fmt: skip
    (told,) = json.loads(said)
    return float(told["num_requests"] - told["num_failures"]) / spent


def wrk(program: str, ground: Ground) -> float:
    """One thread of wrk."""
    said, spent = ground.spend(
        [program, "-t", "1", "-c", str(CONNECTIONS), "-d", f"{ground.seconds}s", f"{ground.url}/"]
    )
    (line,) = [line for line in said.splitlines() if " requests in " in line]
    return float(line.split()[0]) / spent


def rally(program: str, ground: Ground) -> float:
    """Rally's own check of a request; it needs a database, which is made in the folder."""
    database = f"sqlite:///{ground.folder}/rally.sqlite"
    (ground.folder / "rally.conf").write_text(f"[database]\nconnection = {database}\n")
    times = 400 * ground.seconds
    subtask = {
        "title": "Get",
        "scenario": {"HttpRequests.check_request": {"url": ground.url, "method": "GET", "status_code": 200}},
        "runner": {"constant": {"times": times, "concurrency": 8}},
    }
    task = {"version": 2, "title": "Throughput", "subtasks": [subtask]}
    (ground.folder / "rally.json").write_text(json.dumps(task))
    rally_here = [program, "--config-file", str(ground.folder / "rally.conf")]
    if not (ground.folder / "rally.sqlite").exists():
        ground.spend([*rally_here, "db", "create"])
        ground.spend([*rally_here, "env", "create", "--name", "here", "--no-use"])
    said, spent = ground.spend([*rally_here, "task", "start", "--env", "here", "--task", "rally.json"])
    if "100.0%" not in said:
        raise RuntimeError(f"Rally did not do its work: {said[-500:]}")
    return times / spent


def measure(options: argparse.Namespace, ground: Ground) -> dict[str, float | None]:
    """Rounds of all that are here."""
    runs: dict[str, Callable[[], float]] = {"ours": lambda: ours(ground)}
    if options.locust:
        runs["locust"] = lambda: locust(options.locust, ground)
    if options.rally:
        runs["rally"] = lambda: rally(options.rally, ground)
    if options.wrk:
        runs["wrk"] = lambda: wrk(options.wrk, ground)
    rounds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            rounds[name].append(run())
    found = {name: statistics.median(rates) for name, rates in rounds.items()}
    rates = {f"{name}_per_cpu_s": found.get(name) for name in ("ours", *PEERS)}
    ratios = {f"ours_by_{peer}": found["ours"] / found[peer] if peer in found else None for peer in PEERS}
    return {**rates, **ratios}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=15, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a quick look: one round of 3 seconds")
    for peer in PEERS:
        parser.add_argument(f"--{peer}", default=shutil.which(peer), help="its program")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.seconds, given.rounds = 3, 1
    return given


def main() -> None:
    """Measure and print."""
    options = arguments()
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not nginx:
        sys.exit("this needs nginx: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        server = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
        try:
            wait_for(port)
            result = measure(options, Ground(folder, port, options.seconds))
        finally:
            server.terminate()
            server.wait()
    if options.json:
        print(json.dumps(result))
        return
    for name, number in result.items():
        print(name, "not here" if number is None else f"{number:,.2f}")


if __name__ == "__main__":
    main()
