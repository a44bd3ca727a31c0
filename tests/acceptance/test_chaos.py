"""Everything dies at random while work goes on: conductor, racks, api and PostgreSQL by kill -9, the wire of a rack cut
or stalled, the disk of its logs full, and a hook hangs all the time.

The seed and the seconds are those of CHAOS_SEED and CHAOS_SECONDS."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from rackwright.commands.demo_machine import patiently
from rackwright.core.errors import Conflict
from rackwright.store.embedded.folder import located
from tests.acceptance.site import CATALOGS, Site
from tests.acceptance.troublemakers import FarRack, Wire, empty, fill, small_disk

SECONDS = float(os.environ.get("CHAOS_SECONDS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
NODES = 12
PATIENCE = 600.0
"""Seconds for one round of work, with all its trouble."""
SLACK = 30.0
"""Seconds after its lease in which a claim may still be seen: conductors and database may be away that long."""

RECOUNT = """
    WITH counted AS (SELECT deployment_id, coalesce(rack_id, 0) AS rack_id, state, count(*) AS n
                     FROM node_task GROUP BY 1, 2, 3),
         told AS (SELECT deployment_id, rack_id, state, sum(n) AS n FROM rollup_now GROUP BY 1, 2, 3)
    SELECT count(*) FROM counted FULL JOIN told USING (deployment_id, rack_id, state)
    WHERE coalesce(counted.n, 0) <> coalesce(told.n, 0)
"""
OUTLIVED = """
    SELECT count(*) FROM node_task LEFT JOIN seat USING (rack_id)
    WHERE state = 2 AND least(lease_until, coalesce(until, 0)) < extract(epoch FROM now()) - $1
"""


class Chaos:
    """A site with a third rack beyond a wire, on a small disk."""

    def __init__(self, site: Site, folder: Path, has_disk: bool) -> None:
        self.site = site
        self.chance = random.Random(SEED)
        self.logs = folder / "data" / "logs"
        self.has_disk = has_disk
        self.did: Counter[str] = Counter()
        self.wire = Wire(int(site.client.server.rpartition(":")[2]))
        token = folder / "token"
        token.write_text(site.client.post("/racks", {"name": "r3"})["token"])
        self.far = FarRack("r3", f"http://127.0.0.1:{self.wire.port}", token, folder / "data", folder / "rack.log")
        self.far.start()
        # Takes connections and never says a word: a hook that hangs all the time.
        self.deaf = socket.create_server(("127.0.0.1", 0))

    def kill(self, pid: int | None) -> None:
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def full_disk(self) -> None:
        """For a while nothing more can be written where the logs are."""
        if self.has_disk:
            fill(self.logs)
            self.rest(2.0)
            empty(self.logs)
        else:
            self.far.kill()
            self.far.start(small_files=True)
            self.rest(2.0)
            self.restart()

    def restart(self) -> None:
        self.far.kill()
        self.far.start()

    def stall(self) -> None:
        self.wire.stall()
        self.rest(3.0)
        self.wire.flow()

    def rest(self, longest: float) -> None:
        time.sleep(self.chance.uniform(0.3, 1.0) * longest)

    def trouble(self) -> None:
        """One thing goes wrong."""
        machine = self.site.machine
        kinds: dict[str, Callable[[], object]] = {
            "conductor": lambda: self.kill(machine.child("conductor")),
            "rack": lambda: self.kill(machine.racks().get(self.chance.choice(["r1", "r2"]))),
            "api": lambda: self.kill(machine.child("api")),
            "PostgreSQL": lambda: self.kill(machine.postmaster()),
            "far rack": self.restart,
            "cut": self.wire.cut,
            "stall": self.stall,
            "disk": self.full_disk,
        }
        # Each kind comes once before any comes twice.
        rarest = min(self.did[kind] for kind in kinds)
        kind = self.chance.choice([kind for kind in kinds if self.did[kind] == rarest])
        kinds[kind]()
        self.did[kind] += 1

    def end(self) -> None:
        self.wire.flow()
        self.far.end()
        self.wire.end()
        self.deaf.close()


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    home = (tmp_path / "site").resolve()
    home.mkdir()
    site = Site(home)
    try:
        folder = tmp_path / "far"
        with small_disk(folder / "data" / "logs") as has_disk:
            made = Chaos(site, folder, has_disk)
            yield made
            made.end()
    finally:
        site.end()


def one_round(chaos: Chaos, name: str, until: float) -> None:
    """One deployment from nothing to active, while things go wrong until that moment."""
    site = chaos.site
    with suppress(Conflict):
        patiently(lambda: site.client.post("/deployments", {"name": name, "catalog": "chaos"}))
    nodes = [f"x{number + 1}" for number in range(NODES)]
    patiently(
        lambda: site.client.post(f"/deployments/{name}/plans", {"changes": {"bind": {"part": nodes}}, "apply": True})
    )
    end = time.monotonic() + PATIENCE
    while (found := site.deployment(name))["state"] != "active":
        assert time.monotonic() < end, f"seed {SEED}, after {dict(chaos.did)}: {found}"
        if time.monotonic() < until:
            chaos.trouble()
        if found["state"] == "error":
            # What was told to be an error by a full disk or a killed task; a person asks for another run.
            patiently(lambda: site.client.post(f"/deployments/{name}/retry", {}))
        chaos.rest(1.0)


@pytest.mark.slow
def test_whatever_dies_every_node_task_becomes_active_exactly_once(chaos: Chaos) -> None:
    site = chaos.site
    body = [{"name": f"x{n + 1}", "rack": f"r{n % 3 + 1}", "address": f"127.250.9.{n + 1}"} for n in range(NODES)]
    assert [item["error"] for item in site.client.post("/nodes", body)["items"]] == [""] * NODES
    site.run("catalog", "add", str(CATALOGS / "chaos"))
    deaf = f"http://127.0.0.1:{chaos.deaf.getsockname()[1]}/"
    site.client.post("/hooks", {"name": "deaf", "url": deaf, "events": ["node_task.*"]})
    until, rounds = time.monotonic() + SECONDS, 0
    while rounds == 0 or time.monotonic() < until:
        rounds += 1
        one_round(chaos, f"round{rounds}", until)
        assert asyncio.run(ask(site, OUTLIVED, SLACK)) == 0, "a claim outlives its lease"
    assert sum(chaos.did.values()) >= 3, "hardly anything went wrong"
    runs = [run for number in range(rounds) for run in site.runs(f"round{number + 1}")]
    check_runs(runs, rounds)
    assert chaos.wire.acknowledged <= {(run["node_task"], run["attempt"]) for run in runs}, "acknowledged = stored"
    assert chaos.wire.acknowledged, "nothing went over the wire"
    assert asyncio.run(ask(site, RECOUNT)) == 0, "roll-ups equal a recount"
    assert asyncio.run(ask(site, "SELECT count(*) FROM node_task WHERE state <> 0")) == 0


def check_runs(runs: list[dict[str, Any]], rounds: int) -> None:
    attempts = Counter((run["node_task"], run["attempt"]) for run in runs)
    assert max(attempts.values()) == 1, "an attempt ended twice"
    active = Counter(
        (run["deployment"], run["scope"], run["task"]) for run in runs if run["outcome"] in ("active", "skipped")
    )
    assert len(active) == rounds * (3 * NODES + 1)
    assert set(active.values()) == {1}, f"not once: {[key for key, count in active.items() if count > 1]}"


async def ask(site: Site, query: str, *values: Any) -> Any:
    """A number out of the database, as soon as it is there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            connection = await asyncpg.connect(located(site.data).dsn(), timeout=5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            assert time.monotonic() < end, "the database does not come back"
            await asyncio.sleep(0.2)
            continue
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()
