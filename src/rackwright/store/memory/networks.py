"""Networks of racks, and the addresses in them, in memory."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from rackwright.core import addresses
from rackwright.core.addresses import holds_address
from rackwright.core.facts import Fact
from rackwright.core.networks import Claim, called
from rackwright.store.batches import two_racks
from rackwright.store.memory.work import Work
from rackwright.store.networks import claimed, meeting


class NetworkWork(Work):
    """The part of a transaction that is about networks and addresses."""

    def connect(self, racks: Collection[int]) -> None:
        """Keep the networks of these racks as their facts say. Raises Conflict where another rack has one of them."""
        if not racks:
            return
        tables = self.tables
        others = [claim for claim in tables.networks if claim.rack not in racks]
        mine = [Claim(rack, network) for rack in racks for network in claimed(self._leaves(rack))]
        met = meeting([*others, *mine])
        if met is not None:
            (one, other), names = met, [tables.name(claim.rack) or "" for claim in met]
            raise two_racks(one.network.cidr, names[0], other.network.cidr, names[1])
        tables.networks = [*others, *mine]

    async def networks(
        self, *, racks: Collection[int] | None = None, names: Collection[str] | None = None
    ) -> list[Claim]:
        """See the port."""
        return [
            claim
            for claim in sorted(self.tables.networks, key=lambda claim: claim.rack)
            if (racks is None or claim.rack in racks) and (names is None or called(claim.network) in names)
        ]

    async def hold_racks(self, racks: Collection[int]) -> None:
        """See the port."""

    async def lock_networks(self, cidrs: Collection[str]) -> list[Claim]:
        """See the port."""
        return [claim for claim in self.tables.networks if claim.network.cidr in cidrs]

    async def free_addresses(self, first: str, last: str, besides: Sequence[tuple[str, str]], count: int) -> list[str]:
        """See the port."""
        start, length = ipaddress.ip_address(first), addresses.length(first, last)
        own = [(str(fact.value), str(fact.value)) for fact in self.held_addresses()]
        held = addresses.spans(first, last, own)
        taken = sorted([*held, *addresses.spans(first, last, besides)])
        top = max((span[1] for span in held), default=-1)
        steps = chain(addresses.gaps(taken, top + 1, length), addresses.gaps(taken, 0, top - 1))
        return [str(start + step) for step in sorted(islice(steps, count))]

    async def addresses_held(self, cidr: str) -> int:
        """See the port."""
        within = ipaddress.ip_network(cidr)
        return sum(ipaddress.ip_address(fact.value) in within for fact in self.held_addresses())

    def held_addresses(self) -> Iterator[Fact]:
        """Every fact that is an address."""
        leaves = (fact for facts in self.tables.facts.values() for fact in facts.values())
        return (fact for fact in leaves if holds_address(fact.path))

    def _leaves(self, rack: int) -> dict[str, Any]:
        return {path: fact.value for path, fact in self.tables.facts.get(rack, {}).items()}
