"""The peer: the same machines, kernel, ramdisk, agent and image, with dnsmasq and one small HTTP server, no more.

It runs inside of a network namespace: ``python -m benchmarks.metal.bare JOB`` with a job as JSON, and prints the
moments of one machine as JSON: seconds since power-on, by name.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from rackwright.sim import qemu, wires
from rackwright.sim.machine import Machine
from rackwright.sim.shape import Shape

ADDRESS, PORT = "10.77.0.1", 8480
DOOR = f"http://{ADDRESS}:{PORT}"
LONGEST = 900.0
"""Seconds for a machine to get there."""
PIECE = 1 << 20
POLL = 2.0
"""Seconds for which an agent waits for work."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: the machine, the files to serve by name, the kernel's arguments, and how the disk is written
    (the parameters of the agent's action ``write-image``; None: only the inventory is waited for)."""

    shape: Shape
    folder: str
    files: dict[str, str]
    arguments: str
    writing: dict[str, Any] | None = None


class Peer:
    """What the HTTP server knows: the job, what has happened, and what the agent shall do next."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.moments: dict[str, float] = {}
        self.changed = threading.Condition()
        self.written = False
        self.work: list[dict[str, Any]] = []

    def note(self, name: str) -> None:
        """It has happened now; only the first time counts."""
        with self.changed:
            self.moments.setdefault(name, time.time())
            self.changed.notify_all()

    def script(self) -> str:
        """What iPXE shall do."""
        if self.written:
            local = "iseq ${platform} efi && exit 1 || sanboot --no-describe --drive 0x80"
            return f"#!ipxe\n{local}\n"
        words = f"initrd=ramdisk BOOTIF=01-${{netX/mac:hexhyp}} {self.job.arguments} rackwright.door={DOOR}"
        more = "rackwright.token=bare rackwright.system=discovery"
        return (
            f"#!ipxe\nkernel --name kernel {DOOR}/kernel {words} {more}\ninitrd --name ramdisk {DOOR}/ramdisk\nboot\n"
        )

    def answer(self, path: str, said: dict[str, Any]) -> dict[str, Any]:
        """The answer to an agent's message, in the words of ``core.machine_messages``."""
        if path == "/agent/register":
            self.note("registered")
            if said.get("inventory"):
                self.note("inventory")
            if self.job.writing is not None and not self.written and not self.work:
                self.work = [_task(1, "write-image", self.job.writing)]
            return {"node": self.job.shape.name, "token": "bare", "heartbeat": 10.0, "clock": time.time()}
        if path == "/agent/poll":
            return {"tasks": self._next(set(map(tuple, said.get("running", [])))), "cancel": []}
        if path == "/agent/result" and said["id"] == 1:
            assert said["outcome"] == "ok", said
            self.note("image written")
            self.written = True
            self.work = [_task(2, "reboot", {"delay": 0})]
        if path == "/agent/home":
            self.note("first boot")
        return {}

    def _next(self, running: set[Any]) -> list[dict[str, Any]]:
        with self.changed:
            if not self.work:
                self.changed.wait(POLL)
            work, self.work = [task for task in self.work if (task["id"], 1) not in running], []
            return work


def _task(number: int, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "attempt": 1, "action": action, "parameters": parameters, "files": {}, "timeout": LONGEST}


def _requests(peer: Peer) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].lstrip("/")
            if name == "boot.ipxe":
                peer.note("script")
                self._send(peer.script().encode())
            elif name in peer.job.files:
                peer.note(name)
                self._file(Path(peer.job.files[name]))
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            self._send(json.dumps(peer.answer(self.path, said)).encode(), "application/json")

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

        def _send(self, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _file(self, path: Path) -> None:
            size = path.stat().st_size
            first = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - first))
            self.end_headers()
            with path.open("rb") as file:
                file.seek(first)
                while piece := file.read(PIECE):
                    self.wfile.write(piece)

    return Requests


def _dnsmasq(folder: Path) -> subprocess.Popen[bytes]:
    stage = "/usr/lib/ipxe"
    words = [
        *("--keep-in-foreground", "--port=0", f"--interface={wires.SWITCH}", "--bind-interfaces", "--user=root"),
        *("--conf-file=/dev/null", "--pid-file=", f"--dhcp-leasefile={folder / 'leases'}"),
        *("--dhcp-range=10.77.0.100,10.77.0.200,1h", "--enable-ra"),
        *(f"--dhcp-range=::,constructor:{wires.SWITCH},ra-only", "--enable-tftp", f"--tftp-root={stage}"),
        *("--dhcp-match=set:ipxe,175", "--dhcp-match=set:efi,93,7"),
        *(f"--dhcp-boot=tag:ipxe,{DOOR}/boot.ipxe", "--dhcp-boot=tag:efi,tag:!ipxe,snponly.efi"),
    ]  # fmt: skip
    return subprocess.Popen([qemu.found("dnsmasq"), *words], stderr=subprocess.DEVNULL)


async def run(job: Job) -> dict[str, float]:
    """Boot the machine of the job; gives its moments in seconds since power-on."""
    peer, folder = Peer(job), Path(job.folder)
    machine = Machine(job.shape, folder / job.shape.name)
    await machine.make()
    server = ThreadingHTTPServer((ADDRESS, PORT), _requests(peer))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    dnsmasq = _dnsmasq(folder)
    try:
        began = time.time()
        await machine.on()
        last = "inventory" if job.writing is None else "first boot"
        async with asyncio.timeout(LONGEST):
            while last not in peer.moments:
                await asyncio.sleep(0.05)
    finally:
        await machine.off()
        dnsmasq.terminate()
        dnsmasq.wait()
        server.shutdown()
    return {name: round(at - began, 2) for name, at in peer.moments.items()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(msgspec.json.decode(sys.argv[1], type=Job)))))
