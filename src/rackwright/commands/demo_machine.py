"""The machine of the demo: ``rackwright up`` as a real process, and the processes below it, to be seen and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from rackwright.cli.client import Client
from rackwright.cli.exits import ServerProblem
from rackwright.cli.settings import FILE, read_settings
from rackwright.commands.demo_ground import RACKS, Failed, free_port
from rackwright.commands.tied import tied_environment
from rackwright.core.errors import StoreUnavailable

START_PATIENCE = 120.0
END_PATIENCE = 90.0
AWAY_PATIENCE = 60.0
"""Seconds for the api to be back after something was killed."""
LOOK = 0.1
"""Seconds between two looks."""
UNAVAILABLE = 503

T = TypeVar("T")


class Machine:
    """Everything of one demo. ``stays``: it shall outlive the demo."""

    def __init__(self, data: Path, stays: bool) -> None:
        self.data = data
        self.log = data / "up.log"
        command = ("up", "--racks", ",".join(RACKS), "--port", str(free_port()))
        environment = os.environ | {"RACKWRIGHT_DATA": str(data)} | ({} if stays else tied_environment(signal.SIGTERM))
        for name in ("RACKWRIGHT_DSN", "RACKWRIGHT_SERVER", "RACKWRIGHT_TOKEN"):
            environment.pop(name, None)
        with self.log.open("wb") as log:
            self._up = subprocess.Popen(
                [sys.executable, "-P", "-m", "rackwright", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process of ``rackwright up``."""
        return self._up.pid

    def client(self) -> Client:
        """The api as an operator sees it, once everything runs. Raises Failed when ``up`` ends instead."""
        end = time.monotonic() + START_PATIENCE
        while self._up.poll() is None and time.monotonic() < end:
            if (self.data / FILE).exists() and len(self.racks()) == len(RACKS):
                return Client(read_settings(None, None, {"RACKWRIGHT_DATA": str(self.data)}))
            time.sleep(LOOK)
        said = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
        raise Failed(f"`rackwright up` did not come up; it last said:\n{said}", where=str(self.log))

    def child(self, *words: str) -> int | None:
        """The process of ``up`` whose arguments after ``rackwright`` begin with these words."""
        for pid in _children(self.pid):
            if _arguments(pid)[: len(words)] == list(words):
                return pid
        return None

    def racks(self) -> dict[str, int]:
        """The rack processes by the rack's name."""
        found = {name: self.child("rack", "run", "--name", name) for name in RACKS}
        return {name: pid for name, pid in found.items() if pid is not None}

    def postmaster(self) -> int | None:
        """PostgreSQL's main process."""
        cluster = self.data / "postgres" / "cluster"
        with suppress(OSError, ValueError, IndexError):
            pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
            if os.path.samefile(f"/proc/{pid}/cwd", cluster):
                return pid
        return None

    def service(self, deployment: str, node: str, task: str) -> int:
        """The process that a rack keeps for a task of a node, by the beginning of the task's name. Raises Failed."""
        for record in self.data.glob(f"racks/*/jigs/service/{deployment}/{node}/{task}*/service.json"):
            identity = json.loads(record.read_bytes())["identity"]
            if identity is not None:
                return int(identity["pid"])
        raise Failed(f"no {task} is kept for {node}", where=str(self.data))

    def targets(self) -> dict[str, int | None]:
        """What the demo kills: by name, the process that now plays the part."""
        return {
            "conductor": self.child("conductor"),
            f"rack {RACKS[1]}": self.racks().get(RACKS[1]),
            "PostgreSQL": self.postmaster(),
        }

    def end(self) -> None:
        """End everything in order; by force what does not."""
        if self._up.poll() is None:
            self._up.terminate()
        try:
            self._up.wait(END_PATIENCE)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()


def patiently(ask: Callable[[], T]) -> T:
    """Ask the api, again and again while it is away or its database is."""
    end = time.monotonic() + AWAY_PATIENCE
    while True:
        try:
            return ask()
        except (StoreUnavailable, ServerProblem) as error:
            is_away = isinstance(error, StoreUnavailable) or error.status == UNAVAILABLE
            if not is_away or time.monotonic() > end:
                raise
        time.sleep(LOOK)


def items(client: Client, path: str, **query: Any) -> list[dict[str, Any]]:
    """A whole list of the api, patiently."""
    return patiently(lambda: list(client.items(path, **query)))


def _children(parent: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, IndexError):
                stat = Path(f"/proc/{name}/stat").read_text()
                # The program's name stands in parentheses and may hold anything; the parent is two words after it.
                if int(stat.rpartition(")")[2].split()[1]) == parent:
                    found.append(int(name))
    return found


def _arguments(pid: int) -> list[str]:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        if "rackwright" in words:
            return words[words.index("rackwright") + 1 :]
    return []
