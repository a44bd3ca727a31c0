"""DHCP messages and the Ethernet frames that carry them (RFC 2131, RFC 2132, RFC 791, RFC 768)."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
SERVER_PORT, CLIENT_PORT = 67, 68

MESSAGE_TYPE, SERVER_IDENTIFIER = 53, 54
"""Codes of options."""

_COOKIE = b"\x63\x82\x53\x63"
_FIXED = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_NOWHERE = str(ipaddress.IPv4Address(0))
_BROADCAST = b"\xff" * 6
_IPV4, _UDP = 0x0800, 17


@dataclass(frozen=True)
class Message:
    """A DHCP message. ``options`` holds the bytes of each by code; of one that comes in pieces, all of them."""

    kind: int
    transaction: int
    mac: bytes
    reply: bool = False
    client: str = _NOWHERE
    yours: str = _NOWHERE
    server: str = _NOWHERE
    relay: str = _NOWHERE
    file: str = ""
    options: dict[int, bytes] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The message as it goes into a datagram; whoever asks wants the answer by broadcast."""
        fixed = _FIXED.pack(
            2 if self.reply else 1, 1, 6, 0, self.transaction, 0, 0x8000,
            *(ipaddress.IPv4Address(address).packed for address in (self.client, self.yours, self.server, self.relay)),
            self.mac, b"", self.file.encode(),
        )  # fmt: skip
        options = {MESSAGE_TYPE: bytes([self.kind]), **self.options}
        body = b"".join(bytes([code, len(data)]) + data for code, data in options.items())
        return (fixed + _COOKIE + body + b"\xff").ljust(300, b"\0")


def decode(data: bytes) -> Message | None:
    """The message in a datagram; None when it is none."""
    if len(data) < _FIXED.size + 4 or data[_FIXED.size : _FIXED.size + 4] != _COOKIE:
        return None
    op, _, length, _, transaction, _, _, client, yours, server, relay, mac, _, file = _FIXED.unpack_from(data)
    options = _options(data[_FIXED.size + 4 :])
    kind = options.pop(MESSAGE_TYPE, b"\0")
    return Message(
        kind=kind[0] if kind else 0,
        transaction=transaction,
        mac=mac[: min(length, 16)],
        reply=op == 2,
        client=_spelled(client),
        yours=_spelled(yours),
        server=_spelled(server),
        relay=_spelled(relay),
        file=file.split(b"\0", 1)[0].decode("latin-1"),
        options=options,
    )


def _spelled(packed: bytes) -> str:
    return str(ipaddress.IPv4Address(packed))


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > len(data):
            break
        code, length = data[at], data[at + 1]
        found[code] = found.get(code, b"") + data[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def broadcast_frame(message: Message) -> bytes:
    """The Ethernet frame in which a machine without an address sends this to everybody."""
    payload = message.encode()
    datagram = struct.pack("!HHHH", CLIENT_PORT, SERVER_PORT, 8 + len(payload), 0) + payload
    nobody, everybody = bytes(4), b"\xff" * 4
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, _UDP, 0, nobody, everybody)
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return _BROADCAST + message.mac[:6] + struct.pack("!H", _IPV4) + header + datagram


def from_frame(frame: bytes) -> Message | None:
    """The message in an Ethernet frame that goes to a client; None when there is none."""
    if len(frame) < 42 or frame[12:14] != struct.pack("!H", _IPV4) or frame[23] != _UDP:
        return None
    start = 14 + (frame[14] & 15) * 4
    if len(frame) < start + 8 or struct.unpack_from("!H", frame, start + 2)[0] != CLIENT_PORT:
        return None
    return decode(frame[start + 8 :])


def _checksum(header: bytes) -> int:
    total = sum(int(word) for (word,) in struct.iter_unpack("!H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
