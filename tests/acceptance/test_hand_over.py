"""Two processes serve one rack by lease, as whole processes: what machines are answered while they come and go, while
the region is away, and from when."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
import pytest

from rackwright.commands.demo_machine import patiently
from tests.acceptance.site import PATIENCE, Site, eventually
from tests.integration.dhcp_wire import Wire, entered, require, wire

MAC = "52:54:00:00:00:07"
NETWORK = {"cidr": "10.77.0.0/24", "address": "10.77.0.1", "domain": "rack.test"}
AWAY = float(os.environ.get("AWAY_SECONDS", "8"))
"""Seconds for which the region is away."""


class RackProcess:
    """One of the processes of the rack h1, with a folder and a door of its own."""

    def __init__(self, site: Site, folder: Path, token: Path, port: int) -> None:
        self.folder = folder
        self.held = folder / "data" / "seat-held"
        folder.mkdir()
        self._words = [
            "rack", "run", "--name", "h1", "--api", str(site.client.server), "--token-file", str(token),
            "--data", str(folder / "data"), "--machines", "--no-tftp", "--door-port", str(port),
        ]  # fmt: skip
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "rack.log").open("ab") as log:
            command = [sys.executable, "-P", "-m", "rackwright", *self._words]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self.process

    def said(self, words: str) -> bool:
        return words in (self.folder / "rack.log").read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0


class Rack:
    """The rack h1 with its machine n7, seen from the machine's end of the wire."""

    def __init__(self, site: Site, line: Wire, folder: Path) -> None:
        self.site, self._line = site, line
        token = folder / "token"
        site.run("rack", "add", "h1", "--save", str(token))
        site.client.patch("/racks/h1", {"facts": {"desired.rack.networks": [NETWORK]}})
        site.client.post("/nodes", [{"name": "n7", "rack": "h1", "address": "10.77.0.7"}])
        site.client.patch("/nodes/n7", {"facts": {"desired.macs": [MAC]}})
        self.first = RackProcess(site, folder / "first", token, 8481)
        self.answers(8481)
        self.second = RackProcess(site, folder / "second", token, 8482)

    def offered(self) -> dict[str, Any]:
        return asyncio.run(self._line.ipxe(MAC))

    def answers(self, port: int, address: str = "10.77.0.7") -> None:
        """Wait until the process with this door answers the machine."""

        def answered() -> bool:
            found = self.offered()
            return found.get("address") == address and f"10.77.0.1:{port}/boot/" in found["67"]

        eventually(answered, f"{address} from the process with the door {port}")

    def address_of(self, name: str) -> str:
        """What DNS says; empty: nothing."""
        with suppress(OSError, dns.exception.DNSException):
            answer = dns.query.udp(dns.message.make_query(name, "A"), "10.77.0.1", timeout=2)
            return " ".join(str(item) for part in answer.answer for item in part)
        return ""


@pytest.fixture(scope="module")
def line() -> Iterator[Wire]:
    require("kea-dhcp4", "pdns_server")
    with wire() as made, entered(made.rack):
        yield made


@pytest.fixture(scope="module")
def site(line: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site within the rack's end of the wire."""
    made = Site(tmp_path_factory.mktemp("site").resolve())
    yield made
    made.end()


@pytest.fixture(scope="module")
def rack(site: Site, line: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    made = Rack(site, line, tmp_path_factory.mktemp("h1"))
    yield made
    for process in (made.first, made.second):
        process.end()


def test_the_second_process_stands_by_and_takes_over_when_the_first_leaves(rack: Rack) -> None:
    eventually(lambda: rack.second.said("this one stands by"), "the second stands by")
    for _ in range(3):
        rack.answers(8481)
    rack.first.end()
    rack.answers(8482)
    assert rack.address_of("n7.rack.test") == "10.77.0.7"


def test_one_that_is_killed_is_followed_by_the_other_when_its_lease_ends(rack: Rack) -> None:
    rack.first.start()
    eventually(lambda: rack.first.said("this one stands by"), "the first stands by")
    rack.second.kill()
    # Its servers go on until somebody takes over for good.
    assert rack.offered()["address"] == "10.77.0.7"
    eventually(rack.first.held.exists, "the first works for the rack")
    rack.second.start()
    eventually(lambda: not rack.second.held.exists(), "the second stands by")
    rack.answers(8481)
    rack.site.client.patch("/nodes/n7", {"address": "10.77.0.70"})
    rack.answers(8481, "10.77.0.70")
    eventually(lambda: rack.address_of("n7.rack.test") == "10.77.0.70", "DNS")


def test_with_the_region_away_the_rack_answers_also_after_its_own_restart(rack: Rack) -> None:
    def current() -> bool:
        now = patiently(lambda: rack.site.client.get("/racks/h1"))["serving"]
        return bool(now["applied"] == now["generation"])

    eventually(current, "everything is applied")
    api = rack.site.machine.child("api")
    assert api is not None
    os.kill(api, signal.SIGSTOP)
    try:
        rack.first.kill()
        rack.first.start()
        end, asked, silent = time.monotonic() + AWAY, 0, 0
        while time.monotonic() < end:
            asked += 1
            silent += rack.offered().get("address") != "10.77.0.70"
        assert (asked > 1, silent) == (True, 0)
        eventually(lambda: rack.address_of("n7.rack.test") == "10.77.0.70", "DNS after the restart")
    finally:
        os.kill(api, signal.SIGCONT)
    patiently(lambda: rack.site.client.patch("/nodes/n7", {"address": "10.77.0.71"}))
    rack.answers(8481, "10.77.0.71")
