"""A network namespace of a test's own with a wire in it, and a machine at its end that asks for an address."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rackwright.core.dhcp_packet import (
    ACK,
    DISCOVER,
    REQUEST,
    SERVER_IDENTIFIER,
    Message,
    broadcast_frame,
    decode,
    from_frame,
)
from rackwright.sim.namespaces import entered

PATIENCE = 5.0
"""Seconds for an answer; who has none by then is answered by nobody. On a busy host a server is slow."""

_numbers = itertools.count()


def require(*programs: str) -> None:
    """Skip the test where it cannot run, and say why."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes a network namespace")
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in ("ip", *programs) if not any(os.path.exists(f"{d}/{name}") for d in path.split(":"))]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@dataclass(frozen=True)
class Wire:
    """Two namespaces with a wire between them: the rack's (``rack0``, 10.77.0.1/24) and the machine's (``machine0``,
    10.77.0.254/24, and behind it 10.88.0.1/24)."""

    rack: str
    machine: str

    def within(self, *command: str) -> None:
        """Run a command on the rack's side."""
        run("ip", "netns", "exec", self.rack, *command)

    def shown(self, *command: str) -> str:
        """What a command says on the rack's side."""
        words = ("ip", "netns", "exec", self.rack, *command)
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def beyond(self, *command: str) -> None:
        """Run a command on the machine's side."""
        run("ip", "netns", "exec", self.machine, *command)

    async def ask(self, mac: str, *, relay: str = "", **said: str) -> dict[str, Any]:
        """What a machine with this Ethernet address is offered; {} when nobody answers. ``said`` are options: ``arch``
        (a number), ``vendor``, ``user``. With ``lease`` it says what it is given, by asking for what was offered or is
        ``wanted``. With ``relay`` the question comes from a relay of that address."""
        asked = json.dumps({"mac": mac, "relay": relay, **said})
        command = ["ip", "netns", "exec", self.machine, sys.executable, "-m", "tests.integration.dhcp_wire", asked]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        found: dict[str, Any] = json.loads((await process.communicate())[0])
        return found

    async def lease(self, mac: str) -> str:
        """The address that a machine is offered, asks for and is given; empty when it is given none."""
        return str((await self.ask(mac, lease="yes")).get("address", ""))

    async def firmware(self, mac: str, arch: int, **more: str) -> dict[str, Any]:
        """What the firmware of such an architecture is offered."""
        vendor = f"{'HTTPClient' if arch == 16 else 'PXEClient'}:Arch:{arch:05}"
        return await self.ask(mac, arch=str(arch), vendor=vendor, **more)

    async def ipxe(self, mac: str, **more: str) -> dict[str, Any]:
        """What iPXE is offered."""
        return await self.firmware(mac, 0, user="iPXE", **more)


@contextlib.contextmanager
def wire(*, carrier: bool = True) -> Iterator[Wire]:
    """A wire that is gone afterwards, with all that was left running in its namespaces."""
    name = f"rwtest{os.getpid()}n{next(_numbers)}"
    made = Wire(f"{name}r", f"{name}m")
    run("ip", "netns", "add", made.rack)
    run("ip", "netns", "add", made.machine)
    try:
        made.within("ip", "link", "add", "rack0", "type", "veth", "peer", "name", "machine0", "netns", made.machine)
        for inside, address in ((made.within, "10.77.0.1/24"), (made.beyond, "10.77.0.254/24")):
            inside("ip", "link", "set", "lo", "up")
            inside("ip", "addr", "add", address, "dev", "rack0" if inside == made.within else "machine0")
        made.beyond("ip", "addr", "add", "10.88.0.1/24", "dev", "lo")
        made.within("ip", "link", "set", "rack0", "up")
        if carrier:
            made.beyond("ip", "link", "set", "machine0", "up")
            made.within("ip", "route", "add", "10.88.0.0/24", "via", "10.77.0.254")
        yield made
    finally:
        for namespace in (made.rack, made.machine):
            for pid in pids_in(namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            run("ip", "netns", "del", namespace)


def pids_in(namespace: str) -> list[int]:
    """What runs in a namespace, but for this process."""
    said = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, check=False, text=True).stdout
    return [int(pid) for pid in said.split() if int(pid) != os.getpid()]


@contextlib.asynccontextmanager
async def inside(namespace: str) -> AsyncIterator[None]:
    """Let this thread, and what it starts, be in the namespace."""
    with entered(namespace):
        yield


def asked(line: Wire, mac: str, **said: str) -> dict[str, Any]:
    """The same as ``Wire.ask``, from this very process: quick, and it blocks."""
    with entered(line.machine):
        return _ask({"mac": mac, "relay": "", **said})


def _through_relay(question: Message) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((question.relay, 67))
    opened.sendto(question.encode(), ("10.77.0.1", 67))
    return opened


def _by_broadcast(question: Message) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    opened.bind(("machine0", 0))
    opened.send(broadcast_frame(question))
    return opened


def _ask(asked: dict[str, str]) -> dict[str, Any]:
    mac = bytes.fromhex(asked["mac"].replace(":", ""))
    options = {55: bytes([1, 3, 6, 12, 15, 43, 60, 66, 67])}
    if "arch" in asked:
        options[93] = int(asked["arch"]).to_bytes(2, "big")
    if "vendor" in asked:
        options[60] = asked["vendor"].encode()
    if "user" in asked:
        options[77] = asked["user"].encode()
    question = Message(DISCOVER, 0x1234, mac, relay=asked["relay"] or str(ipaddress.IPv4Address(0)), options=options)
    answer = _answered(question)
    if "lease" in asked and answer is not None:
        wanted = {50: _packed(asked.get("wanted", answer.yours)), 54: answer.options[SERVER_IDENTIFIER]}
        answer = _answered(replace(question, kind=REQUEST, options={**options, **wanted}))
        if answer is not None and answer.kind != ACK:
            return {}
    if answer is None:
        return {}
    return {
        "address": answer.yours,
        "server": answer.server,
        "file": answer.file,
        **{str(code): data.decode("latin-1").rstrip("\0") for code, data in answer.options.items()},
    }


def _packed(address: str) -> bytes:
    return ipaddress.IPv4Address(address).packed


def _answered(question: Message) -> Message | None:
    relayed = question.relay != str(ipaddress.IPv4Address(0))
    opened = _through_relay(question) if relayed else _by_broadcast(question)
    read = decode if relayed else from_frame
    until = time.monotonic() + PATIENCE
    with contextlib.closing(opened), contextlib.suppress(TimeoutError):
        # Other frames come too, and do not prolong it.
        while (left := until - time.monotonic()) > 0:
            opened.settimeout(left)
            message = read(opened.recv(4096))
            if message is not None and message.reply and message.transaction == question.transaction:
                return message
    return None


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_ask(json.loads(sys.argv[1]))))
