"""A load is a task of a deployment: who makes it is killed under it, and the task ends as it should."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rackwright.commands.demo_ground import free_port
from rackwright.load.distributed import keys
from tests.acceptance.site import CATALOGS, Site, eventually

NAME = "loaded"


class Loaded:
    """The deployment: two agents, and one node whose task is the load."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        controller, agent = keys.make(folder)
        self.one, self.two, self.loader = site.add_nodes("l", 3, 8)
        place = f"tcp://127.0.0.1:{free_port(following=2)}"
        site.run("catalog", "add", str(CATALOGS / "loaded"), "--name", NAME)
        site.run("deployment", "create", NAME, "--catalog", NAME)
        self._bind = ["--bind", f"agent={self.one}", "--bind", f"agent={self.two}", "--bind", f"loader={self.loader}"]
        self._set = {
            "agent.controller": place, "agent.key": str(agent), "loader.controller": place,
            "loader.key": str(controller), "loader.agents": json.dumps([self.one, self.two]),
        }  # fmt: skip

    def begin(self, **settings: Any) -> None:
        """Begin a load, and wait until it has gone on for some seconds."""
        before = set(self._runs())
        given = self._set | {f"loader.{name}": str(value) for name, value in settings.items()}
        words = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
        self.site.run("deployment", "apply", NAME, *self._bind, *words)
        eventually(lambda: any(self._seconds(run) > 100 for run in set(self._runs()) - before), "it goes on")

    def kill_agent(self, node: str) -> None:
        os.kill(self.site.machine.service(NAME, node, "agent"), signal.SIGKILL)

    def kill_rack(self) -> None:
        os.kill(self.site.machine.racks()["r1"], signal.SIGKILL)

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.site.client.get(f"/nodes/{self.loader}")["facts"]
        return found

    @property
    def processes(self) -> list[str]:
        """The load processes that run, and the programs that control them."""
        lines = [_words(pid) for pid in self.site.of_tasks()]
        return [line for line in lines if "rackwright.load.process" in line or " load run " in line]

    def _runs(self) -> list[Path]:
        return sorted(self.site.data.glob(f"racks/*/jigs/load/runs/{NAME}/{self.loader}/load/*"))

    def _seconds(self, run: Path) -> int:
        file = run / "000" / "seconds.msgpack"
        return file.stat().st_size if file.exists() else 0


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def loaded(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return Loaded(site, tmp_path_factory.mktemp("keys"))


def test_a_load_whose_agent_is_killed_goes_on_to_its_verdict(site: Site, loaded: Loaded) -> None:
    loaded.begin(round=1)
    loaded.kill_agent(loaded.two)
    site.until_state(NAME, "active")
    assert loaded.facts["load.sla"] == "ok"
    (figures,) = loaded.facts["load.figures"]
    assert figures["workload"] == "round 1"
    assert figures["missed"] > 0
    assert figures["total"] + figures["missed"] >= 190
    assert figures["total"] < 200
    eventually(lambda: loaded.processes == [], "no load process is left")


def test_a_load_whose_rack_is_killed_runs_again_and_nothing_of_the_first_is_left(site: Site, loaded: Loaded) -> None:
    loaded.begin(round=2)
    first = {words for words in loaded.processes if " load run " in words}
    loaded.kill_rack()
    site.until_state(NAME, "active")
    (figures,) = loaded.facts["load.figures"]
    assert (figures["workload"], figures["total"]) == ("round 2", 200)
    assert len(first) == 1
    eventually(lambda: loaded.processes == [], "no load process is left")


def test_a_load_that_may_lose_nobody_fails_with_the_name_of_the_agent(site: Site, loaded: Loaded) -> None:
    loaded.begin(round=3, on_loss="fail")
    loaded.kill_agent(loaded.one)
    site.until_state(NAME, "error")
    reason = str(site.tasks(NAME)[loaded.loader, "load"]["reason"])
    assert f"{loaded.one} was lost at second" in reason
    eventually(lambda: loaded.processes == [], "no load process is left")
