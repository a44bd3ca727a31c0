"""Machines that boot all at once: each asks for its script, its kernel and its ramdisk, one after the other.

One process drives them all by epoll. What is only to be counted is thrown away by the kernel (``MSG_TRUNC`` of tcp(7)),
so that the machines take little of the processor from who serves them.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

HEADER = 65536
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
STUCK = 60.0
"""Seconds without a single byte after which the storm is given up."""


class Stormed(NamedTuple):
    """What a storm came to: seconds, bytes of bodies, answers, and of each machine when it was through."""

    seconds: float
    bytes: int
    answers: int
    through: list[float]


class _Machine:
    """One machine on one connection."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.socket = socket.socket()
        self.paths = list(paths)
        self.left = 0
        """Bytes of the body that are still to come."""
        self.head = b""

    def ask(self) -> None:
        """Ask for the next file."""
        path = self.paths.pop(0)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: rack\r\n\r\n".encode())
        self.head = b""

    def take(self, scratch: bytearray) -> int:
        """Take what there is; gives how many bytes of a body those were. Raises ``OSError`` when the other is gone."""
        if self.left:
            got = self.socket.recv_into(scratch, min(self.left, len(scratch)), socket.MSG_TRUNC)
            if not got:
                raise ConnectionResetError("the connection was closed amid a file")
            self.left -= got
            return got
        self.head += self.socket.recv(HEADER)
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return 0
        status, length = self.head.split(b" ", 2)[1], LENGTH.search(self.head[: end + 2])
        if status != b"200" or length is None:
            raise ConnectionResetError(f"an answer that was not expected: {self.head[:200]!r}")
        got = len(self.head) - end - 4
        self.left = int(length[1]) - got
        return got


def storm(port: int, machines: Iterable[Sequence[str]]) -> Stormed:
    """Let machines fetch these paths of a server on loopback, all at the same time."""
    watching, scratch = selectors.EpollSelector(), bytearray(1 << 22)
    booting = [_Machine(paths) for paths in machines]
    began = time.perf_counter()
    total, answers, through = 0, 0, list[float]()
    for machine in booting:
        machine.socket.connect(("127.0.0.1", port))
        machine.ask()
        machine.socket.setblocking(False)
        watching.register(machine.socket, selectors.EVENT_READ, machine)
    while len(through) < len(booting):
        ready = watching.select(STUCK)
        if not ready:
            raise TimeoutError("nobody serves the machines any more")
        for key, _ in ready:
            machine = key.data
            total += machine.take(scratch)
            if machine.left or not machine.head.count(b"\r\n\r\n"):
                continue
            answers += 1
            if machine.paths:
                machine.ask()
                continue
            through.append(time.perf_counter() - began)
            watching.unregister(machine.socket)
            machine.socket.close()
    return Stormed(time.perf_counter() - began, total, answers, through)
