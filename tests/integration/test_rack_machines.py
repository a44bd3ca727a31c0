"""``rackwright rack run --machines`` against an api that knows only the claims loop: the rest of it is away."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rackwright.core.messages import Claim
from tests.integration.jig_conformance import processes_below
from tests.integration.rack_fake_api import FakeApi
from tests.integration.test_rack_loop import RackProcess

QUIET = ("--machines", "--dhcp", "none", "--no-tftp", "--door-host", "127.0.0.1")


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi().serving() as api:
        yield api


@pytest.fixture
async def rack(api: FakeApi, tmp_path: Path) -> AsyncIterator[RackProcess]:
    rack = RackProcess(api, tmp_path)
    yield rack
    if rack.process is not None and rack.process.returncode is None:
        rack.send(signal.SIGTERM)
        rack.send(signal.SIGINT)
        await rack.ended()
    assert processes_below(tmp_path) == []


def claim(number: int, jig: str, **parameters: Any) -> Claim:
    return Claim(
        id=number, attempt=1, revision=1, deployment="dev", task="t", scope="n1", jig=jig, parameters=parameters,
        timeout=1.0,
    )  # fmt: skip


def taken_port() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


async def test_a_rack_that_serves_no_machines_has_no_jigs_for_them_and_says_so(api: FakeApi, rack: RackProcess) -> None:
    await rack.start()
    await api.give(claim(1, "agent", action="inventory"), claim(2, "boot", request="q1"))
    await api.until(lambda: len(api.results) == 2)
    assert {(result.outcome, "has no jig" in result.reason) for result in api.results} == {("failed", True)}


async def test_with_the_region_mute_the_door_answers_and_tasks_say_what_is_missing(
    api: FakeApi, rack: RackProcess
) -> None:
    with taken_port() as taken:
        port = taken.getsockname()[1]
    await rack.start(*QUIET, "--door-port", str(port))
    await api.give(
        claim(1, "agent", action="inventory"), claim(2, "boot", request="q1"), claim(3, "power", action="on")
    )
    await api.until(lambda: len(api.results) == 3)
    reasons = {result.id: (result.outcome, result.reason) for result in api.results}
    assert reasons[1][0] == "retryable"
    assert "no agent in any system came for `inventory` within 1 s" in reasons[1][1]
    assert reasons[2][0] == "retryable"
    assert "within 1 s: the region has not told the rack of this machine" in reasons[2][1]
    assert reasons[3][0] == "failed"
    async with httpx.AsyncClient(trust_env=False) as http:
        script = (await http.get(f"http://127.0.0.1:{port}/boot/ipxe?mac=52:54:00:00:00:01")).text
    assert "no discovery system for this machine (52:54:00:00:00:01)" in script
    rack.send(signal.SIGTERM)
    assert await rack.ended() == 0


async def test_a_door_whose_port_is_taken_ends_the_rack_with_the_reason(api: FakeApi, rack: RackProcess) -> None:
    with taken_port() as taken:
        port = taken.getsockname()[1]
        await rack.start(*QUIET, "--door-port", str(port))
        assert await rack.ended() == 1
    (line,) = rack.said("the door cannot listen there")
    assert f"127.0.0.1:{port}" in line["event"]
    assert "--door-port" in line["event"]


async def test_two_racks_do_not_serve_machines_from_one_folder(api: FakeApi, rack: RackProcess, tmp_path: Path) -> None:
    await rack.start(*QUIET, "--door-port", "0")
    async with asyncio.timeout(60):
        while not rack.log.exists() or not rack.said("door is open"):
            await asyncio.sleep(0.1)
    second = RackProcess(api, tmp_path)
    await second.start(*QUIET, "--door-port", "0")
    assert await second.ended() == 1
    assert second.said("another process works in this data folder")
