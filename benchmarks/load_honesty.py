"""What a load generator says of a server that stops for one second in every five.

Requests are asked for at an even rate. Whoever keeps the rate and counts latency from the intended start finds the
truth, which is known beforehand: one request in five meets a stop, and waits for the rest of it. So its p90 is half a
second. A generator that waits for answers before it asks again says a few milliseconds.

    python benchmarks/load_honesty.py --json
    python benchmarks/load_honesty.py --locust /path/to/locust --json

Each is given beside the truth: divided by it, where it is not 0, and by how much it is off. The server needs some time
for those that waited for it, so an honest p90 is a few percent above.

Locust is measured in the same way: users of FastHttpUser with constant throughput, as many as the rate needs. Without
its program its part is null.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STOP = 1.0
PERIOD = 5.0
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
USERS = 50
BACKLOG = 4096
"""Connections that may wait for the server: else the kernel makes clients wait longer than the server does."""

SCENARIO = '''
from rackwright.load.scenario import Scenario


class Get(Scenario):
    """One request."""

    async def run(self, url: str) -> None:
        answer = await self.http.get(url)
        self.check(answer.status == 200, "no")
'''

LOCUSTFILE = """
from locust import FastHttpUser, constant_throughput, task


class Get(FastHttpUser):
    wait_time = constant_throughput({each})

    @task
    def get(self):
        self.client.get("/")
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=500, help="requests a second")
    parser.add_argument("--seconds", type=int, default=20, help="length, a multiple of five")
    parser.add_argument("--small", action="store_true", help="a quick look: 10 seconds")
    parser.add_argument("--locust", default=shutil.which("locust"), help="its program")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.small:
        given.seconds = 10
    return given


class Answering(asyncio.Protocol):
    """Answers each request, which comes in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """A request came."""
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def serve(port: int) -> None:
    """The server: in every period the whole process sleeps."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port, backlog=BACKLOG)

    def stop_for_a_while() -> None:
        time.sleep(STOP)

    async with server:
        while True:
            await asyncio.sleep(PERIOD - STOP)
            stop_for_a_while()


def truth(rate: int) -> dict[str, float]:
    """What is so: of all requests a part STOP / PERIOD waits, evenly from nothing to STOP."""

    def quantile(part: float) -> float:
        return max(0.0, STOP - (1 - part) * PERIOD) * 1e3

    return {"achieved": rate, "p50_ms": quantile(0.5), "p90_ms": quantile(0.9), "p99_ms": quantile(0.99)}


def ours(folder: Path, url: str, rate: int, seconds: int) -> dict[str, float]:
    """What this project says."""
    (folder / "get.py").write_text(SCENARIO)
    subtask = {
        "title": "Get",
        "scenario": {"get.py:Get": {"url": url}},
        "runner": {"arrival": {"rate": rate, "duration": seconds}},
    }
    (folder / "task.json").write_text(json.dumps({"version": 2, "title": "Honesty", "subtasks": [subtask]}))
    command = [sys.executable, "-m", "rackwright", "load", "run", str(folder / "task.json"), "-o", "json"]
    done = subprocess.run(
        [*command, "--to", str(folder / "run")], capture_output=True, text=True, check=False, timeout=seconds * 5 + 60
    )
    (workload,) = json.loads(done.stdout)["workloads"]
    part = workload["table"][0]
    latency = {f"{name}_ms": part["quantiles"][name] * 1e3 for name in ("p50", "p90", "p99")}
    return {"achieved": (part["total"] - part["errors"]) / seconds, **latency}


def locust(program: str, folder: Path, url: str, rate: int, seconds: int) -> dict[str, float]:
    """What Locust says; its percentiles are of whole milliseconds."""
    (folder / "locustfile.py").write_text(LOCUSTFILE.format(each=rate / USERS))
    done = subprocess.run(
        [program, "-f", str(folder / "locustfile.py"), "--headless", "-u", str(USERS), "-r", str(USERS),
         "-t", f"{seconds}s", "-H", url, "--json", "--only-summary"],
        capture_output=True, text=True, check=False, timeout=seconds * 5 + 60,
    )  # fmt: skip
    (told,) = json.loads(done.stdout)
    times = {float(key): count for key, count in told["response_times"].items()}

    def quantile(part: float) -> float:
        left = math.ceil(part * sum(times.values()))
        for value in sorted(times):
            left -= times[value]
            if left <= 0:
                return value
        return 0.0

    length = told["last_request_timestamp"] - told["start_time"]
    return {
        "achieved": told["num_requests"] / length,
        "p50_ms": quantile(0.5),
        "p90_ms": quantile(0.9),
        "p99_ms": quantile(0.99),
    }


def free_port() -> int:
    """A port that nobody has at present."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All of them, one after the other, each with a server of its own."""
    result: dict[str, Any] = {"truth": truth(options.rate), "ours": None, "locust": None}
    with tempfile.TemporaryDirectory() as name:
        for who in ("ours", "locust") if options.locust else ("ours",):
            port = free_port()
            server = subprocess.Popen([sys.executable, __file__, "--serve", str(port)])
            try:
                wait_for(port)
                url = f"http://127.0.0.1:{port}"
                if who == "ours":
                    result[who] = ours(Path(name), url, options.rate, options.seconds)
                else:
                    result[who] = locust(options.locust, Path(name), url, options.rate, options.seconds)
            finally:
                os.kill(server.pid, signal.SIGTERM)
                server.wait()
    truly = result["truth"]
    for who in ("ours", "locust"):
        said = result[who]
        result[f"{who}_by_truth"] = said and {name: said[name] / true for name, true in truly.items() if true}
        result[f"{who}_off"] = said and {name: said[name] - true for name, true in truly.items()}
    return result


def main() -> None:
    """Measure and print."""
    options = arguments()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    result = measure(options)
    if options.json:
        print(json.dumps(result))
        return
    for who, numbers in result.items():
        print(who, "not here" if numbers is None else {name: round(value, 2) for name, value in numbers.items()})


if __name__ == "__main__":
    main()
