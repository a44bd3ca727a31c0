"""The api as a process of its own, on PostgreSQL: it begins, serves, and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rackwright.api import tokens
from rackwright.cli.settings import Settings, read_settings
from rackwright.engine import machines, planning
from rackwright.engine.library import CatalogLibrary
from rackwright.store.postgres import PostgresStore
from tests.unit.api_world import TINY

PATIENCE = 60.0


@dataclass
class Api:
    """A running api, and an operator's client of it."""

    process: asyncio.subprocess.Process
    settings: Settings
    client: httpx.AsyncClient
    data: Path

    async def ended(self) -> tuple[int, float]:
        """Tell it to end; its exit code, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        return code, time.monotonic() - began

    async def site(self) -> str:
        """A rack r1 with node n1 and a deployment d; gives the rack's token."""
        token = (await self.client.post("/racks", json={"name": "r1"})).json()["token"]
        for path, body in (
            ("/nodes", {"name": "n1", "rack": "r1", "address": "127.1.0.1"}),
            ("/catalogs", {"name": "tiny", "files": TINY}),
            ("/deployments", {"name": "d", "catalog": "tiny"}),
        ):
            assert (await self.client.post(path, json=body)).is_success
        return str(token)


@asynccontextmanager
async def _running(dsn: str, data: Path) -> AsyncIterator[Api]:
    environment = {**os.environ, "RACKWRIGHT_DSN": dsn, "RACKWRIGHT_DATA": str(data)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rackwright", "api", "--port", "0", "--admit", "--drain", "60"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while b"api listens" not in (line := await process.stderr.readline()):
                assert line, "the api ended before it listened"
        reading = asyncio.create_task(process.stderr.read())
        settings = read_settings(None, None, {"RACKWRIGHT_DATA": str(data)})
        headers = {"Authorization": f"Bearer {settings.token}"}
        url = f"{settings.server}/api/v1"
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE) as client:
            yield Api(process, settings, client, data)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


@pytest.fixture
async def api(store_dsn: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with _running(store_dsn, tmp_path / "data") as api:
        yield api


async def test_an_api_alone_lets_its_operator_in(api: Api) -> None:
    assert stat.S_IMODE((api.data / "client.toml").stat().st_mode) == 0o600
    assert (await api.client.get("/nodes")).json() == {"items": [], "next": None}
    assert (await api.client.get(f"{api.settings.server}/readyz")).json()["status"] == "ready"


async def test_an_open_long_poll_and_an_open_stream_do_not_hold_up_the_end(api: Api) -> None:
    token = await api.site()
    headers = {"Authorization": f"Bearer {token}"}
    body = {"incarnation": "me", "capacity": 1, "wait": 50}
    poll = asyncio.create_task(api.client.post("/racks/r1/claims", json=body, headers=headers))
    async with api.client.stream("GET", "/events", headers={"Accept": "text/event-stream"}) as stream:
        pieces = stream.aiter_text()
        assert (await anext(pieces)).startswith("retry:")
        await asyncio.sleep(0.3)
        assert not poll.done()
        code, seconds = await api.ended()
        assert code == 0
        assert seconds < 30
        assert [piece async for piece in pieces] == []
    response = await poll
    assert (response.status_code, response.json()["items"]) == (200, [])


async def test_a_waiting_rack_hears_of_work_that_another_process_made(api: Api, store_dsn: str) -> None:
    token = await api.site()
    headers = {"Authorization": f"Bearer {token}"}
    body = {"incarnation": "me", "capacity": 1, "wait": 20}
    poll = asyncio.create_task(api.client.post("/racks/r1/claims", json=body, headers=headers))
    await asyncio.sleep(0.2)
    asked = await api.client.post("/deployments/d/plans", json={"changes": {"bind": {"web": ["n1"]}}, "apply": True})
    reading = asyncio.create_task(api.client.get(f"/plans/{asked.json()['id']}?wait=20"))
    await _as_conductor(store_dsn, planning.compute_next)
    assert [item["task"] for item in (await poll).json()["items"]] == ["install"]
    assert (await reading).json()["state"] == "applied"


async def test_events_are_replayed_after_the_last_that_was_seen(api: Api) -> None:
    await api.site()
    await api.client.post("/deployments/d/stop", json={})
    await api.client.post("/deployments/d/resume", json={})
    events = (await api.client.get("/events?after=0")).json()["items"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(events[0]["id"])}
    seen: list[int] = []
    async with api.client.stream("GET", "/events", headers=headers) as stream:
        assert stream.headers["x-accel-buffering"] == "no"
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                seen.append(int(line[4:]))
            if seen and seen[-1] == events[-1]["id"]:
                break
    assert seen == [event["id"] for event in events[1:]]


async def test_the_command_line_works_over_a_real_connection(api: Api) -> None:
    await api.site()
    environment = {**os.environ, "RACKWRIGHT_DATA": str(api.data)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rackwright", "get", "nodes", "-o", "name"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, out) == (0, b"node/n1\n")


async def test_a_rack_that_the_store_knows_is_let_in_by_any_api(
    api: Api, store_dsn: str, postgres_store: PostgresStore
) -> None:
    token = tokens.new_token(tokens.RACK_PREFIX)
    await machines.add_rack(postgres_store, "r7", tokens.digest(token))
    headers = {"Authorization": f"Bearer {token}"}
    response = await api.client.post("/racks/r7/heartbeat", json={"incarnation": "me"}, headers=headers)
    assert (response.status_code, response.json()) == (200, {"cancel": [], "drop": [], "lost": False})


async def test_an_address_that_is_taken_is_told_and_nothing_is_started(
    api: Api, store_dsn: str, tmp_path: Path
) -> None:
    port = api.settings.server.rsplit(":", 1)[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rackwright", "api", "--port", port, "--data", str(tmp_path / "other")),
        env={**os.environ, "RACKWRIGHT_DSN": store_dsn},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 1
    assert f"127.0.0.1:{port}".encode() in said


async def _as_conductor(dsn: str, compute: Callable[[PostgresStore, CatalogLibrary], Awaitable[Any]]) -> None:
    store = await PostgresStore.open(dsn)
    try:
        assert await compute(store, CatalogLibrary())
    finally:
        await store.close()
