"""How a lab is spoken to: its control socket, and the connections that are carried into it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from rackwright.cli.client import Client
from rackwright.cli.settings import Settings
from rackwright.commands import lab_control, lab_timeline
from rackwright.commands.lab_forward import Forward
from rackwright.commands.lab_site import Ground
from rackwright.core.errors import Conflict, InvalidInput, Permanent
from rackwright.sim import wires
from rackwright.sim.qemu import found, missing


async def answer(asked: dict[str, Any]) -> Any:
    if asked["what"] == "wrong":
        raise InvalidInput("that is wrong", mend="ask something else")
    return {"heard": asked}


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Path]:
    server = await lab_control.serve(tmp_path / "control", answer)
    yield tmp_path / "control"
    server.close()


async def test_the_keeper_answers_what_it_is_asked(control: Path) -> None:
    told = await asyncio.to_thread(lab_control.ask, control, "power", machine="m1")
    assert told == {"heard": {"what": "power", "machine": "m1"}}


async def test_what_the_keeper_refuses_is_told_with_its_remedy(control: Path) -> None:
    with pytest.raises(Conflict, match="that is wrong") as caught:
        await asyncio.to_thread(lab_control.ask, control, "wrong")
    assert caught.value.mend == "ask something else"


async def test_only_its_owner_may_speak_to_the_keeper(control: Path) -> None:
    assert control.stat().st_mode & 0o777 == 0o600


def test_a_keeper_that_does_not_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="the lab does not run"):
        lab_control.ask(tmp_path / "control", "status")


async def test_connections_are_carried_both_ways_until_both_sides_have_ended() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    inside = await asyncio.start_server(echo, "127.0.0.1", 0)
    listening = socket.create_server(("127.0.0.1", 0))
    place = listening.getsockname()
    forward = Forward(listening, *inside.sockets[0].getsockname())
    await forward.open()
    reader, writer = await asyncio.open_connection(*place)
    writer.write(b"carry me" * 10_000)
    writer.write_eof()
    assert await reader.read() == b"CARRY ME" * 10_000
    writer.close()
    forward.close()
    inside.close()


async def test_a_connection_to_nobody_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = nobody.getsockname()
    listening = socket.create_server(("127.0.0.1", 0))
    forward = Forward(listening, *gone)
    place = listening.getsockname()
    await forward.open()
    reader, writer = await asyncio.open_connection(*place)
    assert await reader.read() == b""
    writer.close()
    forward.close()


def test_a_timeline_puts_what_console_and_rack_say_in_order(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    happenings = [("on", 100.0), ("start", 100.5), ("script", 105.0)]
    lines = [{"machine": "m1", "what": what, "at": at, "device": "network"} for what, at in happenings]
    ground.happenings.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    said = {"ts": "1970-01-01T00:01:49+00:00", "service": "rack", "event": "agent registered", "node": "m1"}
    ground.log.write_text(f"no JSON\n{json.dumps(said | {'system': 'discovery'})}\n{json.dumps({'event': 'boot'})}\n")
    nobody = Client(Settings("http://127.0.0.1:9", "token"))
    told = lab_timeline.of_machine(lab_timeline.moments(ground, nobody), "m1")
    nobody.close()
    words = [moment.what for moment in told]
    assert words == ["on", "firmware starts, tries network", "script", "registered: discovery"]
    assert lab_timeline.until(told, "registered: discovery") == 9.0


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
def test_only_the_switch_answers_for_the_racks_address() -> None:
    namespace = f"rackwright-test-{os.getpid()}"
    if (lacking := missing(wires.NEEDED)) or not _can_lay(namespace):
        pytest.skip(f"no namespaces, bridges or taps here ({lacking or 'the kernel refuses'})")
    try:
        words = wires.inside(namespace, [found("ip"), "-json", "link"])
        links = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    finally:
        wires.tear(namespace)
    quiet = {link["ifname"] for link in links if "NOARP" in link["flags"]}
    assert f"{wires.SPARE}0" in quiet
    assert wires.SWITCH not in quiet


def _can_lay(namespace: str) -> bool:
    try:
        wires.lay(namespace, IPv4Interface("10.98.0.1/24"), IPv4Interface("10.98.1.1/24"), ["tap0"])
    except Permanent:
        wires.tear(namespace)
        return False
    return True
