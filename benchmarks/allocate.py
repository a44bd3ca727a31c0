"""Addresses given to nodes in one call, beside bare INSERTs of as many rows; and machines given by wish.

A network with a static range of addresses; NODES nodes without one. One call gives all of them an address: it finds the
free ones, puts the facts and all that follows from them, and answers for each node. The peer puts as many rows with an
address into a table of the same columns and indexes, in one statement of the same run. Both are done in turn, several
times. Then half of the addresses are given back, and given again: so the gaps are walked. IPv6 goes the same way.

Then one call says ``accept`` to all nodes, which have hardware. Of these ready machines 40 at a time are wished for,
spread over racks.

    python benchmarks/allocate.py --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from rackwright.core.facts import WORLD, FactWrite
from rackwright.core.networks import NamedNetwork, NetworkPlace
from rackwright.core.wishes import Wish
from rackwright.engine import campaigns, intake, machines, networks, picking
from rackwright.engine.library import CatalogLibrary
from rackwright.store import embedded
from rackwright.store.postgres import PostgresStore, migrate

RACKS = 100
TOGETHER = 40
"""Machines in one wish."""
PUT = 2000
"""Facts in one transaction while the fleet is made."""

PEER = """
CREATE TABLE peer (scope_id bigint NOT NULL, path text COLLATE "C" NOT NULL, value jsonb NOT NULL,
    revision bigint NOT NULL DEFAULT nextval('fact_revision'), writer text NOT NULL, address inet NOT NULL,
    PRIMARY KEY (scope_id, path), UNIQUE (address))
"""
FILL = """
INSERT INTO peer (scope_id, path, value, writer, address)
SELECT id, 'desired.address', to_jsonb(host(address)), 'people', address FROM unnest($1::bigint[], $2::inet[])
    AS given (id, address)
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="how often addresses are given")
    parser.add_argument("--small", action="store_true", help="a quick look: 1,000 nodes, 3 rounds")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.nodes, given.rounds = 1000, 3
    return given


class Fleet:
    """Nodes in racks, all on one shared network of each family."""

    def __init__(self, store: PostgresStore, bare: asyncpg.Connection[asyncpg.Record], nodes: int) -> None:
        self.store, self.bare, self.library = store, bare, CatalogLibrary()
        self.names = [f"n{number}" for number in range(nodes)]
        self.racks = [f"r{number}" for number in range(RACKS)]

    async def load(self) -> None:
        """Make racks, nodes and networks."""
        for name in self.racks:
            await machines.add_rack(self.store, name, name.encode().ljust(32, b"."))
        given = [machines.NewNode(name=name, rack=f"r{at % RACKS}") for at, name in enumerate(self.names)]
        await machines.add_nodes(self.store, given)
        for name, cidr, first, last in (
            ("four", "10.64.0.0/12", "10.64.1.0", "10.79.255.254"),
            ("six", "fd00::/64", "fd00::1:0", "fd00::ffff:ffff:ffff:ffff"),
        ):
            base = cidr.partition("/")[0]
            dot = "." if "." in base else ":"
            places = {rack: NetworkPlace(address=_own(base, dot, at)) for at, rack in enumerate(self.racks, start=1)}
            wanted = NamedNetwork(name=name, cidr=cidr, racks=places, static=(first, last), shared=True)
            await networks.add(self.store, self.library, wanted)
        await self.bare.execute(PEER)
        await self.bare.execute("VACUUM (ANALYZE)")

    async def give(self, network: str, names: list[str]) -> None:
        """Give all these nodes an address."""
        nic = "" if network == "four" else "v6"
        given = await networks.give(self.store, self.library, network, names, nic)
        missing = sum(not each.address for each in given)
        if missing or len({each.address for each in given}) != len(names):
            sys.exit(f"allocate: {missing} nodes got no address, or one twice")

    async def release(self, network: str, names: list[str]) -> None:
        """Take them back."""
        await networks.release(self.store, self.library, network, names, "" if network == "four" else "v6")

    async def insert(self) -> None:
        """What the peer does: as many rows."""
        first = int.from_bytes(bytes((10, 64, 1, 0)), "big")
        addresses = [_dotted(first + number) for number in range(len(self.names))]
        await self.bare.execute(FILL, list(range(len(self.names))), addresses)

    async def equip(self) -> None:
        """Make ready machines of all nodes, with hardware."""
        async with self.store.transaction() as tx:
            ids = [scope.id for scope in (await tx.named("node", self.names)).values()]
        for start in range(0, len(ids), PUT):
            writes = [
                FactWrite(id, path, value, WORLD)
                for id in ids[start : start + PUT]
                for path, value in (
                    ("observed.inventory.cpu", {"threads": 8 << id % 4}),
                    ("observed.inventory.memory", {"bytes": 1 << 32 + id % 5}),
                )
            ]
            await intake.put_facts(self.store, self.library, writes)

    async def say(self, verb: str) -> None:
        """Say a verb to all."""
        wish = campaigns.Wish(verb=verb, names=self.names)
        answers = await campaigns.say(self.store, self.library, wish, time.time())
        errors = [answer.error for answer in answers if answer.error]
        if errors or len(answers) != len(self.names):
            sys.exit(f"allocate: {verb}: {len(errors)} could not follow: {errors[:1]}")

    async def wish(self) -> None:
        """Allocate some machines."""
        wish = Wish(count=TOGETHER, cpu=">=16", memory=">=8G", spread="rack")
        found = await picking.allocate(self.store, self.library, wish, time.time())
        if len(found) != TOGETHER:
            sys.exit("allocate: fewer machines than wished for")


async def measure(dsn: str, given: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    await migrate(dsn)
    store, bare = await PostgresStore.open(dsn), await asyncpg.connect(dsn)
    fleet, count = Fleet(store, bare, given.nodes), given.nodes
    await fleet.load()
    await fleet.bare.execute("CHECKPOINT")
    taken: dict[str, list[float]] = {}

    async def timed(name: str, work: Awaitable[None]) -> None:
        began = time.perf_counter()
        await work
        taken.setdefault(name, []).append(time.perf_counter() - began)

    for number in range(given.rounds + 1):
        await timed("insert", fleet.insert())
        for network in ("four", "six"):
            await timed(network, fleet.give(network, fleet.names))
            await fleet.release(network, fleet.names[::2])
            await timed(f"{network}_half", fleet.give(network, fleet.names[::2]))
            await fleet.release(network, fleet.names)
        await bare.execute("TRUNCATE peer")
        if not number:
            taken.clear()
    await fleet.equip()
    await timed("accept", fleet.say("accept"))
    await bare.execute("VACUUM (ANALYZE)")
    for _ in range(min(given.rounds * 4, count // 8 // TOGETHER)):
        await timed("wish", fleet.wish())
    found = {name: statistics.median(times) for name, times in taken.items()}
    await store.close()
    await bare.close()
    return _told(count, found)


def _told(count: int, seconds: dict[str, float]) -> dict[str, Any]:
    rates = {f"{name}_per_second": round(count / seconds[name]) for name in ("insert", "four", "six", "accept")}
    halves = {f"{name}_per_second": round(count / 2 / seconds[name]) for name in ("four_half", "six_half")}
    return {
        "benchmark": "allocate",
        "nodes": count,
        **rates,
        **halves,
        "ratio": round(seconds["insert"] / seconds["four"], 3),
        "ratio_six": round(seconds["insert"] / seconds["six"], 3),
        "wish_ms": round(seconds["wish"] * 1000, 1),
        "machines_per_wish": TOGETHER,
        "load": round(os.getloadavg()[0], 1),
    }


def _own(base: str, dot: str, number: int) -> str:
    """A rack's own address."""
    return f"{base.rstrip('0.')}.0.{number}" if dot == "." else f"{base}{number:x}"


def _dotted(number: int) -> str:
    return ".".join(map(str, number.to_bytes(4, "big")))


async def run(given: argparse.Namespace, work: Callable[..., Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Measure on an embedded server of its own."""
    with tempfile.TemporaryDirectory(prefix="rackwright-bench-") as folder:
        async with embedded.running(Path(folder), linger=0.2) as dsn:
            found = await work(dsn, given)
        await embedded.wait_stopped(Path(folder))
        return found


def main() -> None:
    """Measure and print."""
    given = arguments()
    found = asyncio.run(run(given, measure))
    for name, value in found.items():
        print(f"{name:>22}   {value}")
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
