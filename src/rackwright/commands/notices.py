"""What a process tells the one that started it: that it is ready, still alive, about to end (sd_notify(3)).

The starter is systemd, which names a socket in NOTIFY_SOCKET, or our own master, which hands down one end of a pair of
sockets. Without either nothing is told.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import MutableMapping

FD = "RACKWRIGHT_NOTIFY_FD"
"""In the environment of a worker: the descriptor on which its master listens."""
PULSE = 5.0
"""Seconds between two signs of life to a master."""


class Notices:
    """The way to the starter; ``every`` are the seconds between two signs of life, None when none are wanted."""

    def __init__(self, channel: socket.socket | None = None, every: float | None = None) -> None:
        self._channel = channel
        self._every = every

    @classmethod
    def found(cls, environment: MutableMapping[str, str]) -> Notices:
        """The way that the environment names. It is taken out: processes that this one starts are not meant."""
        inherited, named = environment.pop(FD, ""), environment.pop("NOTIFY_SOCKET", "")
        span, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        if inherited:
            return cls(socket.socket(fileno=int(inherited)), PULSE)
        if not named:
            return cls()
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        channel.setblocking(False)
        channel.connect(f"\0{named[1:]}" if named.startswith("@") else named)
        watched = span.isdigit() and pid in ("", str(os.getpid()))
        return cls(channel, int(span) / 2e6 if watched else None)

    def ready(self, status: str) -> None:
        """It serves from now on, or again after a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """It reads its settings anew; ``ready`` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """It is about to end."""
        self._send("STOPPING=1\nSTATUS=finishes what is under way")

    async def live(self) -> None:
        """Tell for ever that the loop goes round."""
        while self._every is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._every)

    def close(self) -> None:
        """Tell nothing any more."""
        if self._channel is not None:
            self._channel.close()

    def _send(self, text: str) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(text.encode())
        except OSError:
            # Who does not listen any more need not be told.
            return
