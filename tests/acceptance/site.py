"""A site for acceptance tests: `rackwright up` as a real process, and the command line as an operator types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rackwright.cli.client import Client
from rackwright.commands.demo_machine import Machine, items, patiently
from rackwright.drivers.jig.process import bearers

CATALOGS = Path(__file__).parent / "catalogs"
PATIENCE = 300.0
SUCCESS = "active"


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its data."""
        return json.loads(self.stdout)


class Site:
    """Everything of one data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.machine = Machine(data, stays=False)
        self.client: Client = self.machine.client()

    def run(self, *words: str, code: int = 0, **environment: str) -> Ended:
        """Run a command of the operator's; it must end with that exit code."""
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "rackwright", *words],
            env={"PATH": os.environ["PATH"], "RACKWRIGHT_DATA": str(self.data), **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert ended.returncode == code, f"{' '.join(words)} ended with {ended.returncode}: {ended.stderr}"
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def add_nodes(self, prefix: str, count: int, network: int) -> list[str]:
        """Nodes with addresses, in both racks in turn; gives their names."""
        names = [f"{prefix}{number + 1}" for number in range(count)]
        body = [
            {"name": name, "rack": f"r{number % 2 + 1}", "address": f"127.250.{network}.{number + 1}"}
            for number, name in enumerate(names)
        ]
        assert [item["error"] for item in self.client.post("/nodes", body)["items"]] == [""] * count
        return names

    def deployment(self, name: str) -> dict[str, Any]:
        """How a deployment stands."""
        found: dict[str, Any] = patiently(lambda: self.client.get(f"/deployments/{name}"))
        return found

    def runs(self, name: str) -> list[dict[str, Any]]:
        """The attempts of the past."""
        return items(self.client, f"/deployments/{name}/history")

    def tasks(self, name: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Node tasks by node and task."""
        return {(task["scope"], task["task"]): task for task in items(self.client, f"/deployments/{name}/tasks")}

    def until_state(self, name: str, state: str) -> dict[str, Any]:
        """Wait until a deployment is in a state."""
        eventually(lambda: self.deployment(name)["state"] == state, f"{name} {state}")
        return self.deployment(name)

    def service_pid(self, deployment: str, node: str) -> int:
        """The process of the service that a node of the catalog `steady` keeps."""
        (file,) = self.data.glob(f"racks/*/state/{deployment}/{node}/pid")
        return int(file.read_text())

    def of_tasks(self) -> list[int]:
        """All living processes that tasks of this site have started."""
        return [stat.pid for stat in bearers(f"RACKWRIGHT_MARK={self.data}/")]

    def kill(self) -> None:
        """Kill `rackwright up` itself, as the kernel does when memory is short."""
        os.kill(self.machine.pid, signal.SIGKILL)
        self.client.close()
        self.machine.end()

    def end(self) -> None:
        """End everything; nothing may be left."""
        self.client.close()
        self.machine.end()
        assert self.of_tasks() == []


def eventually(true: Callable[[], bool], what: str) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
