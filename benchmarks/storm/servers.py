"""Who serves the storm: a rack's door as the product runs it, and nginx with the same files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import msgspec
import structlog

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import NotFound
from rackwright.core.images import ImageFile, Manifest
from rackwright.core.machine_messages import Register
from rackwright.core.served import Delta, ServedNode, ServedRack
from rackwright.rack.desk import AgentDesk
from rackwright.rack.door.app import build
from rackwright.rack.door.inside import Inside
from rackwright.rack.door.server import bind, opened
from rackwright.rack.images import ImageCache, Piece
from rackwright.rack.region import Enlisted, Observation
from rackwright.rack.relay import Relay
from rackwright.rack.replica import Replica

PATIENCE = 30.0
"""Seconds for a server to begin."""


class Region:
    """The region, as far as a storm needs it: it knows one image, whose files the rack has already."""

    def __init__(self, image: Manifest) -> None:
        self.image = image

    async def manifest(self, name: str) -> Manifest:
        """The one image."""
        return self.image

    def image_file(self, sha256: str, offset: int) -> AbstractAsyncContextManager[Piece]:
        """Everything is in the cache."""
        raise NotFound(f"{sha256} is not in the cache")

    async def enlist(self, register: Register) -> Enlisted:
        """All machines are known."""
        raise NotFound("this machine is not known")

    async def observed(self, items: Sequence[Observation]) -> None:
        """Nobody wants to know."""


def image_of(folder: Path) -> Manifest:
    """The image whose kernel and ramdisk are in the folder."""
    files = []
    for part in ("kernel", "ramdisk"):
        data = (folder / part).read_bytes()
        files.append({"name": part, "part": part, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return Manifest(
        name="discovery", version="1", kind="discovery", files=msgspec.convert(files, tuple[ImageFile, ...])
    )


async def serve(folder: Path, nodes: int) -> None:
    """Open a rack's door until SIGTERM. It prints its port, then a token a line."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    image, stop = image_of(folder), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    region, cache = Region(image), folder / "cache"
    images = ImageCache(str(cache), region)
    for file in image.files:
        shutil.copyfile(folder / file.name, cache / file.sha256)
        await images.file(file.sha256)
    replica = Replica(str(folder / "replica"))
    bootenv = Bootenv(kind="discovery", request="storm")
    known = tuple(ServedNode(id=id, name=f"n{id}", macs=(mac(id),), bootenv=bootenv) for id in range(1, nodes + 1))
    await replica.apply(Delta(after=-1, generation=1, full=True, rack=ServedRack(name="r1"), nodes=known))
    relay, desk = Relay(region, str(folder / "told")), AgentDesk(str(folder / "agents"))
    behind = Inside(replica=replica, images=images, desk=desk, relay=relay, registry=region)
    listening = bind("127.0.0.1", 0)
    async with opened(build(behind), listening):
        print(listening.getsockname()[1], *(replica.token(node) for node in known), sep="\n", flush=True)
        await stop.wait()


def mac(node: int) -> str:
    """The Ethernet address of a machine."""
    return f"52:54:00:{node >> 16 & 255:02x}:{node >> 8 & 255:02x}:{node & 255:02x}"


@contextmanager
def door(folder: Path, nodes: int) -> Iterator[tuple[subprocess.Popen[str], int, list[str]]]:
    """A rack's door in a process of its own: the process, its port, and the tokens of its machines."""
    command = [sys.executable, "-m", "benchmarks.boot_storm", "--serve", str(folder), "--machines", str(nodes)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        if process.stdout is None:
            raise RuntimeError("the door says nothing")
        port = int(process.stdout.readline())
        yield process, port, [process.stdout.readline().strip() for _ in range(nodes)]
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The peer as Debian builds it, with one worker for each processor: the process and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes auto; error_log {folder}/nginx.log; pid {folder}/nginx.pid;
user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}; }}
}}
""",
        encoding="utf-8",
    )
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield process, port
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def resident(process: int) -> int:
    """Bytes of memory that a process holds now."""
    fields = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def worked(process: int) -> float:
    """Seconds of the processor that a process and its children have used."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    ticks = 0
    for id in (str(process), *children):
        fields = Path(f"/proc/{id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
