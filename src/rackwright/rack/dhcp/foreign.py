"""Looking for DHCP servers that are not ours: a question from a machine that does not exist, and who answers it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket

from rackwright.core.dhcp_packet import DISCOVER, OFFER, SERVER_IDENTIFIER, Message, broadcast_frame, from_frame

LISTEN = 4.0
"""Seconds in which a server answers: some first look whether the address is free."""

_ALL_PROTOCOLS = 0x0003


async def servers_on(interface: str, seconds: float = LISTEN) -> set[str]:
    """Addresses of all DHCP servers that offer something on this interface. Raises OSError when it cannot be used.

    Needs the right to send raw packets.
    """
    asked = Message(DISCOVER, secrets.randbits(32), _nobody(), options={55: bytes([1, 3, 6])})
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    with contextlib.closing(opened):
        opened.setblocking(False)
        opened.bind((interface, 0))
        opened.send(broadcast_frame(asked))
        found: set[str] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    frame = await asyncio.get_running_loop().sock_recv(opened, 2048)
                    found |= _server(from_frame(frame), asked.transaction)
        return found


def _nobody() -> bytes:
    """An Ethernet address of nobody: unicast, locally given."""
    return bytes([0x02]) + secrets.token_bytes(5)


def _server(message: Message | None, transaction: int) -> set[str]:
    if message is None or not message.reply or message.kind != OFFER or message.transaction != transaction:
        return set()
    server = message.options.get(SERVER_IDENTIFIER, b"")
    return {socket.inet_ntoa(server)} if len(server) == 4 else set()
