"""The machines' end of a rack's cable: they ask for addresses there, frame by frame, as real ones do (RFC 2131)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Address

from rackwright.core.dhcp_packet import (
    ACK,
    DISCOVER,
    OFFER,
    REQUEST,
    SERVER_IDENTIFIER,
    Message,
    broadcast_frame,
    from_frame,
)

REQUESTED_ADDRESS = 50
"""Code of an option."""
PATIENCE = (4.0, 8.0, 16.0, 32.0)
"""Seconds that firmware waits for an answer before it asks once more; after the last it gives up (Preboot Execution
Environment 2.1, section 2.2.3)."""

_IPV4 = 0x0800
_FRAME = 2048

Question = Callable[[], Awaitable[bool]]
"""What becomes of the next question, in its time: False when it is lost."""


class Wire:
    """All machines of a rack on one interface; needs the right to send raw packets. Close it at the end."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4))
        self._socket.setblocking(False)
        self._socket.bind((interface, 0))
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._hear)

    def close(self) -> None:
        """Hear nothing more."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    async def lease(self, question: Message, goes: Question) -> Message | None:
        """Ask for an address, take the first that is offered, and have it acknowledged; None: nobody answers.
        ``question`` is the DISCOVER; no two that are under way may have the same transaction."""
        for patience in PATIENCE:
            lost = not await goes()
            offer = await self._asked(question, patience, lost=lost)
            if offer is None or offer.kind != OFFER:
                continue
            wanted = {
                REQUESTED_ADDRESS: IPv4Address(offer.yours).packed,
                SERVER_IDENTIFIER: offer.options.get(SERVER_IDENTIFIER, b""),
            }
            request = replace(question, kind=REQUEST, options={**question.options, **wanted})
            given = await self._asked(request, patience)
            if given is not None and given.kind == ACK:
                return given
        return None

    async def _asked(self, message: Message, patience: float, *, lost: bool = False) -> Message | None:
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[message.transaction] = answer
        try:
            if not lost:
                with contextlib.suppress(OSError):
                    self._socket.send(broadcast_frame(message))
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[message.transaction]

    def _hear(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                message = from_frame(self._socket.recv(_FRAME))
                answer = self._waiting.get(message.transaction) if message is not None and message.reply else None
                if message is not None and answer is not None and not answer.done():
                    answer.set_result(message)


def discover(transaction: int, mac: bytes, options: dict[int, bytes]) -> Message:
    """The question of a machine that has no address."""
    return Message(DISCOVER, transaction & 0xFFFFFFFF, mac, options=options)
