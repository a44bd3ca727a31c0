"""Who may come in: the handler that ZeroMQ asks about every connection to a server socket (RFC 27 of ZeroMQ, ZAP)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import zmq
from zmq.utils import z85

from rackwright.load.distributed.channel import Channel

PLACE = "inproc://zeromq.zap.01"
"""Where ZeroMQ asks; set by RFC 27."""
_VERSION = b"1.0"


class Door:
    """Lets in those who prove that they have one of these keys; ``refused`` gets the address and key of all others."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], keys: Iterable[str], refused: Callable[[str, str], None]
    ) -> None:
        self._keys = {z85.decode(key) for key in keys}
        self._refused = refused
        socket = context.socket(zmq.REP)
        socket.bind(PLACE)
        self._channel = Channel(socket, self._answer)

    def close(self) -> None:
        """Let nobody in any more."""
        self._channel.close()

    def _answer(self, frames: Sequence[bytes]) -> None:
        _, request, _, address, _, mechanism, *credentials = frames
        known = mechanism == b"CURVE" and credentials[0] in self._keys
        code, text = (b"200", b"OK") if known else (b"400", b"unknown key")
        if not known:
            key = z85.encode(credentials[0]).decode() if mechanism == b"CURVE" else ""
            self._refused(address.decode(), key)
        self._channel.send(_VERSION, request, code, text, b"", b"")
