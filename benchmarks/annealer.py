"""Transitions per second of the real engine, against what the same PostgreSQL can do at best.

The engine: a deployment of NODES nodes and a chain of TASKS noop tasks per node is planned and then drained by WORKERS
processes, each of which claims and hands in results for a rack of its own by the same functions that the api calls.
The limit: the same graph in a bare table of the same server, drained by as many connections with three set-based
statements per batch (claim, complete, release), without facts, history, leases or fences.
A transition is one change of state: every node task makes todo -> transition -> active, and all but the first of a
chain blocked -> todo.

    python benchmarks/annealer.py --nodes 10000 --tasks 20 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from rackwright.core.messages import ClaimRequest, Result, Results
from rackwright.engine import claims, deployments, intake, machines, planning
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
RAW_CLAIM = """
WITH ready AS (SELECT id FROM raw WHERE worker = $1 AND state = 1 ORDER BY id LIMIT {batch} FOR UPDATE SKIP LOCKED)
UPDATE raw SET state = 2 FROM ready WHERE raw.id = ready.id RETURNING raw.id
"""
RAW_COMPLETE = """
WITH done AS (UPDATE raw SET state = 0 WHERE id = ANY ($1::bigint[]) AND state = 2 RETURNING children),
below AS (SELECT child, count(*) AS met FROM done, unnest(children) AS child GROUP BY child)
UPDATE raw SET waits = waits - met, state = CASE WHEN waits - met = 0 THEN 1 ELSE state END
FROM below WHERE raw.id = below.child
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--tasks", type=int, default=20, help="tasks per node, one after the other")
    parser.add_argument("--batch", type=int, default=500, help="claims per request")
    parser.add_argument("--workers", type=int, default=2, help="processes, each with a rack of its own")
    parser.add_argument("--dsn", help="a server to use; without it an embedded one in a temporary folder")
    parser.add_argument("--small", action="store_true", help="a size for a quick look: 500 nodes, 5 tasks")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.nodes, given.tasks = 500, 5
    return given


def transitions(nodes: int, tasks: int) -> int:
    """How many changes of state the drain of the graph takes."""
    return nodes * (3 * tasks - 1)


async def prepare(dsn: str, nodes: int, tasks: int, workers: int) -> float:
    """Racks, nodes and a planned deployment; gives the seconds that the plan took."""
    await migrate(dsn)
    store, library = await PostgresStore.open(dsn), CatalogLibrary()
    for number in range(workers):
        await machines.add_rack(store, f"r{number}", bytes([number]) * 32)
    await machines.add_nodes(store, [machines.NewNode(name=f"n{i}", rack=f"r{i % workers}") for i in range(nodes)])
    chain = [f"- {{id: t{i}, type: noop, roles: [x], requires: [{f't{i - 1}' if i else ''}]}}" for i in range(tasks)]
    files = {"tasks.yaml": "\n".join(chain), "roles.yaml": "- {name: x}"}
    await library.add(store, "bench", files)
    await deployments.create(store, library, "bench", catalog="bench")
    began = time.perf_counter()
    bind = {"bind": {"x": [f"n{i}" for i in range(nodes)]}}
    await planning.request_plan(store, "bench", bind, apply=True, by="bench")
    while await planning.compute_next(store, library):
        pass
    seconds = time.perf_counter() - began
    await store.close()
    return seconds


async def drain(dsn: str, number: int, batch: int) -> int:
    """Claim and complete until the rack has nothing left; gives how many node tasks."""
    store, library = await PostgresStore.open(dsn, pool_size=2), CatalogLibrary()
    async with store.transaction() as tx:
        rack = (await tx.named("rack", [f"r{number}"]))[f"r{number}"].id
    request = ClaimRequest(incarnation="bench", capacity=batch, wait=0)
    done = 0
    while True:
        now = time.time()
        held = await claims.claim(store, library, rack, request, now, 60.0)
        if not held:
            await store.close()
            return done
        results = [Result(id=c.id, attempt=c.attempt, revision=c.revision, outcome="ok") for c in held]
        verdicts = await intake.take_results(store, library, rack, Results("bench", results), now)
        done += sum(verdict.taken for verdict in verdicts.items)


async def drain_raw(dsn: str, number: int, batch: int) -> int:
    """The same on the bare table."""
    connection = await asyncpg.connect(dsn)
    claim = await connection.prepare(RAW_CLAIM.format(batch=batch))
    complete = await connection.prepare(RAW_COMPLETE)
    done = 0
    while ids := [row[0] for row in await claim.fetch(number)]:
        await complete.fetch(ids)
        done += len(ids)
    await connection.close()
    return done


def _in_process(
    work: Callable[[str, int, int], Coroutine[Any, Any, int]], dsn: str, number: int, batch: int, gate: Any
) -> int:
    gate.wait()
    return uvloop.run(work(dsn, number, batch))


def timed(
    work: Callable[[str, int, int], Coroutine[Any, Any, int]], dsn: str, workers: int, batch: int
) -> tuple[int, float]:
    """Run the work in every worker at once; gives node tasks done and seconds from the common start."""
    with multiprocessing.Manager() as manager, multiprocessing.Pool(workers) as pool:
        gate = manager.Barrier(workers + 1)
        waiting = [pool.apply_async(_in_process, (work, dsn, number, batch, gate)) for number in range(workers)]
        gate.wait()
        began = time.perf_counter()
        done = sum(result.get() for result in waiting)
        return done, time.perf_counter() - began


async def fill_raw(dsn: str, nodes: int, tasks: int, workers: int) -> None:
    """The bare table with the same graph."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(RAW_TABLE)
    await connection.execute(RAW_FILL, nodes, tasks, workers)
    await connection.execute("VACUUM ANALYZE raw")
    await connection.execute("VACUUM ANALYZE node_task")
    await connection.close()


async def settled(dsn: str, nodes: int, tasks: int) -> None:
    """Prove that nothing was lost and nothing ran twice."""
    connection = await asyncpg.connect(dsn)
    active = await connection.fetchval("SELECT count(*) FROM node_task WHERE state = 0")
    once = await connection.fetchval(
        "SELECT count(*) FROM (SELECT 1 FROM run GROUP BY node_task HAVING count(*) = 1) x"
    )
    raw = await connection.fetchval("SELECT count(*) FROM raw WHERE state = 0")
    await connection.close()
    if not active == once == raw == nodes * tasks:
        sys.exit(
            f"annealer: of {nodes * tasks} node tasks {active} are active, {once} ran once, {raw} of the bare ones"
        )


async def measure(dsn: str, given: argparse.Namespace) -> dict[str, Any]:
    """Both drains on one server, one after the other."""
    plan = await prepare(dsn, given.nodes, given.tasks, given.workers)
    await fill_raw(dsn, given.nodes, given.tasks, given.workers)
    loop = asyncio.get_running_loop()
    raw_done, raw_seconds = await loop.run_in_executor(None, timed, drain_raw, dsn, given.workers, given.batch)
    done, seconds = await loop.run_in_executor(None, timed, drain, dsn, given.workers, given.batch)
    await settled(dsn, given.nodes, given.tasks)
    total = transitions(given.nodes, given.tasks)
    engine, limit = total / seconds, total / raw_seconds
    return {
        "benchmark": "annealer",
        "nodes": given.nodes,
        "tasks": given.tasks,
        "batch": given.batch,
        "workers": given.workers,
        "node_tasks": done,
        "plan_seconds": round(plan, 2),
        "planned_per_second": round(given.nodes * given.tasks / plan),
        "engine_seconds": round(seconds, 2),
        "engine_transitions_per_second": round(engine),
        "limit_transitions_per_second": round(limit),
        "ratio": round(engine / limit, 3),
        "raw_node_tasks": raw_done,
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
    print(f"plan     {found['node_tasks']:,} node tasks in {found['plan_seconds']} s")
    print(f"engine   {found['engine_transitions_per_second']:,} transitions/s")
    print(f"limit    {found['limit_transitions_per_second']:,} transitions/s (bare table, set-based SQL, same server)")
    print(f"ratio    {found['ratio']}")
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
