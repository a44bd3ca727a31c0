"""How long it takes to create nodes in parallel, by the number of worker processes, with a driver that lets the event
loop go on and with one that blocks it.

Creating a node means: make it known with its address, make a deployment for it, and have a plan computed and applied
that gives it 20 node tasks, all through the product's engine on PostgreSQL. All creations of a round begin at the same
moment; each worker process has an equal share of them, as tasks of one event loop. Each call to the database takes
``--rtt`` milliseconds longer than on this machine, as if the server stood on another host.

``blocking`` is the same with a driver whose calls hold the loop until the answer is there, as services did that used a
synchronous driver inside an event loop (OpenStack's Nova until 2013): creations of one process then wait for each
other's calls. More processes help that, while a driver that waits without blocking needs them for processor time only.

    python benchmarks/conductors.py --json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from rackwright.core.errors import TryAgain
from rackwright.engine import deployments, machines, planning
from rackwright.engine.library import CatalogLibrary
from rackwright.store import embedded
from rackwright.store.postgres import PostgresStore, migrate
from rackwright.store.postgres.pool import Pool
from rackwright.store.postgres.session import SETTINGS, prepare, translated

TASKS = 20
FILES = {
    "catalog.yaml": "name: bench\nstrict: false\n",
    "roles.yaml": "- name: web\n",
    "tasks.yaml": "".join(
        f"- {{id: t{n}, type: noop, roles: [web]{f', requires: [t{n - 1}]' if n else ''}}}\n" for n in range(TASKS)
    ),
}
CONNECTIONS = 10
"""Of each worker process, as the product has them."""
WORD = "READY"
CURSOR = "cursor"
"""The driver's call that gives something whose calls wait too."""
CALLS = ("execute", "fetch", "fetchrow", "fetchval", "copy_records_to_table", CURSOR)
"""The driver's calls that wait for the server."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[20, 200], help="how many at once")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="how many processes")
    parser.add_argument("--rounds", type=int, default=3, help="of each; the median round is told")
    parser.add_argument("--rtt", type=float, default=1.0, help="milliseconds that each call takes longer")
    parser.add_argument("--dsn", help="a server to use; without it an embedded one in a temporary folder")
    parser.add_argument("--small", action="store_true", help="a quick look: 10 nodes, 1 and 2 workers, 1 round")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.small:
        given.nodes, given.workers, given.rounds = [10], [1, 2], 1
    if min(*given.nodes, *given.workers, given.rounds) < 1 or given.rtt < 0:
        parser.error("at least 1 of each")
    return given


class Distant:
    """A connection to a server on another host: each call waits ``rtt`` seconds first, and lets the loop go on."""

    def __init__(self, connection: Any, rtt: float) -> None:
        self._connection = connection
        self._rtt = rtt

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            return getattr(self._connection, name)
        call = getattr(self._connection, name)

        async def distant(*values: Any, **options: Any) -> Any:
            if self._rtt:
                await asyncio.sleep(self._rtt)
            found = await call(*values, **options)
            return Distant(found, self._rtt) if name == CURSOR else found

        return distant


class Blocking(Distant):
    """The same, but each call holds the loop until the answer is there. The driver runs in a loop of its own, in a
    thread on which the caller waits."""

    def __init__(self, connection: Any, rtt: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(connection, rtt)
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            return getattr(self._connection, name)
        call = getattr(self._connection, name)

        async def blocking(*values: Any, **options: Any) -> Any:
            found = self._held(call(*values, **options))
            return Blocking(found, self._rtt, self._loop) if name == CURSOR else found

        return blocking

    def _held(self, call: Awaitable[Any]) -> Any:
        async def answer() -> Any:
            return await call

        time.sleep(self._rtt)
        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result()


class Connections(Pool):
    """A pool whose connections are made beforehand, and are distant, or blocking too where ``loop`` is given."""

    def __init__(self, made: list[Any]) -> None:
        self._free: asyncio.Queue[Any] = asyncio.Queue()
        for connection in made:
            self._free.put_nowait(connection)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of one's own as long as the block lasts."""
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)


async def _connect(dsn: str) -> Any:
    with translated():
        connection = await asyncpg.connect(dsn, server_settings=SETTINGS, statement_cache_size=500)
    await prepare(connection)
    return connection


async def opened(dsn: str, rtt: float, *, blocking: bool) -> PostgresStore:
    """The product's store over such connections."""
    if not blocking:
        return PostgresStore(Connections([Distant(await _connect(dsn), rtt) for _ in range(CONNECTIONS)]), dsn)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    made = [asyncio.run_coroutine_threadsafe(_connect(dsn), loop).result() for _ in range(CONNECTIONS)]
    return PostgresStore(Connections([Blocking(connection, rtt, loop) for connection in made]), dsn)


async def create(store: PostgresStore, library: CatalogLibrary, name: str, address: str) -> float:
    """Create one node; gives the seconds."""
    began = time.perf_counter()
    [added] = await machines.add_nodes(store, [machines.NewNode(name=name, rack="r1", address=address)])
    assert not added.error, added.error
    await deployments.create(store, library, f"d-{name}", catalog="bench")
    plan = await planning.request_plan(store, f"d-{name}", {"bind": {"web": [name]}}, apply=True, by="bench")
    while not await _applied(store, library, plan):
        await asyncio.sleep(0.001)
    return time.perf_counter() - began


async def _applied(store: PostgresStore, library: CatalogLibrary, plan: int) -> bool:
    """Compute the next plan, whosoever it is: what a conductor does. Says whether ours is applied."""
    with contextlib.suppress(TryAgain):
        await planning.compute_next(store, library)
    async with store.transaction() as tx:
        state = (await tx.plan(plan)).state
    assert state != "failed", "a plan failed"
    return state == "applied"


async def work(task: dict[str, Any]) -> None:
    """One worker process: make ready, say so, and at the word create the share. Prints the seconds of each."""
    store = await opened(task["dsn"], task["rtt"], blocking=task["blocking"])
    library = CatalogLibrary()
    # What a process does once is not what is measured: its first statements, and the reading of the catalog.
    await create(store, library, f"warm-{task['first']}", f"127.251.{task['first']}.1")
    print(WORD, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    numbers = range(task["first"], task["nodes"], task["workers"])
    creating = [
        create(store, library, f"n{number}", f"127.250.{number // 250}.{number % 250 + 1}") for number in numbers
    ]
    print(json.dumps(await asyncio.gather(*creating)), flush=True)


class Server:
    """The PostgreSQL server; each round has a database of its own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._made = 0

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """A database with a rack and a catalog."""
        self._made += 1
        name = f"rackwright_conductors_{self._made}"
        await self._run(f'CREATE DATABASE "{name}"')
        try:
            own = urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))
            await migrate(own)
            store = await PostgresStore.open(own, pool_size=1)
            await machines.add_rack(store, "r1", b"." * 32)
            await CatalogLibrary().add(store, "bench", FILES)
            await store.close()
            yield own
        finally:
            await self._run(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(statement)
        await connection.close()


async def one_round(server: Server, nodes: int, workers: int, rtt: float, *, blocking: bool) -> list[float]:
    """All creations of a round; gives the seconds of each."""
    async with server.database() as dsn:
        common = {"dsn": dsn, "rtt": rtt / 1000, "blocking": blocking, "nodes": nodes, "workers": workers}
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, "--worker", json.dumps({**common, "first": first})),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 22,
            )
            for first in range(workers)
        ]
        try:
            return await _told(processes)
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()


async def _told(processes: list[asyncio.subprocess.Process]) -> list[float]:
    """Let all begin at once, and gather what they measured."""
    ends = [(process.stdin, process.stdout) for process in processes]
    for _, out in ends:
        assert out is not None
        if (await out.readline()).strip() != WORD.encode():
            sys.exit("conductors: a worker did not become ready")
    for into, _ in ends:
        assert into is not None
        into.write(b"go\n")
    seconds: list[float] = []
    for _, out in ends:
        assert out is not None
        seconds += json.loads(await out.readline() or b"null") or sys.exit("conductors: a worker failed")
    return seconds


async def measure(dsn: str, given: argparse.Namespace) -> dict[str, Any]:
    """Every combination, in turn, so that whatever else the machine does meets all alike."""
    server = Server(dsn)
    cases = [(n, w, blocking) for n in given.nodes for w in given.workers for blocking in (False, True)]
    rounds: dict[tuple[int, int, bool], list[list[float]]] = {case: [] for case in cases}
    for _ in range(given.rounds):
        for nodes, workers, blocking in cases:
            seconds = await one_round(server, nodes, workers, given.rtt, blocking=blocking)
            if len(seconds) != nodes:
                sys.exit(f"conductors: {len(seconds)} of {nodes} nodes were created")
            rounds[nodes, workers, blocking].append(seconds)
    found = [_summary(nodes, workers, rounds[nodes, workers, False], rounds[nodes, workers, True])
             for nodes in given.nodes for workers in given.workers]  # fmt: skip
    return {"benchmark": "conductors", "tasks_per_node": TASKS, "rtt_ms": given.rtt, "cases": found}


def _summary(nodes: int, workers: int, waiting: list[list[float]], blocking: list[list[float]]) -> dict[str, Any]:
    own, other = _numbers(waiting), _numbers(blocking)
    return {
        "nodes": nodes,
        "workers": workers,
        "async": own,
        "blocking": other,
        "blocking_to_async_max": round(other["max_s"] / own["max_s"], 2),
        "blocking_to_async_p99": round(other["p99_s"] / own["p99_s"], 2),
    }


def _numbers(rounds: list[list[float]]) -> dict[str, float]:
    """The median round's longest time, and its p99."""
    middle = sorted(rounds, key=max)[len(rounds) // 2]
    cuts = statistics.quantiles(middle, n=100, method="inclusive") if len(middle) > 1 else middle * 99
    return {"max_s": round(max(middle), 3), "p99_s": round(cuts[98], 3), "p50_s": round(cuts[49], 3)}


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure on the server that was named, or on an embedded one."""
    if given.dsn:
        return await measure(given.dsn, given)
    with tempfile.TemporaryDirectory(prefix="rackwright-bench-") as folder:
        try:
            async with embedded.running(Path(folder), linger=0.2) as dsn:
                return await measure(dsn, given)
        finally:
            await embedded.wait_stopped(Path(folder))


def main() -> None:
    """Measure and print."""
    given = arguments()
    if given.worker:
        asyncio.run(work(json.loads(given.worker)))
        return
    found = asyncio.run(run(given))
    for case in found["cases"]:
        own, other = case["async"], case["blocking"]
        times = case["blocking_to_async_max"]
        print(
            f"{case['nodes']:>5} nodes, {case['workers']} workers   max {own['max_s']:.3f} s   p99 {own['p99_s']:.3f} s"
            f"   blocking: max {other['max_s']:.3f} s   p99 {other['p99_s']:.3f} s   ({times} x)"
        )
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
