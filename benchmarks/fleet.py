"""Machines per second that are enlisted, commissioned and deployed: simulated ones, by way of the real api, conductors
and rack protocol.

`rackwright up` serves; `rackwright sim --instant` is the racks and the machines, so nothing takes time but our own
work: the racks' claims, reports and replicas included. Verbs are said to many machines in one request, as people do.
Beside it stands what the same PostgreSQL does at best: as many node tasks as the two activities had, in a bare table,
drained by two connections with two set-based statements for each batch. ``ratio`` is how much of that is left once
facts, catalogs, history, racks and machines are there. ``of_ironic`` compares with the 4.1 to 5.4 machines per second
that were measured for Ironic with drivers that do nothing, on another day of a machine with two processors.

How far it is stands on stderr. What it has come to is told also when it is stopped: by SIGTERM, Ctrl-C, or
``--limit-minutes``; ``complete`` is then false, and ``stopped`` says why.

    python benchmarks/fleet.py --nodes 10000 --racks 250 --json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.annealer import at_once, fill_raw, shares
from benchmarks.annealing.drained import drain_raw
from benchmarks.simulated.account import Account, Part, Stopped, quantiles
from benchmarks.simulated.processes import Process, free_port, usage
from benchmarks.simulated.region import READY, SERVING, Region
from rackwright.store import embedded

IRONIC = 5.4
"""Machines per second."""
PATIENCE = 120.0
"""Seconds for the region to begin."""
ASKED = "it was told to stop"
BEGINNING = ("seconds", "api_ms", "cpu_seconds", "memory_mb")
"""What is told of the time until all racks serve."""
UNDER_WAY = 20
"""Machines on each rack that a verb is under way for. A rack carries out 64 node tasks at once, so half a rack of forty
keeps it at work while the other half ends or begins. A number for the whole fleet would be less than one machine a rack
in a large one: most racks would have nothing to do, and requests that share a transaction would find no company."""
MOST_UNDER_WAY = 5000
"""And no more for all racks: more wait for longer, take memory, and bring less with each request."""
SIMULATED = ("--instant", "--beat", "0", "--patience", "0", "--pace", "1000")
"""How machines live: nothing takes time, and those that have nothing to do are off."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--racks", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--apis", type=int, default=2, help="processes that serve the api")
    parser.add_argument("--simulators", type=int, default=1, help="processes that the racks share; 1,200 racks each")
    parser.add_argument(
        "--window", type=int, help="machines that a verb is under way for; by default 20 for each rack, 5,000 at most"
    )
    parser.add_argument("--limit-minutes", type=float, help="stop after so long, and tell what there is by then")
    parser.add_argument("--small", action="store_true", help="a size for a quick look: 100 machines on 4 racks")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.nodes, given.racks = 100, 4
    given.simulators = max(given.simulators, -(-given.racks // 1200))
    given.window = given.window or min(UNDER_WAY * given.racks, MOST_UNDER_WAY)
    return given


class Run:
    """One run on one server; ``account`` holds what it has come to, whenever it ends."""

    def __init__(self, given: argparse.Namespace, folder: Path, dsn: str) -> None:
        self._given, self._folder, self._dsn = given, folder, dsn
        self._running: list[Process] = []
        self._pids: list[int] = []
        self.account = Account(lambda: usage([*self._pids, *(process.pid for process in self._running)]))
        self.found: dict[str, Any] = {}

    async def through(self) -> None:
        """Have the machines go through all three parts. Raises Stopped when they do not."""
        try:
            await self._begin()
            region = Region(self._folder, self._dsn, self.account, self._running)
            self._pids = [await region.server()]
            probing = asyncio.create_task(region.probe())
            try:
                await self._parts(region)
            finally:
                probing.cancel()
                self.found = await region.facts()
                await region.close()
        finally:
            for process in reversed(self._running):
                process.end()

    async def _begin(self) -> None:
        given, port = self._given, free_port()
        words = ("up", "--dsn", self._dsn, "--apis", str(given.apis), "--port", str(port))
        up = Process("up", self._folder, *words)
        self._running.append(up)
        await _until_ready(self._folder, port, up)

    async def _parts(self, region: Region) -> None:
        given = self._given
        fleet = ("sim", "--nodes", str(given.nodes), "--racks", str(given.racks), "--seed", str(given.seed))
        data = ("-o", "json", "--data", str(self._folder / "sim"))
        for part in range(1, given.simulators + 1):
            one = ("--part", f"{part}/{given.simulators}")
            self._running.append(Process(f"sim{part}", self._folder, *fleet, *SIMULATED, *data, *one))
        with self.account.part("begin", given.racks):
            await region.until(SERVING, [], given.racks)
        # Simulators have machines come as soon as their own racks serve.
        with self.account.part("enlist", given.nodes, await region.count(READY)):
            await region.until(READY, [], given.nodes)
        names = await region.names()
        for verb in ("commission", "deploy"):
            with self.account.part(verb, given.nodes):
                await region.live(verb, names, given.window)


async def measured(given: argparse.Namespace, folder: Path, dsn: str) -> dict[str, Any]:
    """What a run came to, be it whole or not."""
    run, stopped = Run(given, folder, dsn), ""
    with _stoppable(asyncio.create_task(run.through()), given.limit_minutes) as going:
        try:
            await going
        except Stopped as error:
            stopped = str(error)
        except asyncio.CancelledError:
            stopped = ASKED
    told = result(given, run.account.parts) | run.found | {"complete": not stopped, "stopped": stopped}
    if stopped:
        return told
    busy = sum(part.seconds for part in run.account.parts if part.name in ("commission", "deploy"))
    limit = await _limit(dsn, given, run.found["attempts"] // given.nodes)
    return told | {"limit_seconds": round(limit, 2), "ratio": round(limit / busy, 4)}


def result(given: argparse.Namespace, parts: list[Part]) -> dict[str, Any]:
    """The parts by name, and what follows from all of them."""
    lived = {part.name: part for part in parts if part.name != "begin"}
    whole = sum(part.seconds for part in lived.values())
    through = min((part.done for part in lived.values()), default=0) if len(lived) == 3 else 0
    deploy = lived["deploy"].told()["per_second"] if "deploy" in lived else 0.0
    return {
        "benchmark": "fleet",
        "nodes": given.nodes,
        "racks": given.racks,
        "window": given.window,
        "begin": {name: value for part in parts[:1] for name, value in part.told().items() if name in BEGINNING},
        "parts": {name: part.told() for name, part in lived.items()},
        "nodes_per_second": {name: part.told()["per_second"] for name, part in lived.items()},
        "whole_nodes_per_second": round(through / whole, 1) if whole else 0.0,
        "of_ironic": round(deploy / IRONIC, 1),
        "api_ms": quantiles([seconds for part in lived.values() for seconds in part.latencies]),
        "memory_mb": parts[-1].used.memory_mb if parts else {},
    } | costs(list(lived.values()))


def costs(parts: list[Part]) -> dict[str, Any]:
    """Processor time for each machine, this does not depend on what else the host does; and the simulators' memory for
    a thousand machines."""
    racks = region = 0.0
    for part in parts:
        spent: dict[str, float] = part.told()["cpu_ms_per_node"]
        racks += spent.get("sim", 0.0)
        region += sum(spent.values()) - spent.get("sim", 0.0)
    known = max((part.done for part in parts), default=0)
    memory = sum(parts[-1].used.memory_mb.get("sim", [])) if parts else 0
    return {
        "cpu_ms_per_node": {"region": round(region, 1), "racks": round(racks, 1)},
        "nodes_per_second_of_two_processors": round(2000 / region, 1) if region else 0.0,
        "simulator_mb_per_1000_machines": round(memory / known * 1000, 1) if known else 0.0,
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
            with contextlib.suppress(httpx.HTTPError):
                answers = (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success
                if answers and (folder / "region" / "client.toml").exists():
                    return
            await asyncio.sleep(0.2)
    raise Stopped("the region did not begin")


@contextlib.contextmanager
def _stoppable(going: asyncio.Task[None], minutes: float | None) -> Iterator[asyncio.Task[None]]:
    """SIGTERM, Ctrl-C and the end of the time cancel it."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, going.cancel)
    timer = loop.call_later(minutes * 60, going.cancel) if minutes else None
    try:
        yield going
    finally:
        if timer is not None:
            timer.cancel()
        for number in signals:
            loop.remove_signal_handler(number)


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure on an embedded server."""
    with tempfile.TemporaryDirectory(prefix="rackwright-fleet-") as name:
        folder = Path(name)
        with _racks_disks(folder):
            async with embedded.running(folder / "server", linger=0.2) as dsn:
                found = await measured(given, folder, dsn)
            await embedded.wait_stopped(folder / "server")
        return found


@contextlib.contextmanager
def _racks_disks(folder: Path) -> Iterator[None]:
    """The folder ``sim``, for what racks keep: in memory where that goes, for in truth each has a disk of its own."""
    memory = Path("/", "dev", "shm")
    with tempfile.TemporaryDirectory(prefix="rackwright-fleet-", dir=memory if memory.is_dir() else None) as disks:
        (folder / "sim").symlink_to(disks)
        yield


def show(found: dict[str, Any]) -> None:
    """For people."""
    if begin := found["begin"]:
        print(f"begin       {found['racks']:,} racks serve after {begin['seconds']:,} s; api {begin['api_ms']} ms")
    for name, part in found["parts"].items():
        print(
            f"{name:<11} {part['machines']:,} machines in {part['seconds']:,} s: {part['per_second']:,}/s; "
            f"api {part['api_ms']} ms; {part['cpu_ms_per_node']} ms of processors for each"
        )
    print(f"whole       {found['whole_nodes_per_second']:,} machines/s; deploying {found['of_ironic']} x Ironic's best")
    print(f"api         {found['api_ms']} ms")
    print(f"memory      {found['memory_mb']} MB")
    print(f"            racks and machines: {found['simulator_mb_per_1000_machines']} MB for 1,000 machines")
    print(f"processor   {found['cpu_ms_per_node']} ms for each machine")
    print(f"            two processors, all the region's: {found['nodes_per_second_of_two_processors']} machines/s")
    if "database_mb" in found:
        print(f"database    {found['database_mb']} MB, {found['attempts']:,} attempts, {found['facts']:,} facts")
    if found["complete"]:
        print(f"limit       {found['limit_seconds']} s for as many node tasks in a bare table; ratio {found['ratio']}")
    else:
        print(f"not whole   {found['stopped']}")


def main() -> None:
    """Measure and print."""
    given = arguments()
    found = asyncio.run(run(given))
    show(found)
    if given.json:
        print(json.dumps(found))
    if found["stopped"] not in ("", ASKED):
        sys.exit("fleet: it broke off")


if __name__ == "__main__":
    main()
