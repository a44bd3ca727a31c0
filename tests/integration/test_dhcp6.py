"""DHCPv6 as a rack answers it, over a wire between two network namespaces."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from msgspec import structs

from rackwright.core.dhcp import Answers, Host
from rackwright.core.served import Network, ServedNic
from rackwright.rack.dhcp.kea6 import Kea6
from rackwright.sim.namespaces import entered
from tests.integration.dhcp_wire import Wire, inside, require, wire

SIX = Network(cidr="fd00:77::/64", address="fd00:77::1", dynamic=("fd00:77::1:0", "fd00:77::1:ff"))
MAC, OTHER, STRANGER = "52:54:00:00:00:07", "52:54:00:00:00:08", "52:54:00:00:00:99"
SOLICIT, ADVERTISE, REQUEST, REPLY = 1, 2, 3, 7
CLIENT, SERVER, IA_NA, IA_ADDRESS = 1, 2, 3, 5


def host(id: int, mac: str, address: str) -> Host:
    return Host(id, f"n{id}", (), None, f"t{id}", (ServedNic(mac=mac, addresses=("10.77.0.9", address), name="s"),))


def answers(*hosts: Host) -> Answers:
    return Answers(networks=(SIX,), hosts={each.id: each for each in hosts}, interfaces={"fd00:77::1": "rack0"})


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Wire]:
    require("kea-dhcp6")
    with wire() as made:
        made.within("ip", "address", "add", "fd00:77::1/64", "dev", "rack0", "nodad")
        made.beyond("ip", "address", "add", "fe80::7/64", "dev", "machine0", "nodad")
        # Until duplicate address detection is over, the rack's own link-local address cannot be used.
        while "tentative" in made.shown("ip", "-6", "address", "show", "dev", "rack0"):
            await asyncio.sleep(0.05)
        async with inside(made.rack):
            yield made


async def test_each_is_given_its_own_address_and_a_stranger_one_of_the_range(line: Wire, tmp_path: Path) -> None:
    kea = Kea6(str(tmp_path))
    await kea.answer(answers(host(7, MAC, "fd00:77::7")))
    assert await asyncio.to_thread(given, line, MAC) == "fd00:77::7"
    assert ipaddress.ip_address(await asyncio.to_thread(given, line, STRANGER)) in ipaddress.ip_network(
        "fd00:77::1:0/120"
    )
    await kea.close()


async def test_an_address_that_moves_is_given_to_its_new_owner_at_once(line: Wire, tmp_path: Path) -> None:
    kea = Kea6(str(tmp_path))
    await kea.answer(answers(host(7, MAC, "fd00:77::7"), host(8, OTHER, "fd00:77::8")))
    assert await asyncio.to_thread(given, line, MAC) == "fd00:77::7"
    moved = answers(host(7, MAC, "fd00:77::9"), host(8, OTHER, "fd00:77::7"))
    await kea.answer(moved, {7, 8})
    assert await asyncio.to_thread(given, line, OTHER) == "fd00:77::7"
    assert await asyncio.to_thread(given, line, MAC) == "fd00:77::9"
    await kea.answer(structs.replace(moved, networks=()), set())
    assert await asyncio.to_thread(given, line, MAC) == ""
    await kea.close()


def given(line: Wire, mac: str) -> str:
    """The address that a machine asks for and is given; empty: none."""
    with entered(line.machine), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"machine0")
        asking.bind(("fe80::7", 546, 0, socket.if_nametoindex("machine0")))
        offered = asked(asking, SOLICIT, mac, b"")
        if not offered:
            return ""
        answered = asked(asking, REQUEST, mac, option(SERVER, offered[SERVER]) + option(IA_NA, offered[IA_NA]))
        address = options(answered[IA_NA][12:]).get(IA_ADDRESS, b"") if answered else b""
        return str(ipaddress.IPv6Address(address[:16])) if address else ""


def asked(asking: socket.socket, kind: int, mac: str, more: bytes) -> dict[int, bytes]:
    """The options of what is answered (RFC 8415); none when nobody does."""
    client = struct.pack("!HH", 3, 1) + bytes.fromhex(mac.replace(":", ""))
    wanted = more or option(IA_NA, struct.pack("!III", 1, 0, 0))
    message = struct.pack("!I", kind << 24 | 0x1234) + option(CLIENT, client) + wanted + option(8, bytes(2))
    asking.settimeout(1.5)
    for _ in range(2):
        asking.sendto(message, ("ff02::1:2", 547, 0, socket.if_nametoindex("machine0")))
        try:
            return options(asking.recv(2048)[4:])
        except TimeoutError:
            continue
    return {}


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 4:
        code, length = struct.unpack_from("!HH", data)
        found[code] = data[4 : 4 + length]
        data = data[4 + length :]
    return found
