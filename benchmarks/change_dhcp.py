"""Milliseconds from the change of a node's address in the API until DHCP answers with it, by the size of a rack.

`rackwright up --machines` runs in a network namespace with its database, api, conductor and one rack of NODES nodes,
whose names DNS answers too. One node after the other is given another address by an operator's request; then a machine
asks for an address again and again until it is offered that one. The time is that from before the request until the
offer.

All sizes have sites of their own, which run at once; the changes go round them in turn, so that whatever else the
machine does meets all alike. Kea alone is the peer: the time that it takes to be told the configuration of as many
hosts anew, which is what a change costs without rows. Without ``--nodes`` it measures 100, 10,000 and 100,000 nodes and
prints the ratio of the medians.

    python benchmarks/change_dhcp.py --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.dhcp import answers
from benchmarks.metal.line import NETWORK, Line, Questions, address, line, mac, quiet
from rackwright.cli.client import Client
from rackwright.cli.settings import read_settings
from rackwright.commands.demo_machine import patiently
from rackwright.rack.dhcp.kea import Kea
from rackwright.store import embedded

SIZES = (100, 10_000, 100_000)
BATCH = 2000
WARM_UP = 3
STORM = 10_000
"""Changes at once."""
ASIDE = 1 << 20
"""So far from its first address is the one that a node is given."""
PATIENCE = 900.0
"""Seconds for a rack to answer for all its nodes."""
LATE = 30.0
"""Seconds after which a change counts as lost."""


@contextmanager
def site(data: Path) -> Iterator[Client]:
    """A site with one rack that serves machines; gives the api as an operator sees it."""
    environment = {**os.environ, "RACKWRIGHT_DATA": str(data)}
    command = [sys.executable, "-P", "-m", "rackwright", "up", "--machines", "--racks", "r1"]
    with open(data / "up.log", "wb") as log:
        up = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            while not (data / "client.toml").exists():
                if up.poll() is not None:
                    sys.exit(f"change_dhcp: the site does not start: {(data / 'up.log').read_text()[-500:]}")
                time.sleep(0.1)
            client = Client(read_settings(None, None, {"RACKWRIGHT_DATA": str(data)}))
            patiently(lambda: client.get("/racks/r1"))
            yield client
            client.close()
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(120)


def seed(client: Client, nodes: int) -> None:
    """The rack's network, and its nodes with their addresses."""
    network = msgspec.to_builtins(msgspec.structs.replace(NETWORK, domain="bench.test"))
    client.patch("/racks/r1", {"facts": {"desired.rack.networks": [network]}})
    for first in range(0, nodes, BATCH):
        part = range(first, min(first + BATCH, nodes))
        client.post("/nodes", [{"name": f"n{n}", "rack": "r1", "address": address(n)} for n in part])
        facts = [{"name": f"n{n}", "facts": {"desired.macs": [mac(n)]}} for n in part]
        client.patch("/nodes", {"items": facts})


def until_offered(questions: Questions, number: int, wanted: str, patience: float) -> None:
    """Wait until a node is offered this address."""
    end = time.perf_counter() + patience
    while questions.offered(number) != wanted:
        if time.perf_counter() > end:
            sys.exit(f"change_dhcp: {wanted} is not offered within {patience:g} s")
        time.sleep(0.001)


def until_answered(client: Client, questions: Questions, nodes: int) -> float:
    """Wait until the rack answers for all its nodes; gives the seconds."""
    began = time.perf_counter()
    until_offered(questions, nodes - 1, address(nodes - 1), PATIENCE)
    while (now := client.get("/racks/r1")["serving"])["applied"] != now["generation"]:
        time.sleep(0.2)
    return time.perf_counter() - began


class Rack:
    """A site with so many nodes on its rack."""

    def __init__(self, nodes: int, wire: Line, client: Client, questions: Questions) -> None:
        self.nodes, self.wire, self.client, self.questions = nodes, wire, client, questions
        self.times: list[float] = []
        self.requests: list[float] = []

    def change(self, turn: int, of: int) -> None:
        """Give one more node another address, and note how long that took."""
        number = turn * self.nodes // of
        wanted = address(number + ASIDE + turn // self.nodes)
        began = time.perf_counter()
        self.client.patch(f"/nodes/n{number}", {"address": wanted})
        asked = time.perf_counter()
        until_offered(self.questions, number, wanted, LATE)
        self.times.append((time.perf_counter() - began) * 1000)
        self.requests.append((asked - began) * 1000)

    def result(self) -> dict[str, Any]:
        """What came out; and a storm of changes at the end."""
        with self.wire.inside():
            effect = self.client.get("/racks/r1")["serving"]["effect"]
            stormed = storm(self.client, self.questions, min(self.nodes, STORM))
        times = sorted(self.times)
        return {
            "nodes": self.nodes, "p50_ms": statistics.median(times), "p99_ms": times[int(len(times) * 0.99)],
            "request_p50_ms": statistics.median(self.requests), "effect_s": effect,
            "storm": min(self.nodes, STORM), "storm_s": stormed,
        }  # fmt: skip


def storm(client: Client, questions: Questions, count: int) -> float:
    """Seconds from the first of so many changes, as fast as the api takes them, until the rack answers with the last;
    each node gets another Ethernet address."""
    began = time.perf_counter()
    for first in range(0, count, BATCH):
        part = range(first, min(first + BATCH, count))
        facts = [{"name": f"n{n}", "facts": {"desired.macs": [mac(n + ASIDE)]}} for n in part]
        client.patch("/nodes", {"items": facts})
    wanted = client.get(f"/nodes/n{count - 1}")["address"]
    until_offered(questions, count - 1 + ASIDE, wanted, PATIENCE)
    return time.perf_counter() - began


async def told_anew(folder: Path, nodes: int) -> float:
    """Milliseconds in which Kea takes a whole configuration with so many hosts."""
    kea = Kea(str(folder))
    try:
        known = answers(nodes)
        await kea.answer(known)
        moved = msgspec.structs.replace(known.hosts[0], address=address(ASIDE))
        began = time.perf_counter()
        await kea.answer(msgspec.structs.replace(known, hosts={**known.hosts, 0: moved}), {0})
        return (time.perf_counter() - began) * 1000
    finally:
        await kea.close()


@contextmanager
def rack(nodes: int) -> Iterator[Rack]:
    """A rack that answers for so many nodes."""
    with line() as wire, tempfile.TemporaryDirectory(prefix="change-dhcp-") as name, wire.questions() as questions:
        with wire.inside(), site(Path(name)) as client:
            began = time.perf_counter()
            seed(client, nodes)
            waited = until_answered(client, questions, nodes)
            known = time.perf_counter() - began - waited
            print(f"{nodes} nodes: known after {known:.0f} s, answered {waited:.1f} s later")
            yield Rack(nodes, wire, client, questions)
        # What was killed could have come back to it; nothing was.
        asyncio.run(embedded.wait_stopped(Path(name) / "racks" / "r1" / "machines" / "dhcp" / "hosts"))


def peer(nodes: int) -> float:
    """Milliseconds in which Kea alone takes a change."""
    with line() as wire, tempfile.TemporaryDirectory(prefix="change-dhcp-") as name, wire.inside():
        return asyncio.run(told_anew(Path(name), nodes))


def measured(sizes: list[int], changes: int) -> list[dict[str, Any]]:
    """What came out for each size."""
    with ExitStack() as stack:
        racks = [stack.enter_context(rack(nodes)) for nodes in sizes]
        for turn in range(WARM_UP + changes):
            for each in racks:
                with each.wire.inside():
                    each.change(turn, WARM_UP + changes)
        for each in racks:
            del each.times[:WARM_UP], each.requests[:WARM_UP]
        return [each.result() for each in racks]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, help="one size only; without it 100, 10,000 and 100,000")
    parser.add_argument("--changes", type=int, default=100, help="how many changes are timed")
    parser.add_argument("--small", action="store_true", help="a quick look: 100 and 1,000 nodes, 30 changes")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    given.changes = 30 if given.small else given.changes
    given.sizes = [given.nodes] if given.nodes else [100, 1000] if given.small else list(SIZES)
    return given


def main() -> None:
    """Measure all sizes and print what came out."""
    given = arguments()
    if os.geteuid() != 0:
        sys.exit("change_dhcp: it makes network namespaces, and needs root for that")
    quiet()
    shown = measured(given.sizes, given.changes)
    for size in shown:
        size["whole_configuration_ms"] = peer(size["nodes"])
        said = (
            "{nodes} nodes: p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms; Kea told anew {whole_configuration_ms:.0f} ms; "
        )
        print((said + "{storm} changes at once: {storm_s:.1f} s").format(**size))
    ratio = shown[-1]["p50_ms"] / shown[0]["p50_ms"]
    print(f"the largest takes {ratio:.2f} times as long as the smallest")
    if given.json:
        print(json.dumps({"sizes": shown, "ratio": ratio}))


if __name__ == "__main__":
    main()
