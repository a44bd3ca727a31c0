"""What became of an agent's handshakes with its controller: one that fails tells who does not know whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zmq
from zmq.utils.monitor import parse_monitor_message

from rackwright.core.errors import NotAllowed
from rackwright.load.distributed.channel import Channel

ENOUGH = 3
"""Handshakes that fail one after the other: one may, when a controller ends at that moment."""
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class Handshakes:
    """Watches those of a socket; ``refused`` gets why the two will never come together."""

    def __init__(self, socket: zmq.Socket[bytes], address: str, refused: Callable[[NotAllowed], None]) -> None:
        self._socket = socket
        self._address = address
        self._refused = refused
        self._failures = 0
        self._channel = Channel(socket.get_monitor_socket(_EVENTS), self._hear)

    def close(self) -> None:
        """Watch no more."""
        self._socket.disable_monitor()
        self._channel.close()

    def _hear(self, frames: Sequence[bytes]) -> None:
        event = parse_monitor_message(list(frames))["event"]
        self._failures = 0 if event == zmq.EVENT_HANDSHAKE_SUCCEEDED else self._failures + 1
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._refuse(
                "the controller does not know this agent's key",
                "give it the agent.key that was made with the controller.key of the run",
            )
        elif self._failures >= ENOUGH:
            self._refuse(
                "this is not the controller whose key this agent has, or no controller at all",
                "look at the address; give the agent the agent.key of that controller",
            )

    def _refuse(self, what: str, mend: str) -> None:
        self._refused(NotAllowed(what, where=self._address, mend=mend))
