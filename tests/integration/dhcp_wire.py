"""A network namespace of a test's own with a wire in it, and a machine at its end that asks for an address."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

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
    """The namespace, with the rack's end (``rack0``, 10.77.0.1/24) and the machine's end (``machine0``)."""

    namespace: str

    def within(self, *command: str) -> None:
        """Run a command in the namespace."""
        run("ip", "netns", "exec", self.namespace, *command)

    async def ask(self, mac: str, *, interface: str = "machine0", relay: str = "", **said: str) -> dict[str, Any]:
        """What a machine with this Ethernet address is offered; {} when nobody answers. ``said`` are options: ``arch``
        (a number), ``vendor``, ``user``. With ``relay`` the question comes from a relay of that address."""
        asked = json.dumps({"mac": mac, "interface": interface, "relay": relay, **said})
        command = ["ip", "netns", "exec", self.namespace, sys.executable, "-m", "tests.integration.dhcp_wire", asked]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        found: dict[str, Any] = json.loads((await process.communicate())[0])
        return found

    async def firmware(self, mac: str, arch: int, **more: str) -> dict[str, Any]:
        """What the firmware of such an architecture is offered."""
        vendor = f"{'HTTPClient' if arch == 16 else 'PXEClient'}:Arch:{arch:05}"
        return await self.ask(mac, arch=str(arch), vendor=vendor, **more)

    async def ipxe(self, mac: str, **more: str) -> dict[str, Any]:
        """What iPXE is offered."""
        return await self.firmware(mac, 0, user="iPXE", **more)


@contextlib.contextmanager
def wire(*, carrier: bool = True) -> Iterator[Wire]:
    """A wire that is gone afterwards, with all that was left running in its namespace."""
    made = Wire(f"rwtest{os.getpid()}n{next(_numbers)}")
    run("ip", "netns", "add", made.namespace)
    try:
        made.within("ip", "link", "set", "lo", "up")
        made.within("ip", "link", "add", "rack0", "type", "veth", "peer", "name", "machine0")
        made.within("ip", "addr", "add", "10.77.0.1/24", "dev", "rack0")
        made.within("ip", "link", "set", "rack0", "up")
        if carrier:
            made.within("ip", "link", "set", "machine0", "up")
        yield made
    finally:
        left = subprocess.run(["ip", "netns", "pids", made.namespace], capture_output=True, check=False, text=True)
        for pid in left.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        run("ip", "netns", "del", made.namespace)


@contextlib.asynccontextmanager
async def inside(made: Wire) -> AsyncIterator[None]:
    """Let this thread, and what it starts, be in the namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{made.namespace}", os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(home)
        os.close(home)
        os.close(there)


def _enter(namespace: int) -> None:
    import ctypes

    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).setns(namespace, clone_newnet) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ask(asked: dict[str, str]) -> dict[str, Any]:
    from rackwright.rack.dhcp.packet import DISCOVER, Message, broadcast_frame, decode, from_frame

    mac = bytes.fromhex(asked["mac"].replace(":", ""))
    options = {55: bytes([1, 3, 6, 12, 15, 43, 60, 66, 67])}
    if "arch" in asked:
        options[93] = int(asked["arch"]).to_bytes(2, "big")
    if "vendor" in asked:
        options[60] = asked["vendor"].encode()
    if "user" in asked:
        options[77] = asked["user"].encode()
    question = Message(DISCOVER, 0x1234, mac, relay=asked["relay"] or "0.0.0.0", options=options)
    if asked["relay"]:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((asked["relay"], 67))
        opened.sendto(question.encode(), ("10.77.0.1", 67))
        read = decode
    else:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        opened.bind((asked["interface"], 0))
        opened.send(broadcast_frame(question))
        read = from_frame
    opened.settimeout(1.5)
    with contextlib.closing(opened), contextlib.suppress(TimeoutError):
        while True:
            message = read(opened.recv(4096))
            if message is not None and message.reply and message.transaction == question.transaction:
                return {
                    "address": message.yours,
                    "server": message.server,
                    "file": message.file,
                    **{str(code): data.decode("latin-1").rstrip("\0") for code, data in message.options.items()},
                }
    return {}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_ask(json.loads(sys.argv[1]))))
