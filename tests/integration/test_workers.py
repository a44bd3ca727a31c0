"""Several workers as real processes: renewed one by one, replaced when they die, ended in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from rackwright.cli.settings import read_settings
from rackwright.commands.configuration import FILE
from rackwright.store.postgres import PostgresStore

PATIENCE = 60.0


@dataclass
class Running:
    """A master that runs, and the lines of its log so far."""

    process: asyncio.subprocess.Process
    lines: list[str]
    data: Path

    async def said(self, words: str, times: int = 1) -> None:
        """Wait until the log has such lines."""
        await eventually(lambda: sum(words in line for line in self.lines) >= times)

    async def ended(self) -> int:
        """Tell it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    def client(self) -> httpx.AsyncClient:
        settings = read_settings(None, None, {"RACKWRIGHT_DATA": str(self.data)})
        headers = {"Authorization": f"Bearer {settings.token}"}
        return httpx.AsyncClient(base_url=settings.server, headers=headers, trust_env=False, timeout=PATIENCE)


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running(dsn: str, data: Path, *words: str) -> AsyncIterator[Running]:
    environment = {**os.environ, "RACKWRIGHT_DSN": dsn, "RACKWRIGHT_DATA": str(data)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rackwright", *words), env=environment, stderr=asyncio.subprocess.PIPE
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            lines.append(line.decode())

    reading = asyncio.create_task(read())
    try:
        yield Running(process, lines, data)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading


@pytest.fixture
async def api(store_dsn: str, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(store_dsn, tmp_path, "api", "--port", "0", "--admit") as api:
        yield api


@pytest.fixture
def two_apis(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[api]\nworkers = 2\n")


async def services(store: PostgresStore, kind: str) -> dict[str, int]:
    """The processes of a kind that run, by name."""
    return {
        service.name: service.pid
        for service in await store.roster.services()
        if service.kind == kind and service.state == "running"
    }


async def until_services(store: PostgresStore, kind: str, right: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    async with asyncio.timeout(PATIENCE):
        while not right(found := await services(store, kind)):
            await asyncio.sleep(0.05)
    return found


@pytest.mark.usefixtures("two_apis")
async def test_a_renewal_of_all_workers_fails_no_request(api: Running, postgres_store: PostgresStore) -> None:
    await api.said("workers serve")
    former = await until_services(postgres_store, "api", lambda found: set(found) == {"api 1", "api 2"})
    over = asyncio.Event()
    answers: list[int] = []

    async def ask(client: httpx.AsyncClient) -> None:
        while not over.is_set():
            answers.append((await client.get("/api/v1/nodes")).status_code)
            await asyncio.sleep(0.005)

    async def ask_on_new_connections() -> None:
        while not over.is_set():
            async with api.client() as client:
                answers.append((await client.get("/api/v1/racks")).status_code)

    async with api.client() as client, asyncio.TaskGroup() as group:
        asking = [group.create_task(ask(client)) for _ in range(4)]
        asking.append(group.create_task(ask_on_new_connections()))
        await eventually(lambda: len(answers) > 50)
        api.process.send_signal(signal.SIGHUP)
        await api.said('"workers are renewed"')
        before = len(answers)
        await eventually(lambda: len(answers) > before + 50)
        over.set()
    assert set(answers) == {200}
    renewed = await until_services(postgres_store, "api", lambda found: set(found) == {"api 1", "api 2"})
    assert set(renewed.values()).isdisjoint(former.values())
    assert await api.ended() == 0
    assert await services(postgres_store, "api") == {}


@pytest.mark.usefixtures("two_apis")
async def test_a_reload_takes_the_new_number_of_workers_and_refuses_wrong_settings(
    api: Running, postgres_store: PostgresStore
) -> None:
    await api.said("workers serve")
    (api.data / FILE).write_text("[api]\nworkers = 'several'\n")
    api.process.send_signal(signal.SIGHUP)
    await api.said("the settings are wrong")
    assert len(await until_services(postgres_store, "api", lambda found: len(found) >= 2)) == 2
    (api.data / FILE).write_text("[api]\nworkers = 3\n")
    api.process.send_signal(signal.SIGHUP)
    await until_services(postgres_store, "api", lambda found: set(found) == {"api 1", "api 2", "api 3"})


@pytest.mark.usefixtures("two_apis")
async def test_streams_of_a_renewed_worker_end_and_go_on_elsewhere(api: Running) -> None:
    await api.said("workers serve")
    async with api.client() as client:
        headers = {"Accept": "text/event-stream"}
        async with client.stream("GET", "/api/v1/events", headers=headers) as stream:
            pieces = stream.aiter_text()
            assert (await anext(pieces)).startswith("retry:")
            api.process.send_signal(signal.SIGHUP)
            assert [piece async for piece in pieces] == []
        async with client.stream("GET", "/api/v1/events", headers=headers) as stream:
            assert (await anext(stream.aiter_text())).startswith("retry:")


@pytest.mark.usefixtures("two_apis")
async def test_one_api_tells_the_metrics_of_all(api: Running, postgres_store: PostgresStore) -> None:
    await api.said("workers serve")
    await until_services(postgres_store, "api", lambda found: len(found) == 2)
    async with api.client() as client:
        assert (await client.get("/metrics", headers={"Authorization": ""})).status_code == 401
        text = (await client.get("/metrics")).text
    for process in ("api 1", "api 2"):
        for name in ("loop_lag_seconds_count", "db_pool_wait_seconds_count"):
            assert any(line.startswith(f"rackwright_{name}{{") and f'"{process}"' in line for line in text.splitlines())
    assert 'rackwright_services{service="api",state="running"} 2.0' in text
    assert 'rackwright_queue_oldest_age_seconds{queue="plan"} 0.0' in text


async def test_a_killed_conductor_is_replaced_and_all_end_when_told(
    store_dsn: str, postgres_store: PostgresStore, tmp_path: Path
) -> None:
    async with running(store_dsn, tmp_path, "conductor", "--workers", "2", "--drain", "5") as conductors:
        first = await until_services(postgres_store, "conductor", lambda found: len(found) == 2)
        os.kill(first["conductor 1"], signal.SIGKILL)
        await conductors.said("is started again")
        second = await until_services(
            postgres_store, "conductor", lambda found: found.get("conductor 1") not in (None, first["conductor 1"])
        )
        assert second["conductor 2"] == first["conductor 2"]
        assert await conductors.ended() == 0
        assert not [pid for pid in second.values() if Path(f"/proc/{pid}").exists()]


async def test_a_conductor_alone_reads_its_settings_anew(
    store_dsn: str, postgres_store: PostgresStore, tmp_path: Path
) -> None:
    async with running(store_dsn, tmp_path, "conductor") as conductor:
        before = await until_services(postgres_store, "conductor", lambda found: len(found) == 1)
        (tmp_path / FILE).write_text("[serialization]\npolicy = 7\n")
        conductor.process.send_signal(signal.SIGHUP)
        await conductor.said("the settings are wrong")
        (tmp_path / FILE).unlink()
        conductor.process.send_signal(signal.SIGHUP)
        await conductor.said("read anew", times=2)
        assert await services(postgres_store, "conductor") == before
        assert await conductor.ended() == 0
