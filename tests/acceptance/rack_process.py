"""A rack's processes as tests start, kill and end them, and a rack with two of them on a wire."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query

from rackwright.sim.namespaces import entered
from tests.acceptance.site import PATIENCE, Site, eventually
from tests.integration.dhcp_wire import Wire, require, wire

MAC = "52:54:00:00:00:07"
NETWORK = {
    "cidr": "10.77.0.0/24", "address": "10.77.0.1", "domain": "rack.test",
    "dynamic": ["10.77.0.200", "10.77.0.209"], "lease": 10,
}  # fmt: skip
"""Ten addresses for strangers, each for 10 s."""


class RackProcess:
    """One of the processes of the rack h1, with a folder and a door of its own. ``within``: the command that starts it
    where it is to be; ``more``: further options."""

    def __init__(
        self, api: str, folder: Path, token: Path, port: int, within: Sequence[str] = (), more: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.held = folder / "data" / "seat-held"
        folder.mkdir()
        self._words = [
            *within, sys.executable, "-P", "-m", "rackwright",
            "rack", "run", "--name", "h1", "--api", api, "--token-file", str(token),
            "--data", str(folder / "data"), "--machines", "--no-tftp", "--door-port", str(port), *more,
        ]  # fmt: skip
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Begin; what it says goes behind what it has said before."""
        with (self.folder / "rack.log").open("ab") as log:
            self.process = subprocess.Popen(self._words, stdout=log, stderr=log)
        return self.process

    def said(self, words: str) -> bool:
        """Whether it has ever said this."""
        return words in (self.folder / "rack.log").read_text()

    def kill(self) -> None:
        """Kill it, as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End it in order."""
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0


class ServedRack:
    """The rack h1 with its machine n7, seen from the machine's end of the wire."""

    def __init__(self, site: Site, line: Wire, folder: Path) -> None:
        self.site, self.line = site, line
        token = folder / "token"
        site.run("rack", "add", "h1", "--save", str(token))
        site.client.patch("/racks/h1", {"facts": {"desired.rack.networks": [NETWORK]}})
        site.client.post("/nodes", [{"name": "n7", "rack": "h1", "address": "10.77.0.7"}])
        # It has a system, and boots its own disk.
        site.client.patch("/nodes/n7", {"facts": {"desired.macs": [MAC], "observed.os": {"name": "debian"}}})
        self.first = RackProcess(str(site.client.server), folder / "first", token, 8481)
        self.answers(8481)
        self.second = RackProcess(str(site.client.server), folder / "second", token, 8482)

    def offered(self) -> dict[str, Any]:
        return asyncio.run(self.line.ipxe(MAC))

    def answers(self, port: int, address: str = "10.77.0.7") -> None:
        """Wait until the process with this door answers the machine."""

        def answered() -> bool:
            found = self.offered()
            return found.get("address") == address and f"10.77.0.1:{port}/boot/" in found["67"]

        eventually(answered, f"{address} from the process with the door {port}")

    def address_of(self, name: str, patience: float = 2.0) -> str:
        """What DNS says within so many seconds; empty: nothing."""
        with suppress(OSError, dns.exception.DNSException):
            answer = dns.query.udp(dns.message.make_query(name, "A"), "10.77.0.1", timeout=patience)
            return " ".join(str(item) for part in answer.answer for item in part)
        return ""

    def end(self) -> None:
        """End its processes in order."""
        for process in (self.first, self.second):
            process.end()


@contextmanager
def served_rack(folder: Path) -> Iterator[ServedRack]:
    """The rack on a wire, and its region within the rack's end of it."""
    require("kea-dhcp4", "pdns_server")
    for name in ("site", "h1"):
        (folder / name).mkdir()
    with wire() as line, entered(line.rack):
        site = Site(folder / "site")
        try:
            made = ServedRack(site, line, folder / "h1")
            yield made
            made.end()
        finally:
            site.end()
