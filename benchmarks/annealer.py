"""Transitions per second of the real engine, against what the same PostgreSQL can do at best.

The engine: a deployment of NODES nodes with TASKS noop tasks each is planned by one process and then driven to active
by WORKERS processes, each of which claims and hands in results for a rack of its own by the same functions that the api
calls, and a conductor. The tasks of a node follow each other; twice on the way all nodes wait for all others. History,
hooks, roll-ups and limits are what they always are.
The limit: as many node tasks in a bare table of the same server, drained by as many connections with two set-based
statements per batch (claim; complete and release), without barriers, facts, history, leases or fences.
A transition is one change of state: every node task makes todo -> transition -> active, and all but the first of a
node blocked -> todo.

    python benchmarks/annealer.py --nodes 10000 --tasks 20 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.annealing.drained import Drained, Share, conduct, drain, drain_jobs, drain_raw, jobs, plan
from rackwright.engine import deployments, machines
from rackwright.engine.library import CatalogLibrary
from rackwright.store import embedded
from rackwright.store.postgres import PostgresStore, migrate

RAW_TABLE = """
CREATE TABLE raw (id bigint PRIMARY KEY, worker int, scope bigint, state smallint, waits int, children bigint[])
    WITH (fillfactor = 80);
CREATE UNIQUE INDEX raw_running ON raw (scope) WHERE state = 2;
CREATE INDEX raw_ready ON raw (worker, id) WHERE state = 1;
"""
RAW_FILL = """
INSERT INTO raw
SELECT (task - 1) * $1::bigint + node, node % $3::bigint, node,
       CASE WHEN task = 1 THEN 1 ELSE 3 END, CASE WHEN task = 1 THEN 0 ELSE 1 END,
       CASE WHEN task < $2::bigint THEN ARRAY[task * $1 + node] ELSE '{}' END
FROM generate_series(1, $1::bigint) AS node, generate_series(1, $2::bigint) AS task
"""
PROVEN = """
SELECT (SELECT count(*) FROM node_task WHERE state = 0) AS active, count(*) FILTER (WHERE times = 1) AS once,
       count(*) FILTER (WHERE times > 1) AS twice
FROM (SELECT count(*) AS times FROM run WHERE outcome = 'active' GROUP BY node_task) AS counted
"""
VS_JOBS = 5_000
"""So many jobs are enough to tell how fast a job engine is."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=20, help="tasks per node, one after the other")
    parser.add_argument("--batch", type=int, default=500, help="claims per request")
    parser.add_argument("--workers", type=int, default=2, help="processes, each with a rack of its own")
    parser.add_argument("--dsn", help="a server to use; without it an embedded one in a temporary folder")
    parser.add_argument("--small", action="store_true", help="a size for a quick look: 500 nodes, 5 tasks")
    parser.add_argument("--vs", choices=["procrastinate"], help="also one job for each node task, at most 5,000 jobs")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.nodes, given.tasks = 500, 5
    return given


def transitions(nodes: int, tasks: int) -> int:
    """How many changes of state the drain of the graph takes."""
    return nodes * (3 * tasks - 1)


def catalog(tasks: int) -> dict[str, str]:
    """A chain of tasks on every node; two of them wait for the one before on all nodes."""
    lines = []
    for number in range(tasks):
        before = f"requires: [t{number - 1}]" if number else "requires: []"
        if number in (tasks // 3, 2 * tasks // 3) and number:
            before += f", cross_depends: [{{name: t{number - 1}}}]"
        lines.append(f"- {{id: t{number}, type: noop, roles: [x], {before}}}")
    return {"tasks.yaml": "\n".join(lines), "roles.yaml": "- {name: x}"}


async def prepare(dsn: str, nodes: int, tasks: int, workers: int) -> None:
    """Racks, nodes, a catalog and a deployment."""
    await migrate(dsn)
    store, library = await PostgresStore.open(dsn), CatalogLibrary()
    for number in range(workers):
        await machines.add_rack(store, f"r{number}", bytes([number]) * 32)
    await machines.add_nodes(store, [machines.NewNode(name=f"n{i}", rack=f"r{i % workers}") for i in range(nodes)])
    await library.add(store, "bench", catalog(tasks))
    await deployments.create(store, library, "bench", catalog="bench")
    await store.close()


def at_once(work: Callable[[Share, Any], Drained], shares: Sequence[Share]) -> tuple[list[Drained], float]:
    """Do the work of every share in a process of its own; gives what each did, and seconds from the common start."""
    with multiprocessing.Manager() as manager, multiprocessing.Pool(len(shares)) as pool:
        gate = manager.Barrier(len(shares) + 1)
        waiting = [pool.apply_async(work, (share, gate)) for share in shares]
        gate.wait()
        began = time.perf_counter()
        found = [result.get() for result in waiting]
        return found, time.perf_counter() - began


def shares(dsn: str, given: argparse.Namespace) -> list[Share]:
    """The nodes of each worker's rack, as ``prepare`` has put them."""
    return [
        Share(dsn, number, given.batch, len(range(number, given.nodes, given.workers)) * given.tasks)
        for number in range(given.workers)
    ]


def with_conductor(dsn: str, given: argparse.Namespace) -> tuple[list[Drained], float, int]:
    """Drain while a conductor is at work; gives its peak memory in MB too."""
    stop, peak = multiprocessing.Event(), multiprocessing.Value("q", 0)
    conductor = multiprocessing.Process(target=conduct, args=(dsn, stop, peak))
    conductor.start()
    try:
        found, seconds = at_once(drain, shares(dsn, given))
    finally:
        stop.set()
        conductor.join()
    return found, seconds, int(peak.value)


def planned(dsn: str, nodes: int) -> tuple[float, int]:
    """Plan in a process of its own; gives seconds and its peak memory in MB."""
    with multiprocessing.Pool(1) as pool:
        return pool.apply(plan, (dsn, {"bind": {"x": [f"n{i}" for i in range(nodes)]}}))


class ServerMemory:
    """Watches the largest process of a server on this machine while it is in use, by what it alone has in memory."""

    def __init__(self, dsn: str) -> None:
        self.most = 0
        self._dsn = dsn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True)

    def __enter__(self) -> ServerMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _watch(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        while not self._stop.is_set():
            pids = [row[0] for row in await connection.fetch("SELECT pid FROM pg_stat_activity")]
            self.most = max(self.most, *map(_own_memory, pids))
            await asyncio.sleep(0.5)
        await connection.close()


def _own_memory(pid: int) -> int:
    """Memory of a process that it shares with no other, in MB; 0 when it cannot be seen from here."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) // 1024


async def fill_raw(dsn: str, nodes: int, tasks: int, workers: int) -> None:
    """The bare table with as many node tasks."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(RAW_TABLE)
    await connection.execute(RAW_FILL, nodes, tasks, workers)
    await connection.execute("VACUUM ANALYZE raw")
    await connection.execute("VACUUM ANALYZE node_task")
    await connection.close()


async def proven(dsn: str, nodes: int, tasks: int) -> dict[str, int | str]:
    """What was lost and what ran twice, and how careful the server was; ends the program when it is not as it must."""
    connection = await asyncpg.connect(dsn)
    row = await connection.fetchrow(PROVEN)
    raw = await connection.fetchval("SELECT count(*) FROM raw WHERE state = 0")
    careful = [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")]
    await connection.close()
    assert row is not None
    total = nodes * tasks
    if not (row["active"] == row["once"] == raw == total and row["twice"] == 0):
        sys.exit(f"annealer: of {total} node tasks {dict(row)}, {raw} of the bare ones")
    return {"lost": total - row["once"], "twice": row["twice"], "fsync_and_synchronous_commit": "/".join(careful)}


async def versus(dsn: str, count: int, workers: int, nodes: int) -> float:
    """One job for each node task through Procrastinate: jobs per second."""
    app = jobs(dsn)
    async with app.open_async():
        for number in range(count):
            await app.configure_task("noop", lock=f"n{number % nodes}").defer_async()
    loop = asyncio.get_running_loop()
    work = [Share(dsn, number, 0, 0) for number in range(workers)]
    _, seconds = await loop.run_in_executor(None, at_once, drain_jobs, work)
    connection = await asyncpg.connect(dsn)
    done = await connection.fetchval(
        "SELECT count(*) FROM procrastinate.procrastinate_jobs WHERE task_name = 'noop' AND status = 'succeeded'"
    )
    await connection.close()
    if done != count:
        sys.exit(f"annealer: of {count} jobs {done} were done")
    return float(done / seconds)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile, in milliseconds."""
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50_ms": round(cuts[49] * 1000, 1), "p99_ms": round(cuts[98] * 1000, 1)}


async def measure(dsn: str, given: argparse.Namespace) -> dict[str, Any]:
    """The plan and both drains on one server, one after the other."""
    loop = asyncio.get_running_loop()
    await prepare(dsn, given.nodes, given.tasks, given.workers)
    total, node_tasks = transitions(given.nodes, given.tasks), given.nodes * given.tasks
    with ServerMemory(dsn) as server:
        plan_seconds, planner = await loop.run_in_executor(None, planned, dsn, given.nodes)
        await fill_raw(dsn, given.nodes, given.tasks, given.workers)
        _, raw_seconds = await loop.run_in_executor(None, at_once, drain_raw, shares(dsn, given))
        found, seconds, conductor = await loop.run_in_executor(None, with_conductor, dsn, given)
    result = {
        "benchmark": "annealer",
        "nodes": given.nodes,
        "tasks": given.tasks,
        "batch": given.batch,
        "workers": given.workers,
        "node_tasks": sum(worker.done for worker in found),
        **await proven(dsn, given.nodes, given.tasks),
        "plan_seconds": round(plan_seconds, 2),
        "planned_per_second": round(node_tasks / plan_seconds),
        "engine_seconds": round(seconds, 2),
        "microseconds_per_node_task": round(seconds / node_tasks * 1e6, 1),
        "engine_transitions_per_second": round(total / seconds),
        "limit_transitions_per_second": round(total / raw_seconds),
        "ratio": round(raw_seconds / seconds, 3),
        "claim": spread([took for worker in found for took in worker.claims]),
        "complete": spread([took for worker in found for took in worker.completions]),
        "peak_memory_mb": {
            "planner": planner,
            "conductor": conductor,
            "workers": [worker.memory for worker in found],
            "largest_server_process": server.most,
        },
    }
    if given.vs:
        rate = await versus(dsn, min(VS_JOBS, node_tasks), given.workers, given.nodes)
        result["procrastinate_jobs_per_second"] = round(rate)
        result["node_tasks_per_job"] = round(node_tasks / seconds / rate, 1)
    return result


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
    print(f"plan     {found['node_tasks']:,} node tasks in {found['plan_seconds']} s")
    print(f"engine   {found['engine_transitions_per_second']:,} transitions/s, lost {found['lost']}")
    print(f"claim    {found['claim']}; complete {found['complete']} (batches of at most {given.batch})")
    print(f"limit    {found['limit_transitions_per_second']:,} transitions/s (bare table, set-based SQL, same server)")
    print(f"ratio    {found['ratio']}")
    print(f"memory   {found['peak_memory_mb']} MB at most")
    if given.vs:
        times = found["node_tasks_per_job"]
        print(f"jobs     {found['procrastinate_jobs_per_second']:,}/s: a job takes as long as {times} node tasks")
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
