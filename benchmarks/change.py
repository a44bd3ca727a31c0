"""Milliseconds from one changed fact of one node to the stale node tasks being known, by the size of the fleet.

A deployment of NODES nodes is planned and drained, so that all of it is active. Its catalog has tasks with a read of
the node, a read that nodes inherit, an expression that implies its read and compares with old data, and a task of the
whole deployment that gathers another fact from all nodes. Then one fact of one node is changed by the same function
that the api calls; the time is that until the node tasks that read it are moved and the transaction is committed.
Every change is of another node, and each must make exactly the node's own two readers stale.

Without ``--nodes`` it measures 100, 10,000 and 100,000 nodes and prints the ratio of the medians. Each size has a
database of its own on one server. All are loaded and vacuumed first; then the changes go round all of them in turn, so
that whatever else the machine does meets all sizes alike.

    python benchmarks/change.py --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.messages import ClaimRequest, Result, Results
from rackwright.core.node_task import State
from rackwright.engine import claims, deployments, intake, machines, planning, timers
from rackwright.engine.library import CatalogLibrary
from rackwright.store import embedded
from rackwright.store.postgres import PostgresStore, migrate

SIZES = (100, 10_000, 100_000)
BATCH = 2000
WARM_UP = 10

FILES = {
    "catalog.yaml": "name: {name}\nstrict: false\n",
    "roles.yaml": """
- name: web
  attributes: {properties: {colour: {type: string, default: red}, port: {type: integer}, zone: {type: string}}}
""",
    "tasks.yaml": """
- {id: paint, type: noop, roles: [web], reads: {colour: desired.web.colour}}
- {id: listen, type: noop, roles: [web], reads: {port: desired.web.port}}
- {id: tell, type: noop, roles: [web], condition: {yaql_exp: changed($.web.colour)}}
- {id: gather, type: noop, scope: deployment, reads: {zones: {fact: "nodes:desired.web.zone", optional: true}}}
""",
}
STALE = 2
"""Node tasks that one change makes stale: ``paint`` and ``tell`` of the node."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, help="one size only; without it 100, 10,000 and 100,000")
    parser.add_argument("--changes", type=int, default=80, help="how many changes are timed, at least 50")
    parser.add_argument("--dsn", help="a server to use; without it an embedded one in a temporary folder")
    parser.add_argument("--small", action="store_true", help="a quick look: 100 and 1,000 nodes, 50 changes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.changes = 50
    given.sizes = [given.nodes] if given.nodes else [100, 1000] if given.small else list(SIZES)
    if given.changes < 50 or min(given.sizes) < 1:
        parser.error("at least 50 changes and 1 node")
    return given


class Fleet:
    """Nodes with all their node tasks active."""

    def __init__(self, store: PostgresStore, nodes: int) -> None:
        self.store, self.library = store, CatalogLibrary()
        self.name = f"d{nodes}"
        self.names = [f"{self.name}-n{number}" for number in range(nodes)]

    async def load(self) -> None:
        """Make the nodes known, plan, and carry everything out."""
        rack = await machines.add_rack(self.store, self.name, self.name.encode().ljust(32, b"."))
        await machines.add_nodes(self.store, [machines.NewNode(name=name, rack=self.name) for name in self.names])
        files = {name: text.replace("{name}", self.name) for name, text in FILES.items()}
        await self.library.add(self.store, self.name, files)
        await deployments.create(self.store, self.library, self.name, catalog=self.name)
        changes = {"bind": {"web": self.names}, "set": {"web": {"port": 80}}}
        await planning.request_plan(self.store, self.name, changes, apply=True, by="bench")
        while await planning.compute_next(self.store, self.library) or await timers.wake(self.store):
            pass
        request = ClaimRequest(incarnation="bench", capacity=BATCH, wait=0)
        while held := await claims.claim(self.store, self.library, rack, request, time.time(), 600.0):
            results = [Result(id=c.id, attempt=c.attempt, revision=c.revision, outcome="ok") for c in held]
            await intake.take_results(self.store, self.library, rack, Results("bench", results), time.time())
        left = await self.not_active()
        if left:
            sys.exit(f"change: {left} node tasks of {self.name} did not become active")

    async def not_active(self) -> int:
        """How many node tasks are not active."""
        async with self.store.transaction() as tx:
            deployment = (await tx.named("deployment", [self.name]))[self.name].id
            return sum([len(await tx.find(deployment, None, None, state)) for state in State if state])

    async def nodes(self, count: int) -> list[int]:
        """Ids of so many nodes, from all over the fleet."""
        async with self.store.transaction() as tx:
            found = list((await tx.named("node", self.names)).values())
        return [found[number * len(found) // count].id for number in range(count)]

    async def change(self, node: int) -> float:
        """Change one fact of a node; gives the milliseconds."""
        write = FactWrite(node, "desired.web.colour", f"blue {node}", PEOPLE)
        began = time.perf_counter()
        await intake.put_facts(self.store, self.library, [write])
        return (time.perf_counter() - began) * 1000


async def load(dsn: str, nodes: int) -> tuple[Fleet, float]:
    """A fleet in a database of its own, at rest; and the seconds that it took."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(f'CREATE DATABASE "{_database(nodes)}"')
    await connection.close()
    own = urlunsplit(urlsplit(dsn)._replace(path=f"/{_database(nodes)}"))
    await migrate(own)
    fleet = Fleet(await PostgresStore.open(own, pool_size=2), nodes)
    began = time.perf_counter()
    await fleet.load()
    seconds = time.perf_counter() - began
    connection = await asyncpg.connect(own)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.close()
    return fleet, seconds


def _database(nodes: int) -> str:
    return f"rackwright_change_{nodes}"


async def measure(dsn: str, given: argparse.Namespace) -> dict[str, Any]:
    """Load all sizes, then change them in turn."""
    fleets = [await load(dsn, nodes) for nodes in given.sizes]
    connection = await asyncpg.connect(dsn)
    await connection.execute("CHECKPOINT")
    count = WARM_UP + given.changes
    chosen = [await fleet.nodes(count) for fleet, _ in fleets]
    taken: list[list[float]] = [[] for _ in fleets]
    for number in range(count):
        for (fleet, _), nodes, times in zip(fleets, chosen, taken, strict=True):
            times.append(await fleet.change(nodes[number]))
    found = []
    for (fleet, seconds), nodes, times in zip(fleets, chosen, taken, strict=True):
        found.append(await _told(fleet, seconds, len(set(nodes)), times[WARM_UP:]))
        await fleet.store.close()
        await connection.execute(f'DROP DATABASE "{_database(len(fleet.names))}" WITH (FORCE)')
    await connection.close()
    ratio = {"ratio_of_p50": round(found[-1]["p50_ms"] / found[0]["p50_ms"], 2)} if len(found) > 1 else {}
    return {"benchmark": "change", "sizes": found, **ratio}


async def _told(fleet: Fleet, loaded: float, touched: int, taken: list[float]) -> dict[str, Any]:
    stale = await fleet.not_active()
    if stale != STALE * touched:
        sys.exit(f"change: {stale} node tasks are stale where {STALE * touched} read what changed")
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {
        "nodes": len(fleet.names),
        "changes": len(taken),
        "load_seconds": round(loaded, 1),
        "stale_per_change": STALE,
        "p50_ms": round(cuts[49], 2),
        "p99_ms": round(cuts[98], 2),
    }


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure on the server that was named, or on an embedded one."""
    if given.dsn:
        return await measure(given.dsn, given)
    with tempfile.TemporaryDirectory(prefix="rackwright-bench-") as folder:
        async with embedded.running(Path(folder), linger=0.2) as dsn:
            found = await measure(dsn, given)
        await embedded.wait_stopped(Path(folder))
        return found


def main() -> None:
    """Measure and print."""
    given = arguments()
    found = asyncio.run(run(given))
    for size in found["sizes"]:
        print(
            f"{size['nodes']:>8,} nodes   p50 {size['p50_ms']} ms   p99 {size['p99_ms']} ms   "
            f"({size['changes']} changes; loaded in {size['load_seconds']} s)"
        )
    if "ratio_of_p50" in found:
        print(f"ratio of the medians, largest to smallest: {found['ratio_of_p50']}")
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
