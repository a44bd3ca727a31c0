"""Machines per second that are enlisted, commissioned and deployed: simulated ones, by way of the real api, conductors
and rack protocol.

`rackwright up` serves; `rackwright sim --instant` is the racks and the machines, so nothing takes time but our own
work: the racks' claims, reports and replicas included. Verbs are said to many machines in one request, as people do.
Beside it stands what the same PostgreSQL does at best: as many node tasks as the two activities had, in a bare table,
drained by two connections with two set-based statements for each batch. ``ratio`` is how much of that is left once
facts, catalogs, history, racks and machines are there. ``of_ironic`` compares with the 4.1 to 5.4 machines per second
that were measured for Ironic with drivers that do nothing, on another day of a machine with two processors.

    python benchmarks/fleet.py --nodes 10000 --racks 250 --json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from benchmarks.annealer import at_once, fill_raw, shares
from benchmarks.annealing.drained import drain_raw
from rackwright.cli.settings import read_settings
from rackwright.store import embedded

IRONIC = 5.4
"""Machines per second."""
SAID_AT_ONCE = 1000
"""Machines in one request."""
LOOK = 0.5
"""Seconds between two looks at how far it is."""
PROBE = 0.1
"""Seconds between two questions whose answers are timed."""
PATIENCE = 120.0
STUCK = 180.0
"""Seconds without any progress after which it is given up."""
READY = """
SELECT (SELECT count(*) FROM fact WHERE path = 'desired.os'), 0
"""
DONE = """
SELECT count(*) FILTER (WHERE last_verb = $1 AND last_outcome = 'ok' AND phase = 'idle'),
       count(*) FILTER (WHERE phase = 'failed') FROM machine
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--racks", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--apis", type=int, default=2, help="processes that serve the api")
    parser.add_argument("--simulators", type=int, default=1, help="processes that the racks share; 1,200 racks each")
    parser.add_argument("--window", type=int, default=2000, help="machines that a verb is under way for, at most")
    parser.add_argument("--small", action="store_true", help="a size for a quick look: 100 machines on 4 racks")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.nodes, given.racks = 100, 4
    given.simulators = max(given.simulators, -(-given.racks // 1200))
    return given


class Process:
    """A process of the product, with its words in a file."""

    def __init__(self, name: str, folder: Path, *words: str) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RACKWRIGHT_")}
        environment |= {"RACKWRIGHT_DATA": str(folder / "region")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rackwright", *words], env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log,
            )  # fmt: skip

    def check(self) -> None:
        """Give the benchmark up if it has ended."""
        if self._process.poll() is not None:
            sys.exit(f"fleet: {self.name} ended:\n{self._log.read_text(errors='replace')[-2000:]}")

    def end(self) -> None:
        """End it in order; by force when it takes too long."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid


class Region:
    """The region, as an operator sees it."""

    def __init__(self, folder: Path, dsn: str) -> None:
        settings = read_settings(None, None, {"RACKWRIGHT_DATA": str(folder / "region")})
        self.dsn = dsn
        self.latencies: list[float] = []
        self.progress: list[tuple[float, int]] = []
        headers = {"Authorization": f"Bearer {settings.token}"}
        self._http = httpx.AsyncClient(base_url=f"{settings.server}/api/v1", headers=headers, timeout=300.0)

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    async def probe(self) -> None:
        """Ask as people do while the rest goes on, and note how long it took; for ever."""
        while True:
            began = time.perf_counter()
            (await self._http.get("/nodes", params={"limit": 20, "machines": "true"})).raise_for_status()
            self.latencies.append(time.perf_counter() - began)
            await asyncio.sleep(PROBE)

    async def names(self) -> list[str]:
        """Every machine."""
        connection = await asyncpg.connect(self.dsn)
        rows = await connection.fetch("SELECT name FROM machine JOIN scope ON id = scope_id ORDER BY rack, name")
        await connection.close()
        return [row[0] for row in rows]

    async def say(self, verb: str, names: Sequence[str]) -> None:
        """Say a verb to machines; ends the program when one cannot follow."""
        answer = await self._http.post("/nodes:batch", json={"verb": verb, "names": list(names)})
        answer.raise_for_status()
        wrong = [item for item in answer.json()["items"] if item.get("error")]
        if wrong:
            sys.exit(f"fleet: {verb}: {len(wrong)} refused, the first: {wrong[0]}")

    async def until(self, query: str, words: Sequence[str], wanted: int, *processes: Process) -> float:
        """Wait until so many are done; gives the moment."""
        connection, since, before = await asyncpg.connect(self.dsn), time.monotonic(), 0
        while True:
            row = await connection.fetchrow(query, *words)
            assert row is not None
            done, failed = row
            self.progress.append((time.monotonic(), done))
            if done >= wanted:
                await connection.close()
                return time.monotonic()
            if done != before:
                since, before = time.monotonic(), done
            if failed or time.monotonic() - since > STUCK:
                why = await connection.fetch("SELECT reason, count(*) FROM machine GROUP BY 1 ORDER BY 2 DESC LIMIT 3")
                sys.exit(f"fleet: {done} of {wanted} done, {failed} failed: {[dict(row) for row in why]}")
            for process in processes:
                process.check()
            await asyncio.sleep(LOOK)

    async def live(self, verb: str, names: Sequence[str], window: int, *processes: Process) -> float:
        """Have all machines go through an activity, ``window`` of them under way; gives seconds."""
        began, said = time.monotonic(), 0
        while said < len(names):
            part = names[said : said + SAID_AT_ONCE]
            if said + len(part) > window:
                await self.until(DONE, [verb], said + len(part) - window, *processes)
            await self.say(verb, part)
            said += len(part)
        return await self.until(DONE, [verb], len(names), *processes) - began

    async def server(self) -> int:
        """The number of the database's first process."""
        connection = await asyncpg.connect(self.dsn)
        folder = Path(await connection.fetchval("SHOW data_directory"))
        await connection.close()
        return int((folder / "postmaster.pid").read_text(encoding="ascii").split()[0])

    async def facts(self) -> dict[str, Any]:
        """What the database has come to."""
        connection = await asyncpg.connect(self.dsn)
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        runs = await connection.fetchval("SELECT count(*) FROM run")
        facts = await connection.fetchval("SELECT count(*) FROM fact")
        await connection.close()
        return {"database_mb": size >> 20, "attempts": runs, "facts": facts}


async def measure(given: argparse.Namespace, folder: Path, dsn: str) -> dict[str, Any]:
    """All of it on one server."""
    port = _free_port()
    up = Process("up", folder, "up", "--dsn", dsn, "--apis", str(given.apis), "--port", str(port))
    running = [up]
    try:
        await _until_ready(folder, port, up)
        region = Region(folder, dsn)
        probing = asyncio.create_task(region.probe())
        fleet = ("sim", "--nodes", str(given.nodes), "--racks", str(given.racks), "--seed", str(given.seed))
        how = (
            "--instant",
            "--beat",
            "0",
            "--patience",
            "0",
            "--pace",
            "1000",
            "-o",
            "json",
            "--data",
            str(folder / "sim"),
        )
        for part in range(1, given.simulators + 1):
            running.append(Process(f"sim{part}", folder, *fleet, *how, "--part", f"{part}/{given.simulators}"))
        first = await region.until("SELECT count(*), 0 FROM machine", [], 1, *running)
        pids = [*(process.pid for process in running), await region.server()]
        before = usage(pids)["cpu_seconds"]
        enlisting = await region.until(READY, [], given.nodes, *running) - first
        names = await region.names()
        commissioning = await region.live("commission", names, given.window, *running)
        deploying = await region.live("deploy", names, given.window, *running)
        probing.cancel()
        found = await region.facts()
        used = usage(pids)
        used["cpu_seconds"] = {what: round(spent - before[what], 1) for what, spent in used["cpu_seconds"].items()}
        await region.close()
    finally:
        for process in reversed(running):
            process.end()
    seconds = {"enlist": enlisting, "commission": commissioning, "deploy": deploying}
    limit = await _limit(dsn, given, found["attempts"] // given.nodes)
    return _result(given, seconds, limit, region.latencies) | found | used | costs(used["cpu_seconds"], given.nodes)


def costs(spent: dict[str, float], nodes: int) -> dict[str, Any]:
    """Processor time for each machine through all three parts: this does not depend on what else the host does."""
    simulator = spent.get("sim", 0.0)
    region = sum(spent.values()) - simulator
    return {
        "cpu_ms_per_node": {"region": round(region / nodes * 1000, 1), "racks": round(simulator / nodes * 1000, 1)},
        "nodes_per_second_of_two_processors": round(2 * nodes / region, 1),
    }


def _result(
    given: argparse.Namespace, seconds: dict[str, float], limit: float, latencies: list[float]
) -> dict[str, Any]:
    whole = sum(seconds.values())
    busy = seconds["commission"] + seconds["deploy"]
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        "benchmark": "fleet",
        "nodes": given.nodes,
        "racks": given.racks,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "nodes_per_second": {name: round(given.nodes / value, 1) for name, value in seconds.items()},
        "whole_nodes_per_second": round(given.nodes / whole, 1),
        "of_ironic": round(given.nodes / seconds["deploy"] / IRONIC, 1),
        "api_ms": {"p50": round(cuts[49] * 1000, 1), "p99": round(cuts[98] * 1000, 1)},
        "limit_seconds": round(limit, 2),
        "ratio": round(limit / busy, 4),
    }


async def _limit(dsn: str, given: argparse.Namespace, tasks: int) -> float:
    """Seconds for as many node tasks in a bare table."""
    bare = argparse.Namespace(nodes=given.nodes, tasks=tasks, batch=500, workers=2)
    await fill_raw(dsn, bare.nodes, bare.tasks, bare.workers)
    _, seconds = await asyncio.get_running_loop().run_in_executor(None, at_once, drain_raw, shares(dsn, bare))
    return seconds


async def _until_ready(folder: Path, port: int, up: Process) -> None:
    async with httpx.AsyncClient() as client:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            up.check()
            try:
                answers = (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success
                if answers and (folder / "region" / "client.toml").exists():
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(LOOK)
    sys.exit("fleet: the region did not begin")


def usage(pids: Sequence[int]) -> dict[str, Any]:
    """MB of processes and of all below them, what they share with others left out, and seconds of processor time: by
    what they are."""
    memory: dict[str, list[int]] = {}
    spent: dict[str, float] = {}
    for what, size, seconds in (found for pid in pids for found in _family(pid)):
        memory.setdefault(what, []).append(size)
        spent[what] = round(spent.get(what, 0.0) + seconds, 1)
    return {"memory_mb": memory | {"postgres": [sum(memory.get("postgres", []))]}, "cpu_seconds": spent}


def _family(pid: int) -> list[tuple[str, int, float]]:
    """A process and all below it: what it is, its MB, and the seconds that it and its dead children took."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        times = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:15]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
    own = sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) // 1024
    what = words[words.index("rackwright") + 1] if "rackwright" in words else "postgres"
    below = [found for child in children for found in _family(int(child))]
    return [(what, own, sum(map(int, times)) / os.sysconf("SC_CLK_TCK")), *below]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure on an embedded server."""
    with tempfile.TemporaryDirectory(prefix="rackwright-fleet-") as name:
        folder = Path(name)
        with _racks_disks(folder):
            async with embedded.running(folder / "server", linger=0.2) as dsn:
                found = await measure(given, folder, dsn)
            await embedded.wait_stopped(folder / "server")
        return found


@contextlib.contextmanager
def _racks_disks(folder: Path) -> Iterator[None]:
    """The folder ``sim``, for what racks keep: in memory where that goes, for in truth each has a disk of its own."""
    memory = Path("/", "dev", "shm")
    with tempfile.TemporaryDirectory(prefix="rackwright-fleet-", dir=memory if memory.is_dir() else None) as disks:
        (folder / "sim").symlink_to(disks)
        yield


def main() -> None:
    """Measure and print."""
    given = arguments()
    found = asyncio.run(run(given))
    for part, rate in found["nodes_per_second"].items():
        print(f"{part:<11} {rate:,} machines/s ({found['seconds'][part]} s)")
    print(f"whole       {found['whole_nodes_per_second']:,} machines/s; deploying {found['of_ironic']} x Ironic's best")
    print(f"api         {found['api_ms']}")
    print(f"limit       {found['limit_seconds']} s for as many node tasks in a bare table; ratio {found['ratio']}")
    print(f"database    {found['database_mb']} MB, {found['attempts']:,} attempts, {found['facts']:,} facts")
    print(f"memory      {found['memory_mb']} MB")
    print(f"processor   {found['cpu_seconds']} s; {found['cpu_ms_per_node']} ms for each machine")
    print(f"            two processors, all the region's: {found['nodes_per_second_of_two_processors']} machines/s")
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
