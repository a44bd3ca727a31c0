"""A lab that runs, as its operator sees it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rackwright.cli import planning
from rackwright.cli.client import Client
from rackwright.cli.settings import read_settings

PATIENCE = 900.0
"""Seconds for one activity: on a busy host emulation is slow."""
LOOK = 0.5
MACHINES = 3
UNKNOWN = 1
"""The last machine is not told to the rack."""


class RunningLab:
    """`rackwright lab up` in a folder, with images that are kept in another one."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.folder, self.images = folder, images

    def start(self) -> None:
        """Start it, with two machines that are told to the rack, and one that is not."""
        self.run("lab", "up", "--nodes", str(MACHINES), "--unknown", str(UNKNOWN))
        debian = str(self.images / "debian")
        self.run("image", "build", "debian", "--output", debian, data=self.images)
        self.run("image", "import", debian)

    def end(self) -> None:
        """End it."""
        if "client" in self.__dict__:
            self.client.close()
        self.run("lab", "down")

    def run(self, *words: str, data: Path | None = None) -> str:
        """What a command says on stdout; it must end well."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RACKWRIGHT_")}
        environment |= {
            "RACKWRIGHT_LAB": str(self.folder),
            "RACKWRIGHT_LAB_IMAGES": str(self.images),
            "RACKWRIGHT_DATA": str(data or self.folder / "site"),
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "rackwright", *words],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"rackwright {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @functools.cached_property
    def client(self) -> Client:
        """The api."""
        return Client(read_settings(None, None, {"RACKWRIGHT_DATA": str(self.folder / "site")}))

    def node(self, name: str) -> dict[str, Any]:
        """A node with its facts."""
        found: dict[str, Any] = self.client.get(f"/nodes/{name}")
        return found

    def facts(self, name: str) -> dict[str, Any]:
        """The facts of a node by path."""
        found: dict[str, Any] = self.node(name)["facts"]
        return found

    def say(self, verb: str, *names: str, **parameters: Any) -> None:
        """Say a verb, and wait until its activities have ended well."""
        said = {"verb": verb, "names": list(names), "parameters": parameters}
        answers = self.client.post("/nodes:batch", said)["items"]
        assert [answer["error"] for answer in answers if answer["error"]] == []
        self.until(lambda: all(self._is_over(name) for name in names), f"{verb} of {', '.join(names)}")

    def roll_out(self, deployment: str, changes: dict[str, Any]) -> None:
        """Plan changes of a deployment, apply the plan, and wait until all is active."""
        client = self.client
        plan = planning.plan(client, deployment, changes)
        planning.carry_out(client, plan["id"])
        self.until(lambda: self._is_active(deployment), f"deployment {deployment}")

    def until(self, holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        """Wait until it holds; gives what it gave."""
        end = time.monotonic() + patience
        while not (found := holds()):
            assert time.monotonic() < end, f"after {patience:g} s not yet: {what}"
            time.sleep(LOOK)
        return found

    def events(self, **wanted: str) -> list[dict[str, Any]]:
        """The events so far, the oldest first; of one node (``scope``), kind or task."""
        found: list[dict[str, Any]] = []
        while page := self.client.get("/events", after=found[-1]["id"] if found else 0)["items"]:
            found += page
        return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]

    def boots(self, name: str) -> list[str]:
        """What the rack let a machine boot, in order: the kinds of its boot environments."""
        lines = (self.folder / "lab.log").read_text(encoding="utf-8", errors="replace").splitlines()
        said = [json.loads(line) for line in lines if '"event": "boot"' in line]
        return [line["kind"] for line in said if line.get("node") == name]

    def happenings(self, name: str, what: str) -> list[dict[str, Any]]:
        """What happened to a machine, as the lab saw it."""
        file = self.folder / "happenings.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in lines if line["machine"] == name and line["what"] == what]

    def _is_over(self, name: str) -> bool:
        machine = self.node(name)["machine"]
        assert machine["phase"] != "failed", f"{name}: {machine['reason']}"
        return bool(machine["phase"] == "idle")

    def _is_active(self, deployment: str) -> bool:
        found = self.client.get(f"/deployments/{deployment}")
        assert found["state"] != "error", found["reasons"]
        return bool(found["state"] == "active")


def in_order(found: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether all that is wanted is there, in this order, whatever stands between."""
    rest = iter(found)
    return all(any(one == word for one in rest) for word in wanted)
