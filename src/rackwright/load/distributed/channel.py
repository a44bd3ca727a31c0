"""A ZeroMQ socket on an asyncio loop: what came is drained at one wake-up, what cannot be sent yet waits here.

ZeroMQ's descriptor tells only that something has changed, and only once, so its state is asked after every use (see
zmq_getsockopt(3), ZMQ_FD). Receiving through futures costs fifteen times as much.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import zmq

from rackwright.load.distributed.keys import AgentKeys, ControllerKeys

BATCH = 200
"""Messages that are taken before the loop does something else."""
DOMAIN = b"load"
"""Of the authentication, see RFC 27 of ZeroMQ."""


class Channel:
    """Sends without waiting; ``hear`` gets the frames of everything that comes. Without it nothing is received."""

    def __init__(self, socket: zmq.Socket[bytes], hear: Callable[[Sequence[bytes]], None] | None = None) -> None:
        self.socket = socket
        self._hear = hear
        self._waiting: deque[tuple[bytes, ...]] = deque()
        self._loop = asyncio.get_running_loop()
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._descriptor, self._turn)
        self._again: asyncio.Handle | None = self._loop.call_soon(self._turn)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent."""
        return not self._waiting

    def send(self, *frames: bytes) -> None:
        """Send a message as soon as that can be."""
        self._waiting.append(frames)
        self._flush()
        self._look_again()

    def close(self, linger: float = 0.0) -> None:
        """Close it; what is under way has ``linger`` seconds to go."""
        if self.socket.closed:
            return
        self._flush()
        self._loop.remove_reader(self._descriptor)
        if self._again is not None:
            self._again.cancel()
        self.socket.close(int(linger * 1000))

    def _turn(self) -> None:
        self._again = None
        try:
            if self._hear is not None:
                self._drain(self._hear)
        finally:
            # One word that is not borne must not make it deaf for all others.
            if not self.socket.closed:
                self._flush()
                self._look_again()

    def _drain(self, hear: Callable[[Sequence[bytes]], None]) -> None:
        for _ in range(BATCH):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            hear(frames)
            if self.socket.closed:
                return

    def _flush(self) -> None:
        while self._waiting:
            try:
                self.socket.send_multipart(self._waiting[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            self._waiting.popleft()

    def _look_again(self) -> None:
        wanted = (zmq.POLLIN if self._hear else 0) | (zmq.POLLOUT if self._waiting else 0)
        if self._again is None and int(self.socket.getsockopt(zmq.EVENTS)) & wanted:
            self._again = self._loop.call_soon(self._turn)


def server(context: zmq.Context[zmq.Socket[bytes]], kind: int, keys: ControllerKeys) -> zmq.Socket[bytes]:
    """A socket to be bound, which lets in only whom the door lets in."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    return socket


def client(context: zmq.Context[zmq.Socket[bytes]], kind: int, keys: AgentKeys) -> zmq.Socket[bytes]:
    """A socket to be connected, which speaks only to the controller of its keys."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.setsockopt(zmq.CURVE_SERVERKEY, keys.controller.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
    return socket
