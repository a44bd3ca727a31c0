"""What the switches say of themselves: LLDP (IEEE 802.1AB-2016), heard on raw sockets for a bounded time."""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import ExitStack, suppress
from typing import Any

ETHERTYPE = 0x88CC
GROUPS = (bytes.fromhex("0180c200000e"), bytes.fromhex("0180c2000003"), bytes.fromhex("0180c2000000"))
"""The destination addresses of clause 7.1: nearest bridge, nearest non-TPMR bridge, nearest customer bridge."""
LONGEST = 35.0
"""Seconds: bridges speak every 30."""
_SOL_PACKET, _ADD_MEMBERSHIP, _MULTICAST = 263, 1, 0
_CHASSIS, _PORT, _TTL, _PORT_TEXT, _NAME, _TEXT, _MANAGEMENT, _OWN = 1, 2, 3, 4, 5, 6, 8, 127
_VLAN_OF_PORT = bytes.fromhex("0080c201")
"""Organisation 00-80-C2 (IEEE 802.1), subtype 1: the port's own VLAN."""


def listen(names: list[str], seconds: float = LONGEST) -> dict[str, dict[str, Any]]:
    """Hear the neighbours of these interfaces: by interface name; those that stay silent are left out. It ends as soon
    as all have spoken. Without the right to raw sockets nobody is heard."""
    heard: dict[str, dict[str, Any]] = {}
    with ExitStack() as held:
        ears = {}
        for name in names:
            with suppress(OSError):
                ears[held.enter_context(_ear(name))] = name
        end = time.monotonic() + seconds
        while ears and (left := end - time.monotonic()) > 0:
            for ear in select.select(list(ears), [], [], left)[0]:
                with suppress(OSError, ValueError):
                    heard[ears[ear]] = decode(ear.recv(9216)[14:])
                    del ears[ear]
    return heard


def decode(data: bytes) -> dict[str, Any]:
    """One LLDPDU, without its Ethernet header: chassis, port, names, management address, VLAN. Raises ValueError when
    it is none."""
    told: dict[str, Any] = {}
    at = 0
    while at + 2 <= len(data):
        (head,) = struct.unpack_from("!H", data, at)
        kind, length = head >> 9, head & 0x1FF
        value = data[at + 2 : at + 2 + length]
        if len(value) < length:
            raise ValueError("the LLDP message is cut off")
        if kind == 0:
            break
        told |= _field(kind, value)
        at += 2 + length
    if "chassis" not in told or "port" not in told:
        raise ValueError("the LLDP message names no chassis and port")
    return told


def _ear(name: str) -> socket.socket:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    try:
        ear.bind((name, ETHERTYPE))
        number = socket.if_nametoindex(name)
        for group in GROUPS:
            ear.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("IHH8s", number, _MULTICAST, 6, group))
    except OSError:
        ear.close()
        raise
    return ear


def _field(kind: int, value: bytes) -> dict[str, Any]:
    if kind == _CHASSIS:
        return {"chassis": _id(value, mac=4, network=5)}
    if kind == _PORT:
        return {"port": _id(value, mac=3, network=4)}
    texts = {_PORT_TEXT: "port_description", _NAME: "system", _TEXT: "description"}
    if kind in texts:
        return {texts[kind]: _text(value)}
    if kind == _TTL and len(value) >= 2:
        return {"ttl": int.from_bytes(value[:2], "big")}
    if kind == _MANAGEMENT and len(value) > 2:
        return {"management": _address(value[1 : 1 + value[0]])}
    if kind == _OWN and value[:4] == _VLAN_OF_PORT and len(value) >= 6:
        return {"vlan": int.from_bytes(value[4:6], "big")}
    return {}


def _id(value: bytes, mac: int, network: int) -> str:
    """The first byte says what the others are (clauses 8.5.2.2 and 8.5.3.2)."""
    kind, rest = value[:1], value[1:]
    if kind == bytes([mac]) and len(rest) == 6:
        return rest.hex(":")
    return _address(rest) if kind == bytes([network]) else _text(rest)


def _address(value: bytes) -> str:
    """By the first byte, a family number of IANA: 1 is IPv4, 2 IPv6."""
    with suppress(OSError, ValueError):
        if value[:1] == b"\x01":
            return socket.inet_ntop(socket.AF_INET, value[1:])
        if value[:1] == b"\x02":
            return socket.inet_ntop(socket.AF_INET6, value[1:])
    return value.hex(":")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip("\0 \n")
