"""What the region is told before simulated racks begin: images of a few bytes, and the racks with their networks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import msgspec

from rackwright.cli.client import Client
from rackwright.cli.exits import ServerProblem
from rackwright.core.errors import Conflict
from rackwright.core.images import ImageFile, ImageKind, Manifest, Part
from rackwright.sim.shape import GIB

SYSTEM = "simulated"
"""The image that machines are told to get."""
DISCOVERY = "discovery"
PARTS: dict[str, tuple[ImageKind, tuple[Part, ...]]] = {
    DISCOVERY: ("discovery", ("kernel", "ramdisk")),
    SYSTEM: ("disk", ("disk",)),
}
SPACE = IPv4Network("10.0.0.0/8")
"""Racks take their networks from here, one after the other. Nobody's interface has any of these addresses."""
FIRST_HOST = 10
"""Numbers below this are the rack's own in its network."""
CONFLICT = 409
PIECE = 1 << 20
"""About so many bytes are sent at a time."""


def rack_name(number: int) -> str:
    """The name of a simulated rack, from 1 up."""
    return f"sim{number:04d}"


def network(number: int, machines: int) -> dict[str, Any]:
    """The network of a rack that has so many machines, as ``desired.rack.networks`` names it (``served.Network``)."""
    prefix = min(24, 32 - (2 * machines + FIRST_HOST + 1).bit_length())
    size = 1 << 32 - prefix
    net = IPv4Network((int(SPACE[0]) + number * size, prefix))
    static, dynamic = (net[FIRST_HOST], net[-2 - machines]), (net[-1 - machines], net[-2])
    return {"cidr": str(net), "address": str(net[1]), "static": [*map(str, static)], "dynamic": [*map(str, dynamic)]}


def address(number: int, machines: int) -> IPv4Interface:
    """The address of such a rack, with the size of its network."""
    given = network(number, machines)
    return IPv4Interface(f"{given['address']}/{IPv4Network(given['cidr']).prefixlen}")


def bring_images(client: Client, size: int = 0) -> None:
    """Bring in those of the images that the region does not have. Their files hold nothing that would boot: so many
    bytes each, or a line that says so."""
    for name, (kind, parts) in PARTS.items():
        if client.has(f"/images/{name}"):
            continue
        files = tuple(_file(client, name, part, size) for part in parts)
        properties = {"root": 1} if kind == "disk" else {}
        client.post("/images", msgspec.to_builtins(_manifest(name, kind, files, properties)))


def admit(client: Client, folder: Path, number: int, machines: int) -> str:
    """See to it that the region knows a rack and its network; gives the rack's token, which ``folder`` keeps. Raises
    Conflict when the rack is known, and its token is not here."""
    name, file = rack_name(number), folder / rack_name(number)
    if not file.exists():
        try:
            token = client.post("/racks", {"name": name})["token"]
        except ServerProblem as problem:
            if problem.status != CONFLICT:
                raise
            mend = "give the --data of the simulator that made it, or delete the rack"
            raise Conflict(f"there is a rack {name}, and its token is not here", where=str(folder), mend=mend) from None
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as opened:
            opened.write(token)
    # Also of a rack that is known: the last start may have ended in between.
    facts = {"desired.rack.networks": [network(number, machines)], "desired.rack.auto_accept": True}
    client.patch(f"/racks/{name}", {"facts": facts})
    return file.read_text(encoding="ascii").strip()


def _file(client: Client, image: str, part: Part, size: int) -> ImageFile:
    line = f"the {part} of {image}: nothing in it\n".encode()
    size = size or len(line)
    digest = hashlib.sha256()
    for piece in _pieces(line, size):
        digest.update(piece)
    sha256 = digest.hexdigest()
    client.upload(f"/images/files/{sha256}", _pieces(line, size), size)
    raw: dict[str, Any] = {"raw_bytes": max(GIB, size), "raw_sha256": sha256} if part == "disk" else {}
    return ImageFile(name=part, part=part, bytes=size, sha256=sha256, **raw)


def _pieces(line: bytes, size: int) -> Iterator[bytes]:
    """The line again and again, so many bytes of it."""
    block = line * (PIECE // len(line) + 1)
    for left in range(size, 0, -len(block)):
        yield block[:left]


def _manifest(name: str, kind: ImageKind, files: tuple[ImageFile, ...], properties: dict[str, Any]) -> Manifest:
    return Manifest(name=name, version="1", kind=kind, files=files, properties=properties)
