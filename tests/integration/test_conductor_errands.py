"""A real conductor delivers hooks and carries out jobs on PostgreSQL; killed at any time, it loses nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rackwright.commands.keys import webhook_key
from rackwright.core.hooks import Happening, Subscription
from rackwright.core.jobs import JobRecord
from rackwright.engine import hooks, jobs, machines
from rackwright.store.postgres import PostgresStore
from tests.integration.receiver import Got, receiving

PATIENCE = 60.0


@asynccontextmanager
async def conductor(dsn: str, data: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "RACKWRIGHT_DSN": dsn, "RACKWRIGHT_DATA": str(data)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rackwright", "conductor"), env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said: list[bytes] = []

    async def read(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            said.append(line)

    reading = asyncio.create_task(read(process.stderr))
    try:
        async with asyncio.timeout(PATIENCE):
            while not any(b"conductor began" in line for line in said):
                assert not reading.done(), b"".join(said).decode()
                await asyncio.sleep(0.02)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def subscribed(store: PostgresStore, data: Path, url: str, name: str = "hook") -> str:
    made = Subscription(name=name, kind="webhook", events=("node_task.active",), target=url)
    return await hooks.add_webhook(store, webhook_key(data, {}), made, None)


async def happened(store: PostgresStore, *ids: int) -> None:
    async with store.transaction() as tx:
        await tx.announce([Happening(event="node_task.active", id=id, data={"number": n}) for n, id in enumerate(ids)])


async def all_jobs(store: PostgresStore) -> list[JobRecord]:
    async with store.transaction() as tx:
        return await tx.jobs()


async def test_a_conductor_delivers_what_was_committed_while_none_was_there(
    store_dsn: str, postgres_store: PostgresStore, tmp_path: Path
) -> None:
    async with receiving() as receiver:
        secret = await subscribed(postgres_store, tmp_path, receiver.url)
        await happened(postgres_store, 1, 2, 1)
        async with conductor(store_dsn, tmp_path) as process:
            got = await receiver.until(3)
            assert all(each.signed_with(secret) for each in got)
            assert [each.said["data"]["number"] for each in got if each.said["data"]["number"] != 1] == [0, 2]
            await happened(postgres_store, 3)
            await receiver.until(4)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


@pytest.mark.slow
async def test_a_conductor_that_is_killed_in_a_delivery_has_it_delivered_again_with_the_same_id(
    store_dsn: str, postgres_store: PostgresStore, tmp_path: Path
) -> None:
    silent = True

    def answer(got: Got) -> int:
        return 0 if silent else 204

    async with receiving(answer) as receiver:
        await subscribed(postgres_store, tmp_path, receiver.url)
        await happened(postgres_store, 1, 1)
        async with conductor(store_dsn, tmp_path) as process:
            await receiver.until(1)
            process.kill()
            await process.wait()
        silent = False
        async with conductor(store_dsn, tmp_path):
            got = await receiver.until(3)
        assert got[0].id == got[1].id != got[2].id
        assert got[0].body == got[1].body
        assert [each.said["data"]["number"] for each in got] == [0, 0, 1]


async def test_a_job_for_later_is_done_when_its_time_has_come_and_one_that_cannot_be_fails(
    store_dsn: str, postgres_store: PostgresStore, tmp_path: Path
) -> None:
    await machines.add_nodes(postgres_store, [machines.NewNode(name="n1")])
    wish = {"node": "n1", "facts": {"desired.power": "off"}}
    async with conductor(store_dsn, tmp_path):
        await jobs.ask(postgres_store, "facts.put", wish, not_before=time.time() + 1.0, once=False)
        gone = await jobs.ask(postgres_store, "deployment.stop", {"deployment": "gone"}, not_before=None, once=False)
        async with asyncio.timeout(PATIENCE):
            while [(job.id, job.state) for job in await all_jobs(postgres_store)] != [(gone, "failed")]:
                await asyncio.sleep(0.1)
    (node,) = await postgres_store.views.nodes(names=["n1"])
    assert node.facts == {"desired.power": "off"}


async def test_processes_that_make_the_key_of_webhooks_at_once_agree_on_it(tmp_path: Path) -> None:
    program = "import sys, pathlib; from rackwright.commands.keys import webhook_key; "
    program += "print(webhook_key(pathlib.Path(sys.argv[1]), {}).hex())"
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(tmp_path)), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    said = [(await process.communicate())[0] for process in processes]
    assert len(set(said)) == 1
    assert (tmp_path / "webhook.key").stat().st_mode & 0o077 == 0
