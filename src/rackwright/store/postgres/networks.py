"""Networks of racks, and the addresses in them, in PostgreSQL."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from rackwright.core import addresses
from rackwright.core.networks import Claim, called, readable
from rackwright.store.batches import two_racks
from rackwright.store.networks import claimed, meeting
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work


class NetworkWork(Work):
    """The part of a transaction that is about networks and addresses."""

    async def connect(self, racks: Collection[int]) -> None:
        """Keep the networks of these racks as their facts say. Raises Conflict where another rack has one of them."""
        if not racks:
            return
        facts: dict[int, dict[str, Any]] = {}
        for rack, path, value in await self.rows("rack_networks", list(racks)):
            facts.setdefault(rack, {})[path] = value
        claims = [Claim(rack, network) for rack in racks for network in claimed(facts.get(rack, {}))]
        met = meeting(claims)
        if met is not None:
            names = {row["id"]: row["name"] for row in await self.rows("scopes", list(racks))}
            raise two_racks(met[0].network.cidr, names[met[0].rack], met[1].network.cidr, names[met[1].rack])
        ranges = columns([(claim.rack, claim.network.cidr) for claim in claims], 2)
        shared = [claim.network.shared for claim in claims]
        taken = await self.row("network_taken", *ranges, shared, list(racks))
        if taken is not None:
            raise two_racks(*taken)
        await self.run("drop_networks", list(racks), *ranges)
        await self.run("keep_networks", *columns([_row(place, claim) for place, claim in enumerate(claims)], 6))

    async def networks(
        self, *, racks: Collection[int] | None = None, names: Collection[str] | None = None
    ) -> list[Claim]:
        """See the port."""
        wanted = (None if given is None else list(given) for given in (racks, names))
        return _claims(await self.rows("networks", *wanted))

    async def hold_racks(self, racks: Collection[int]) -> None:
        """See the port. A statement of its own: the next one sees what came before."""
        await self.run("hold_racks", list(racks))

    async def lock_networks(self, cidrs: Collection[str]) -> list[Claim]:
        """See the port. A statement of its own: the next one sees what came before."""
        return _claims(await self.rows("lock_networks", list(cidrs))) if cidrs else []

    async def free_addresses(self, first: str, last: str, besides: Sequence[tuple[str, str]], count: int) -> list[str]:
        """See the port."""
        start, length = ipaddress.ip_interface(first), addresses.length(first, last)
        if length < 0:
            return []
        highest = await self.value("highest_address", start, length)
        top = -1 if highest is None else int(highest)
        found = await self._between(first, top + 1, length, addresses.spans(first, last, besides), count)
        if len(found) < count:
            below = await self._between(first, 0, top - 1, addresses.spans(first, last, besides), count - len(found))
            found = [*below, *found]
        return found

    async def addresses_held(self, cidr: str) -> int:
        """See the port."""
        return int(await self.value("held_in", ipaddress.ip_network(cidr)))

    async def _between(
        self, first: str, low: int, high: int, besides: Sequence[addresses.Span], count: int
    ) -> list[str]:
        """The lowest free addresses of a part of a range."""
        if low > high:
            return []
        statement, _ = limited("free_addresses", count)
        start = ipaddress.ip_interface(ipaddress.ip_address(first) + low)
        near = [
            (max(span[0] - low, 0), min(span[1], high) - low) for span in besides if low <= span[1] and span[0] <= high
        ]
        return [row[0] for row in await self.text_rows(statement, start, high - low, *columns(near, 2))][:count]


def _claims(rows: Iterable[asyncpg.Record]) -> list[Claim]:
    return [Claim(rack, network) for rack, said in rows for network in readable([said])]


def _row(place: int, claim: Claim) -> tuple[Any, ...]:
    """The values of ``keep_networks``."""
    network = claim.network
    return claim.rack, network.cidr, called(network), place, Json(msgspec.to_builtins(network)), network.shared
