"""Two processes of a rack on two hosts of one VLAN: the host that works has the rack's addresses, and what one has
given to a stranger the other gives to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rackwright.cli.client import Client
from rackwright.cli.settings import Settings
from rackwright.commands.demo_machine import patiently
from rackwright.sim.namespaces import entered
from tests.acceptance.rack_process import RackProcess
from tests.acceptance.site import PATIENCE, Site, eventually
from tests.acceptance.troublemakers import Wire as Relay
from tests.integration.dhcp_wire import Wire, pids_in, require, run

pytestmark = pytest.mark.slow

MAC = "52:54:00:00:00:07"
ADDRESS = "10.77.0.1"
NETWORK = {
    "cidr": "10.77.0.0/24", "address": ADDRESS, "interface": "rack0", "dynamic": ["10.77.0.100", "10.77.0.120"],
}  # fmt: skip
STRANGERS = [f"52:54:00:00:01:{number:02x}" for number in range(6)]


class Vlan:
    """A namespace with a bridge, in which the region is (10.77.0.250), and three more at its ports: two hosts, each
    with an interface ``rack0``, and machines."""

    def __init__(self, name: str) -> None:
        self.lan, self.hosts, self.machine = f"{name}l", (f"{name}a", f"{name}b"), f"{name}m"
        for namespace in (self.lan, *self.hosts, self.machine):
            run("ip", "netns", "add", namespace)
            self.within(namespace, "ip", "link", "set", "lo", "up")
        self.within(self.lan, "ip", "link", "add", "bridge0", "type", "bridge", "forward_delay", "0")
        self.within(self.lan, "ip", "address", "add", "10.77.0.250/24", "dev", "bridge0")
        self.within(self.lan, "ip", "link", "set", "bridge0", "up")
        for port, (namespace, interface, address) in enumerate(
            [(self.hosts[0], "rack0", 11), (self.hosts[1], "rack0", 12), (self.machine, "machine0", 254)]
        ):
            self._plug(port, namespace, interface, f"10.77.0.{address}/24")

    def within(self, namespace: str, *command: str) -> None:
        """Run a command there."""
        run("ip", "netns", "exec", namespace, *command)

    def cut(self, host: int) -> None:
        """Take a host off the wire; its interface does not notice."""
        self.within(self.lan, "ip", "link", "set", f"port{host}", "nomaster")

    def mend(self, host: int) -> None:
        """Put it back."""
        self.within(self.lan, "ip", "link", "set", f"port{host}", "master", "bridge0")

    def has_address(self, host: int) -> bool:
        """Whether a host has the rack's address."""
        command = ["ip", "netns", "exec", self.hosts[host], "ip", "-brief", "address", "show", "rack0"]
        return f" {ADDRESS}/" in subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def servers(self, host: int) -> list[str]:
        """The programs that run on a host, but for the rack's own."""
        names = []
        for pid in pids_in(self.hosts[host]):
            with contextlib.suppress(OSError):
                names.append(Path(f"/proc/{pid}/comm").read_text().strip())
        return [name for name in names if name.startswith(("kea", "pdns", "dnsmasq"))]

    def end(self) -> None:
        """Take it all away."""
        for namespace in (*self.hosts, self.machine, self.lan):
            for pid in pids_in(namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            run("ip", "netns", "del", namespace)

    def _plug(self, port: int, namespace: str, interface: str, address: str) -> None:
        end = f"port{port}"
        self.within(self.lan, "ip", "link", "add", end, "type", "veth", "peer", "name", interface, "netns", namespace)
        self.within(self.lan, "ip", "link", "set", end, "master", "bridge0", "up")
        self.within(namespace, "ip", "address", "add", address, "dev", interface)
        self.within(namespace, "ip", "link", "set", interface, "up")


class Hosts:
    """The rack h1 on both hosts, and its machines."""

    def __init__(self, site: Site, vlan: Vlan, folder: Path) -> None:
        self.vlan = vlan
        token = folder / "token"
        site.run("rack", "add", "h1", "--save", str(token))
        site.client.patch("/racks/h1", {"facts": {"desired.rack.networks": [NETWORK]}})
        site.client.post("/nodes", [{"name": "n7", "rack": "h1", "address": "10.77.0.7"}])
        site.client.patch("/nodes/n7", {"facts": {"desired.macs": [MAC]}})
        self.relay = Relay(int(site.client.server.rpartition(":")[2]), "10.77.0.250")
        self._line = Wire(vlan.hosts[0], vlan.machine)
        self._rack = Client(Settings(server=str(site.client.server), token=token.read_text().strip()))
        self._start = (f"http://10.77.0.250:{self.relay.port}", folder, token)
        self.processes = [self._begin(0)]
        self.answers(0)
        self.processes.append(self._begin(1))
        eventually(lambda: self.processes[1].said("this one stands by"), "the second stands by")

    def offered(self) -> dict[str, Any]:
        """What the machine n7 is offered."""
        return asyncio.run(self._line.ipxe(MAC))

    def given(self, stranger: str) -> str:
        """The address that a stranger asks for and is given."""
        return asyncio.run(self._line.lease(stranger))

    def answers(self, host: int) -> None:
        """Wait until this host answers: a lease after the last question of the other that the region still hears."""
        end = time.monotonic() + 2 * PATIENCE
        while f"{ADDRESS}:{8481 + host}/boot/" not in self.offered().get("67", ""):
            assert time.monotonic() < end, f"host {host} does not answer"

    def are_known(self, given: dict[str, str]) -> None:
        """Wait until the region knows of these addresses that were given."""

        def known() -> bool:
            leases = patiently(lambda: self._rack.get("/racks/h1/leases", seat="another one"))["items"]
            return {lease["address"] for lease in leases} >= set(given.values())

        eventually(known, f"the region knows of {given}")

    def end(self) -> None:
        for process in self.processes:
            process.end()
        self._rack.close()
        self.relay.end()

    def _begin(self, host: int) -> RackProcess:
        api, folder, token = self._start
        within = ("ip", "netns", "exec", self.vlan.hosts[host])
        return RackProcess(api, folder / f"host{host}", token, 8481 + host, within, ("--carry-addresses", "--no-dns"))


@pytest.fixture(scope="module")
def vlan() -> Iterator[Vlan]:
    require("kea-dhcp4", "setpriv")
    made = Vlan(f"rwhosts{os.getpid()}")
    yield made
    made.end()


@pytest.fixture(scope="module")
def hosts(vlan: Vlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with entered(vlan.lan):
        site = Site(tmp_path_factory.mktemp("site").resolve())
        made = Hosts(site, vlan, tmp_path_factory.mktemp("h1"))
        yield made
        made.end()
        site.end()


def test_a_host_that_dies_is_followed_by_the_other_with_its_addresses_and_its_leases(hosts: Hosts) -> None:
    vlan = hosts.vlan
    assert (vlan.has_address(0), vlan.has_address(1)) == (True, False)
    given = {stranger: hosts.given(stranger) for stranger in STRANGERS[:3]}
    assert len(set(given.values()) - {""}) == 3
    hosts.are_known(given)
    hosts.processes[0].kill()
    eventually(lambda: vlan.servers(0) == [], "its servers have died with it")
    hosts.answers(1)
    assert (vlan.has_address(0), vlan.has_address(1)) == (False, True)
    assert hosts.offered()["address"] == "10.77.0.7"
    assert hosts.given(STRANGERS[3]) not in {"", *given.values()}
    assert {stranger: hosts.given(stranger) for stranger in given} == given


def test_a_host_that_is_cut_off_falls_silent_by_itself_when_it_comes_back_to_the_wire(hosts: Hosts) -> None:
    vlan = hosts.vlan
    hosts.processes[0].start()
    eventually(lambda: not hosts.processes[0].held.exists(), "the first stands by")
    given = {stranger: hosts.given(stranger) for stranger in STRANGERS[:5]}
    assert len(set(given.values()) - {""}) == 5
    hosts.are_known(given)
    vlan.cut(1)
    hosts.answers(0)
    assert hosts.given(STRANGERS[5]) not in {"", *given.values()}
    # It still works for those who are cut off with it, if there are any: it cannot know more.
    assert vlan.has_address(1)
    hosts.relay.stall()
    vlan.mend(1)
    # Nobody but the other host could tell it.
    eventually(lambda: (vlan.has_address(0), vlan.has_address(1)) == (True, False), "one of them gives way")
    eventually(lambda: vlan.servers(1) == [], "its servers are stopped")
    hosts.relay.flow()
    assert {stranger: hosts.given(stranger) for stranger in given} == given
    hosts.answers(0)
