"""Four-way exchanges a second of a rack's DHCP, by the number of its nodes, beside bare Kea in the same run.

perfdhcp plays that many machines. It asks at rising rates; what counts is the most exchanges that were completed in a
second. Bare Kea is asked in turn with it, so that whatever else the machine does meets all alike: once with the same
backend for hosts (from a hundred nodes on that is PostgreSQL) and a plain configuration, and once with all hosts
in its memory. Both have addresses and names only: no boot URLs, no classes, no hooks. Their rows are in a PostgreSQL of
their own, of the same settings, as Kea's documentation has them.

    python benchmarks/dhcp.py --json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import re
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.metal.line import NETWORK, Line, address, line, mac, quiet
from rackwright.core.dhcp import Answers, Host
from rackwright.rack.dhcp.kea import ROWS_FROM, Kea
from rackwright.rack.dhcp.kea_configuration import subnet_id
from rackwright.rack.dhcp.kea_control import KeaControl
from rackwright.rack.dhcp.kea_rows import HostRows
from rackwright.store import embedded

SIZES = (10, 10_000, 100_000)
RATES = (1000, 2000, 2500, 3000, 3500, 4000, 6000, 8000)
"""Exchanges begun a second: close together where rows end, for what is begun and not completed is work lost."""
SECONDS = 3
"""For each rate."""
OURS, SAME, MEMORY = "rackwright", "kea, same backend", "kea, memory"

Database = Callable[[], contextlib.AbstractAsyncContextManager[str]]


def answers(nodes: int) -> Answers:
    """What a rack of so many nodes is to answer."""
    hosts = {n: Host(n, f"n{n}", (mac(n),), address(n), f"{n:026}") for n in range(nodes)}
    return Answers(networks=(NETWORK,), hosts=hosts, interfaces={NETWORK.address: "rack0"})


@contextlib.asynccontextmanager
async def ours(folder: Path, nodes: int, database: Database) -> AsyncIterator[None]:
    """The rack's DHCP."""
    kea = Kea(str(folder), HostRows(database))
    await kea.answer(answers(nodes))
    try:
        yield
    finally:
        await kea.close()


PLAIN = """
INSERT INTO hosts (dhcp_identifier, dhcp_identifier_type, dhcp4_subnet_id, ipv4_address, hostname)
SELECT mac, 0, $4, address, hostname
FROM unnest($1::bytea[], $2::bigint[], $3::text[]) AS given (mac, address, hostname)
"""
"""A host as Kea's documentation has it: its hardware address (type 0), its network, its address and its name."""


async def plain_rows(dsn: str, nodes: int) -> None:
    """Have these hosts, and no others, in the tables of a bare Kea."""
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval("SELECT count(*) FROM hosts") != nodes:
            await connection.execute("TRUNCATE hosts CASCADE")
            macs = [bytes.fromhex(mac(n).replace(":", "")) for n in range(nodes)]
            addresses = [int(ipaddress.IPv4Address(address(n))) for n in range(nodes)]
            await connection.execute(PLAIN, macs, addresses, [f"n{n}" for n in range(nodes)], subnet_id(NETWORK))
            await connection.execute("ANALYZE")
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def bare(folder: Path, nodes: int, database: Database, *, in_memory: bool) -> AsyncIterator[None]:
    """Kea alone."""
    async with contextlib.AsyncExitStack() as stack:
        place = None
        if not in_memory and nodes >= ROWS_FROM:
            dsn = await stack.enter_async_context(database())
            rows = HostRows(lambda: contextlib.nullcontext(dsn))
            place = await rows.place()
            stack.push_async_callback(rows.close)
            await plain_rows(dsn, nodes)
        path = written(folder, nodes, place)
        places = os.environ | {"KEA_PIDFILE_DIR": str(folder), "KEA_LOCKFILE_DIR": str(folder)}
        kea = await asyncio.create_subprocess_exec("/usr/sbin/kea-dhcp4", "-c", path, env=places, stdout=DEVNULL)
        try:
            while not await KeaControl(str(folder / "control")).lives():
                if kea.returncode is not None:
                    sys.exit("dhcp: bare Kea does not start")
                await asyncio.sleep(0.05)
            yield
        finally:
            kea.terminate()
            await kea.wait()


def written(folder: Path, nodes: int, place: Mapping[str, Any] | None) -> str:
    """Bare Kea's configuration, with the hosts in memory, or in rows at ``place``; gives its path."""
    hosts = [{"hw-address": mac(n), "ip-address": address(n)} for n in range(nodes)] if place is None else []
    settings = {
        "interfaces-config": {"interfaces": [f"rack0/{NETWORK.address}"]},
        "control-socket": {"socket-type": "unix", "socket-name": str(folder / "control")},
        "lease-database": {"type": "memfile", "persist": True, "name": str(folder / "leases.csv")},
        "subnet4": [
            {
                "id": subnet_id(NETWORK),
                "subnet": NETWORK.cidr,
                "pools": [{"pool": " - ".join(NETWORK.dynamic or ())}],
                "reservations": hosts,
            }
        ],
        "loggers": [{"name": "kea-dhcp4", "output_options": [{"output": "stdout"}], "severity": "ERROR"}],
        **({} if place is None else {"hosts-databases": [place]}),
    }
    folder.mkdir()
    path = folder / "kea.conf"
    path.write_text(json.dumps({"Dhcp4": settings}))
    return str(path)


def exchanges(wire: Line, nodes: int, rate: int) -> float:
    """Completed exchanges a second when so many are begun."""
    clients = ("-R", str(nodes), "-b", f"mac={mac(0)}")
    said = wire.perfdhcp("-r", str(rate), "-p", str(SECONDS), *clients, patience=SECONDS + 60)
    found = re.search(r"Rate: ([\d.]+)", said)
    if found is None:
        sys.exit(f"dhcp: perfdhcp says nothing of its rate:\n{said[-500:]}")
    return float(found.group(1))


async def best(wire: Line, nodes: int, rates: list[int]) -> float:
    """The most exchanges a second at any of these rates."""
    return max([await asyncio.to_thread(exchanges, wire, nodes, rate) for rate in rates])


async def measured(wire: Line, nodes: int, rates: list[int], rounds: int) -> dict[str, float]:
    """Exchanges a second of each server: the median of the rounds."""
    found: dict[str, list[float]] = {OURS: [], SAME: [], MEMORY: []}
    with tempfile.TemporaryDirectory(prefix="dhcp-") as name:
        folder = Path(name)
        own, plain = (partial(embedded.running, folder / which, linger=20) for which in ("hosts", "plain"))
        for turn in range(rounds):
            for number, (server, rounds_of) in enumerate(found.items()):
                place = folder / f"{turn}-{number}"
                if server == OURS:
                    serving = ours(place, nodes, own)
                else:
                    serving = bare(place, nodes, plain, in_memory=server == MEMORY)
                async with serving:
                    rounds_of.append(await best(wire, nodes, rates))
        for which in ("hosts", "plain"):
            await embedded.wait_stopped(folder / which)
    return {server: statistics.median(rounds_of) for server, rounds_of in found.items()}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, help="one size only; without it 10, 10,000 and 100,000")
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is asked")
    parser.add_argument("--small", action="store_true", help="a quick look: 10 and 1,000 nodes, two rates, one round")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    given.sizes = [given.nodes] if given.nodes else [10, 1000] if given.small else list(SIZES)
    given.rates = [1000, 4000] if given.small else list(RATES)
    given.rounds = 1 if given.small else given.rounds
    return given


def main() -> None:
    """Measure all sizes and print what came out."""
    given = arguments()
    if os.geteuid() != 0:
        sys.exit("dhcp: it makes network namespaces, and needs root for that")
    quiet()
    shown: list[dict[str, Any]] = []
    began = time.monotonic()
    for nodes in given.sizes:
        with line() as wire, wire.inside():
            rates = asyncio.run(measured(wire, nodes, given.rates, given.rounds))
        same, memory = rates[OURS] / rates[SAME], rates[OURS] / rates[MEMORY]
        backend = "rows" if nodes >= ROWS_FROM else "memory"
        shown.append({"nodes": nodes, "backend": backend, "rates": rates, "ratio": same, "ratio_memory": memory})
        said = ", ".join(f"{server} {rate:.0f}/s" for server, rate in rates.items())
        print(f"{nodes} nodes ({backend}): {said}; {same:.2f} of the same backend, {memory:.2f} of memory")
    if given.json:
        result = {"sizes": shown, "ratio": min(size["ratio"] for size in shown), "seconds": time.monotonic() - began}
        print(json.dumps(result))


if __name__ == "__main__":
    main()
