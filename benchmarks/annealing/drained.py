"""What runs in a process of its own: planner, conductor, and the workers of the engine, the bare table and the jobs."""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any

import asyncpg
import msgspec
import procrastinate
import uvloop

from rackwright.commands.collector import spare_what_stays
from rackwright.core.messages import Claim, ClaimRequest, Result, Results
from rackwright.engine import annealer, claims, planning
from rackwright.engine.library import CatalogLibrary
from rackwright.store.postgres import PostgresStore

PAUSE = 0.005
"""Seconds before a worker asks again when everything of its rack waits for others."""

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


class Share(msgspec.Struct, frozen=True):
    """What one worker has to do: ``node_tasks`` of the rack of its number, at most ``batch`` at a time."""

    dsn: str
    number: int
    batch: int
    node_tasks: int


class Drained(msgspec.Struct, frozen=True):
    """What one worker did: node tasks, the seconds of every claim and of every batch of results, and its peak memory
    in MB."""

    done: int
    claims: list[float] = []
    completions: list[float] = []
    memory: int = 0


def memory() -> int:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def plan(dsn: str, bind: dict[str, Any]) -> tuple[float, int]:
    """Plan and apply what is asked, as a conductor does; gives the seconds and the peak memory."""

    async def work() -> float:
        store, library = await PostgresStore.open(dsn), CatalogLibrary()
        began = time.perf_counter()
        await planning.request_plan(store, "bench", bind, apply=True, by="bench")
        while await planning.compute_next(store, library):
            pass
        seconds = time.perf_counter() - began
        await store.close()
        return seconds

    spare_what_stays()
    return uvloop.run(work()), memory()


def conduct(dsn: str, stop: Any, peak: Any) -> None:
    """A conductor: wakes what waits behind barriers, reaps and sweeps, until ``stop``; leaves its peak memory."""

    async def work() -> None:
        store, ended = await PostgresStore.open(dsn), asyncio.Event()
        passes = asyncio.create_task(annealer.run(store, CatalogLibrary(), ended))
        await asyncio.get_running_loop().run_in_executor(None, stop.wait)
        ended.set()
        await passes
        await store.close()

    spare_what_stays()
    uvloop.run(work())
    peak.value = memory()


def drain(share: Share, gate: Any) -> Drained:
    """Claim and complete until all node tasks of the worker's rack are active, by the functions that the api calls."""

    async def work() -> Drained:
        store, library = await PostgresStore.open(share.dsn, pool_size=2), CatalogLibrary()
        async with store.transaction() as tx:
            rack = (await tx.named("rack", [f"r{share.number}"]))[f"r{share.number}"].id
        request = ClaimRequest(incarnation="bench", capacity=share.batch, wait=0)
        done, claiming, completing = 0, list[float](), list[float]()
        held: list[Claim] = []
        while done < share.node_tasks:
            began = time.perf_counter()
            if not held:
                held = await claims.claim(store, library, rack, request, time.time(), 60.0)
                if held:
                    claiming.append(time.perf_counter() - began)
                else:
                    await asyncio.sleep(PAUSE)
                continue
            ended = [Result(id=c.id, attempt=c.attempt, revision=c.revision, outcome="ok") for c in held]
            batch = Results("bench", ended, request)
            verdicts = await claims.exchange(store, library, rack, batch, time.time(), 60.0)
            completing.append(time.perf_counter() - began)
            done += sum(verdict.taken for verdict in verdicts.items)
            held = verdicts.next.items if verdicts.next is not None else []
        await store.close()
        return Drained(done, claiming, completing, memory())

    spare_what_stays()
    gate.wait()
    return uvloop.run(work())


def drain_raw(share: Share, gate: Any) -> Drained:
    """The same on the bare table, with as little as can be."""

    async def work() -> Drained:
        connection = await asyncpg.connect(share.dsn)
        claim = await connection.prepare(RAW_CLAIM.format(batch=share.batch))
        complete = await connection.prepare(RAW_COMPLETE)
        done = 0
        while ids := [row[0] for row in await claim.fetch(share.number)]:
            await complete.fetch(ids)
            done += len(ids)
        await connection.close()
        return Drained(done, memory=memory())

    gate.wait()
    return uvloop.run(work())


def drain_jobs(share: Share, gate: Any) -> Drained:
    """As many no-op jobs of Procrastinate, one for each node task, each with its node's lock."""

    async def work() -> Drained:
        app = jobs(share.dsn)
        async with app.open_async():
            await app.run_worker_async(wait=False, concurrency=20, install_signal_handlers=False, listen_notify=False)
        return Drained(0, memory=memory())

    gate.wait()
    return uvloop.run(work())


def jobs(dsn: str) -> procrastinate.App:
    """Procrastinate on the same server, with one task that does nothing."""
    connector = procrastinate.PsycopgConnector(conninfo=dsn, kwargs={"options": "-c search_path=procrastinate,public"})
    app = procrastinate.App(connector=connector)

    @app.task(name="noop")
    async def noop() -> None:
        return None

    return app
