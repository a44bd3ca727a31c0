"""What processes tell the one that started them, over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from rackwright.commands.master import living
from rackwright.commands.notices import FD, Notices
from rackwright.commands.workers import Job, Worker

PATIENCE = 60.0


@pytest.fixture
def systemd(tmp_path: Path) -> socket.socket:
    """A socket as systemd has it."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.settimeout(PATIENCE)
    return listening


def test_systemd_hears_what_happens_and_children_are_not_meant(systemd: socket.socket, tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}
    with systemd:
        notices = Notices.found(environment)
        assert environment == {}
        notices.ready("serves")
        notices.reloading()
        notices.stopping()
        said = [systemd.recv(4096).decode().splitlines() for _ in range(3)]
        notices.close()
    assert said[0] == ["READY=1", "STATUS=serves"]
    assert said[1][0] == "RELOADING=1"
    assert said[1][1].startswith("MONOTONIC_USEC=")
    assert said[2][0] == "STOPPING=1"


async def test_the_loop_gives_signs_of_life_as_often_as_systemd_asks(systemd: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}
    with systemd:
        systemd.setblocking(False)
        async with living(Notices.found(environment)):
            for _ in range(3):
                async with asyncio.timeout(PATIENCE):
                    assert await asyncio.get_running_loop().sock_recv(systemd, 4096) == b"WATCHDOG=1"


async def test_without_a_starter_nothing_is_told_and_nothing_fails() -> None:
    notices = Notices.found({})
    notices.ready("serves")
    async with asyncio.timeout(PATIENCE):
        await notices.live()


async def test_a_starter_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices = Notices.found({FD: str(os.dup(theirs.fileno()))})
    ours.close()
    theirs.close()
    notices.stopping()
    notices.close()


async def test_a_worker_that_gives_no_sign_of_life_is_killed_and_replaced(tmp_path: Path) -> None:
    # `postgres` stays until it is told to end, and gives none.
    job = Job(
        name="mute",
        arguments=("postgres", "--data", str(tmp_path)),
        environment={},
        drain=5.0,
        hung_after=0.5,
    )
    worker = Worker(job, 1)
    try:
        async with asyncio.timeout(PATIENCE):
            while worker.child.pid is None:
                await asyncio.sleep(0.02)
            first = worker.child.pid
            while worker.child.deaths == 0:
                worker.look()
                await asyncio.sleep(0.05)
            while worker.child.pid in (None, first):
                await asyncio.sleep(0.02)
    finally:
        await worker.end()
