"""The region, as an operator sees it, and as its database tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from benchmarks.simulated.account import Account, Stopped
from benchmarks.simulated.processes import Process
from rackwright.cli.settings import read_settings

SAID_AT_ONCE = 1000
"""Machines in one request."""
LOOK = 0.5
"""Seconds between two looks at how far it is, at least."""
LOOKED = 20
"""A look at many machines takes the database some time: so many times of it pass until the next."""
PROBE = 0.1
"""Seconds between two questions whose answers are timed."""
STUCK = 180.0
"""Seconds without any progress after which it is given up."""
SERVING = "SELECT count(*) FILTER (WHERE applied >= 0), 0 FROM served_rack"
READY = """
SELECT (SELECT count(*) FROM fact WHERE path = 'desired.os'), 0
"""
DONE = """
SELECT count(*) FILTER (WHERE last_verb = $1 AND last_outcome = 'ok' AND phase = 'idle'),
       count(*) FILTER (WHERE phase = 'failed') FROM machine
"""
REASONS = "SELECT reason, count(*) FROM machine GROUP BY 1 ORDER BY 2 DESC LIMIT 3"


class Region:
    """One that runs; what is waited for goes into the ``account``. It raises Stopped when things do not go on."""

    def __init__(self, folder: Path, dsn: str, account: Account, processes: Sequence[Process]) -> None:
        settings = read_settings(None, None, {"RACKWRIGHT_DATA": str(folder / "region")})
        self.dsn = dsn
        self._account = account
        self._processes = processes
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
            self._account.answered(time.perf_counter() - began)
            await asyncio.sleep(PROBE)

    async def names(self) -> list[str]:
        """Every machine."""
        connection = await asyncpg.connect(self.dsn)
        rows = await connection.fetch("SELECT name FROM machine JOIN scope ON id = scope_id ORDER BY rack, name")
        await connection.close()
        return [row[0] for row in rows]

    async def say(self, verb: str, names: Sequence[str]) -> None:
        """Say a verb to machines."""
        answer = await self._http.post("/nodes:batch", json={"verb": verb, "names": list(names)})
        answer.raise_for_status()
        wrong = [item for item in answer.json()["items"] if item.get("error")]
        if wrong:
            raise Stopped(f"{verb}: {len(wrong)} refused, the first: {wrong[0]}")

    async def count(self, query: str) -> int:
        """How many are done."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval(query))
        finally:
            await connection.close()

    async def until(self, query: str, words: Sequence[str], wanted: int) -> None:
        """Wait until so many are done."""
        connection = await asyncpg.connect(self.dsn)
        try:
            since, before = time.monotonic(), -1
            while True:
                began = time.monotonic()
                row = await connection.fetchrow(query, *words)
                assert row is not None
                done, failed = row
                self._account.done(done)
                if done >= wanted:
                    return
                if done != before:
                    since, before = time.monotonic(), done
                if failed or time.monotonic() - since > STUCK:
                    why = [dict(row) for row in await connection.fetch(REASONS)]
                    raise Stopped(f"{done} of {wanted} done, {failed} failed: {why}")
                for process in self._processes:
                    process.check()
                await asyncio.sleep(max(LOOK, LOOKED * (time.monotonic() - began)))
        finally:
            await connection.close()

    async def live(self, verb: str, names: Sequence[str], window: int) -> None:
        """Have all machines go through an activity, ``window`` of them under way: the next ones come in time."""
        said, at_once = 0, min(SAID_AT_ONCE, -(-window // 2))
        while said < len(names):
            part = names[said : said + at_once]
            if said + len(part) > window:
                await self.until(DONE, [verb], said + len(part) - window)
            await self.say(verb, part)
            said += len(part)
        await self.until(DONE, [verb], len(names))

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
