"""Heartbeats from a thread of its own: a busy loop does not make an agent look dead, and a dead loop is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import zmq

from rackwright.load.distributed.channel import client
from rackwright.load.distributed.keys import AgentKeys
from rackwright.load.distributed.messages import Beat, pack

EVERY = 1.0
"""Seconds between beats."""


class Beats:
    """Beats on the channel of seconds from ``start`` to ``close``."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: AgentKeys, address: str, session: str) -> None:
        self._socket = client(context, zmq.PUSH, keys)
        self._socket.connect(address)
        self._session = session
        self._turned = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeats", daemon=True)
        self._turning: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; the loop's turns are told too."""
        self._turn()
        self._thread.start()

    def close(self) -> None:
        """End, within one beat."""
        if self._turning is not None:
            self._turning.cancel()
        self._over.set()
        self._thread.join()

    def _turn(self) -> None:
        self._turned = time.monotonic()
        self._turning = asyncio.get_running_loop().call_later(EVERY / 2, self._turn)

    def _beat(self) -> None:
        while not self._over.is_set():
            # Where nobody is there to hear it, the next one may be heard.
            with contextlib.suppress(zmq.Again):
                self._socket.send(pack(Beat(self._session, time.monotonic() - self._turned)), zmq.NOBLOCK)
            self._over.wait(EVERY)
        self._socket.close(0)
