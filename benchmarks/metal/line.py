"""A wire between two network namespaces of a benchmark's own: the rack's end, and the end of its machines."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from rackwright.core.dhcp_packet import DISCOVER, Message, decode
from rackwright.core.served import Network
from rackwright.sim.namespaces import entered

NETWORK = Network(cidr="10.128.0.0/9", address="10.128.0.1", dynamic=("10.255.0.1", "10.255.63.254"))
RELAY = "10.128.0.2"
"""The address of the machines' end, from which they ask as behind a relay."""
FIRST_NODE = int(ipaddress.IPv4Address("10.129.0.1"))
FIRST_MAC = 0x525400000000
_numbers = itertools.count()


def quiet() -> None:
    """Let the product's log say only what is wrong."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def address(number: int) -> str:
    """The address of a node by its number."""
    return str(ipaddress.IPv4Address(FIRST_NODE + number))


def mac(number: int) -> str:
    """Its Ethernet address."""
    return (FIRST_MAC + number).to_bytes(6, "big").hex(":")


@dataclass(frozen=True)
class Line:
    """Both ends by name."""

    rack: str
    machine: str

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Let this thread, and what it starts, be at the rack's end."""
        with entered(self.rack):
            yield

    def perfdhcp(self, *options: str, patience: float) -> str:
        """Run perfdhcp at the machines' end; gives what it says."""
        command = ["ip", "netns", "exec", self.machine, "perfdhcp", "-4", *options, NETWORK.address]
        return subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False).stdout

    @contextlib.contextmanager
    def questions(self) -> Iterator[Questions]:
        """A socket of a relay at the machines' end."""
        with entered(self.machine):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind((RELAY, 67))
        with opened:
            yield Questions(opened)


class Questions:
    """Asks for addresses."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._transaction = 0

    def offered(self, number: int, patience: float = 0.025) -> str:
        """Which address a node is offered; empty: none in time."""
        self._transaction += 1
        question = Message(DISCOVER, self._transaction, bytes.fromhex(mac(number).replace(":", "")), relay=RELAY)
        self._socket.sendto(question.encode(), (NETWORK.address, 67))
        end = time.perf_counter() + patience
        while (left := end - time.perf_counter()) > 0:
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                answer = decode(self._socket.recv(4096))
                if answer is not None and answer.reply and answer.transaction == self._transaction:
                    return answer.yours
        return ""


@contextlib.contextmanager
def line() -> Iterator[Line]:
    """Make a wire; all is gone afterwards, with what was left running at its ends. Needs root."""
    name = f"rwbench{os.getpid()}n{next(_numbers)}"
    made = Line(f"{name}r", f"{name}m")
    for name in (made.rack, made.machine):
        _run("ip", "netns", "add", name)
    try:
        bits = NETWORK.cidr.partition("/")[2]
        link = ("link", "add", "rack0", "type", "veth", "peer", "name", "machine0", "netns", made.machine)
        _run("ip", "-n", made.rack, *link)
        for namespace, device, own in ((made.rack, "rack0", NETWORK.address), (made.machine, "machine0", RELAY)):
            _run("ip", "-n", namespace, "address", "add", f"{own}/{bits}", "dev", device)
            _run("ip", "-n", namespace, "link", "set", device, "up")
            _run("ip", "-n", namespace, "link", "set", "lo", "up")
        yield made
    finally:
        for name in (made.rack, made.machine):
            _clear(name)
            _run("ip", "netns", "delete", name)


def _clear(name: str) -> None:
    for pid in map(int, _run("ip", "netns", "pids", name).split()):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
