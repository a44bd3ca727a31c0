"""The embedded PostgreSQL lives: started, shared, killed, brought back, stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from rackwright.store import embedded
from rackwright.store.embedded.folder import located
from rackwright.store.embedded.locks import is_held
from tests.integration.embedded_servers import LINGER, ask, copy, guards, kill, postmaster, until, user_process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one table of one row, stopped."""
    data = tmp_path_factory.mktemp("made")
    async with embedded.running(data, linger=0.0) as dsn:
        await ask(dsn, "CREATE TABLE kept AS SELECT 1 AS n")
    assert await embedded.wait_stopped(data)
    return data


@pytest_asyncio.fixture
async def data(made: Path, tmp_path: Path) -> AsyncIterator[Path]:
    """A data folder for one test; its server must be gone in the end."""
    data = copy(made, tmp_path / "d")
    yield data
    assert await embedded.wait_stopped(data), "a server is left running"


async def test_a_new_folder_gets_a_safe_server(tmp_path: Path) -> None:
    told: list[str] = []
    async with embedded.running(tmp_path / "new", linger=0.0, tell=told.append) as dsn:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            assert await ask(dsn, f"SHOW {setting}") == "on"
        assert await ask(dsn, "SHOW listen_addresses") == ""
        assert await ask(dsn, "SHOW password_encryption") == "scram-sha-256"
        assert await ask(dsn, "SHOW data_checksums") == "on"
        assert await ask(dsn, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'") == 0
        assert await ask(dsn, "SELECT count(*) FROM pg_hba_file_rules WHERE type = 'local'") == 1
    home = tmp_path / "new" / "postgres"
    assert [_mode(path) for path in (home, home / "socket", home / "passfile")] == [0o700, 0o700, 0o600]
    assert told == ["making a new PostgreSQL data folder"]
    assert await embedded.wait_stopped(tmp_path / "new")


async def test_no_secret_is_shown(data: Path) -> None:
    async with embedded.running(data, linger=0.0) as dsn:
        password = (data / "postgres" / "passfile").read_text().strip().rpartition(":")[2]
        assert len(password) > 30
        assert password not in dsn
        assert password not in (data / "postgres.log").read_text()
        commands = [path.read_bytes() for path in map(_command_line, (postmaster(data), guards(data)[-1]))]
        assert all(commands)
        assert not any(password.encode() in command for command in commands)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _command_line(pid: int) -> Path:
    return Path(f"/proc/{pid}/cmdline")


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_nobody_is_trusted_without_the_password(data: Path, password: str) -> None:
    async with embedded.running(data, linger=0.0):
        socket = str(data / "postgres" / "socket")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(host=socket, user="rackwright", database="rackwright", password=password)


async def test_a_restart_keeps_the_data(data: Path) -> None:
    async with embedded.running(data, linger=0.0) as dsn:
        await ask(dsn, "INSERT INTO kept VALUES (2)")
        first = postmaster(data)
    assert await embedded.wait_stopped(data)
    async with embedded.running(data, linger=0.0) as dsn:
        assert postmaster(data) != first
        assert await ask(dsn, "SELECT sum(n) FROM kept") == 3


async def test_a_killed_server_comes_back_with_its_committed_data(data: Path) -> None:
    async with embedded.running(data, linger=0.0) as dsn:
        for number in range(2, 5):
            await ask(dsn, f"INSERT INTO kept VALUES ({number})")
            first = postmaster(data)
            kill(first)
            assert await ask(dsn, "SELECT max(n) FROM kept") == number
            assert postmaster(data) != first
        assert len(guards(data)) == 1


async def test_a_killed_server_comes_back_although_a_worker_does_not_leave(data: Path) -> None:
    async with embedded.running(data, linger=0.0) as dsn:
        busy = await asyncpg.connect(dsn)
        endless = asyncio.create_task(busy.execute("DO 'BEGIN LOOP END LOOP; END'"))
        await until_active(dsn)
        kill(postmaster(data))
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await endless
        assert await ask(dsn, "SELECT max(n) FROM kept") == 1


async def until_active(dsn: str) -> None:
    question = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO%' AND state = 'active'"
    for _ in range(1000):
        if await ask(dsn, question) == 1:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the endless query does not begin")


async def test_a_killed_guard_is_replaced_while_the_server_goes_on(data: Path) -> None:
    async with embedded.running(data, linger=0.0) as dsn:
        server = postmaster(data)
        kill(guards(data)[-1])
        await until(lambda: len(guards(data)) == 2, "a second guard starts")
        await ask(dsn, "INSERT INTO kept VALUES (7)")
        assert postmaster(data) == server
        assert await ask(dsn, "SELECT max(n) FROM kept") == 7
        # The new guard is a whole one: it brings back a server that is not its child.
        await until(lambda: "takes over PostgreSQL" in (data / "postgres.log").read_text(), "it is taken over")
        kill(server)
        assert await ask(dsn, "SELECT max(n) FROM kept") == 7


async def test_the_next_command_adopts_a_server_whose_guard_and_users_were_killed(data: Path) -> None:
    async with user_process(data) as (process, _):
        server = postmaster(data)
        process.kill()
        kill(guards(data)[-1])
        await process.wait()
    await until(lambda: not is_held(located(data).guard), "the guard is dead")
    assert postmaster(data) == server
    async with embedded.running(data, linger=0.0) as dsn:
        assert postmaster(data) == server
        assert await ask(dsn, "SELECT max(n) FROM kept") == 1


@pytest.mark.parametrize("pause", [0.0, 0.1])
async def test_the_last_user_leaves_a_guard_behind_although_it_was_just_killed(data: Path, pause: float) -> None:
    async with embedded.running(data, linger=0.0):
        await asyncio.sleep(pause)
        kill(guards(data)[-1])
        while is_held(located(data).guard):
            pass
    assert await embedded.wait_stopped(data)
    assert len(guards(data)) == 2


async def test_the_next_command_recovers_when_everything_was_killed(data: Path) -> None:
    async with user_process(data) as (process, dsn):
        await ask(dsn, "INSERT INTO kept VALUES (9)")
        process.kill()
        kill(guards(data)[-1])
        kill(postmaster(data))
        await process.wait()
    async with embedded.running(data, linger=0.0) as dsn:
        assert await ask(dsn, "SELECT max(n) FROM kept") == 9


async def test_guard_and_server_killed_under_a_living_user_both_come_back(data: Path) -> None:
    async with embedded.running(data, linger=0.0) as dsn:
        kill(guards(data)[-1])
        kill(postmaster(data))
        assert await ask(dsn, "SELECT max(n) FROM kept") == 1
        assert len(guards(data)) == 2


async def test_the_server_stops_when_its_last_user_is_killed_and_not_before(data: Path) -> None:
    async with user_process(data) as (first, _), user_process(data) as (second, dsn):
        server = postmaster(data)
        first.kill()
        await first.wait()
        await asyncio.sleep(3 * LINGER)
        assert postmaster(data) == server
        assert await ask(dsn, "SELECT max(n) FROM kept") == 1
        second.kill()
        await second.wait()
        assert await embedded.wait_stopped(data)
        assert "database system is shut down" in (data / "postgres.log").read_text().splitlines()[-2]


async def test_many_users_at_once_make_one_server(tmp_path: Path) -> None:
    data = tmp_path / "new"

    async def use() -> object:
        async with embedded.running(data, linger=LINGER) as dsn:
            return await ask(dsn, "SELECT pg_postmaster_start_time()")

    async with user_process(data) as (_, dsn):
        uses = [use() for _ in range(8)]
        starts = await asyncio.gather(*uses)
        assert {await ask(dsn, "SELECT pg_postmaster_start_time()")} == set(starts)
    assert await embedded.wait_stopped(data)


async def test_processes_that_start_at_once_in_a_new_folder_share_one_server(tmp_path: Path) -> None:
    data = tmp_path / "new"

    async def use() -> object:
        async with user_process(data) as (_, dsn):
            start = await ask(dsn, "SELECT pg_postmaster_start_time()")
            await barrier.wait()
            return start

    barrier = asyncio.Barrier(4)
    assert len(set(await asyncio.gather(*(use() for _ in range(4))))) == 1
    log = (data / "postgres.log").read_text()
    assert log.count("database system is ready to accept connections") == 1
    assert await embedded.wait_stopped(data)


async def test_a_user_that_comes_while_the_server_stops_gets_a_new_one(data: Path) -> None:
    for _ in range(3):
        async with embedded.running(data, linger=0.0) as dsn:
            assert await ask(dsn, "SELECT max(n) FROM kept") == 1
        await asyncio.sleep(0.1)


async def test_a_creation_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    data = tmp_path / "new"
    start = asyncio.create_task(_use(data))
    await until(lambda: any(data.glob("postgres/cluster.new-*/PG_VERSION")), "initdb has begun")
    kill(guards(data)[-1])
    assert await start == 1
    assert await embedded.wait_stopped(data)
    assert await _use(data) == 1
    assert not any(data.glob("postgres/cluster.new-*"))
    assert await embedded.wait_stopped(data)


async def _use(data: Path) -> object:
    async with embedded.running(data, linger=0.0) as dsn:
        return await ask(dsn, "SELECT 1")


async def test_a_stale_pid_file_that_names_another_process_does_not_hinder(data: Path) -> None:
    stale = data / "postgres" / "cluster" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n1\n5432\n/nowhere\n\n  1  1\nready   \n")
    async with embedded.running(data, linger=0.0) as dsn:
        assert await ask(dsn, "SELECT max(n) FROM kept") == 1


async def test_a_long_path_puts_the_socket_into_a_short_private_folder(made: Path, tmp_path: Path) -> None:
    data = copy(made, tmp_path / ("long" * 20) / "it's, here")
    async with embedded.running(data, linger=0.0) as dsn:
        socket = located(data).socket()
        assert not socket.is_relative_to(data)
        assert _mode(socket) == 0o700
        kill(postmaster(data))
        assert await ask(dsn, "SELECT max(n) FROM kept") == 1
        assert located(data).socket() == socket
    assert await embedded.wait_stopped(data)
    assert not socket.exists()
