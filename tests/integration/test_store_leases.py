"""Leases of dynamic addresses, kept for the next process of a rack, in both stores."""

from __future__ import annotations

import time

import pytest

from rackwright.core.errors import Conflict
from rackwright.core.leases import Lease, LeaseReport
from rackwright.core.messages import ClaimRequest
from rackwright.engine import leases
from rackwright.engine.claims import claim
from rackwright.engine.library import CatalogLibrary
from tests.integration.conftest import AnyStore
from tests.integration.store_world import World, world

ONE = Lease("10.77.0.100", "52:54:00:00:00:01", 600.0)
TWO = Lease("10.77.0.101", "52:54:00:00:00:02", 600.0)


async def tell(made: World, seat: str, *said: Lease) -> None:
    await leases.note(made.store, made.racks["r1"], LeaseReport(seat=seat, items=said), time.time())


async def known(made: World, seat: str) -> dict[str, str]:
    found = await leases.known(made.store, made.racks["r1"], seat)
    return {lease.address: lease.client for lease in found.items}


async def test_what_one_seat_has_given_another_is_told(store: AnyStore) -> None:
    made = await world(store)
    await tell(made, "a", ONE, TWO)
    assert await known(made, "b") == {ONE.address: ONE.client, TWO.address: TWO.client}
    assert await known(made, "a") == {}
    found = await leases.known(store, made.racks["r1"], "b")
    assert all(500 < lease.seconds <= 600 for lease in found.items)
    assert (await leases.known(store, made.racks["r2"], "b")).items == ()


async def test_the_newest_word_of_an_address_counts_and_what_has_ended_is_gone(store: AnyStore) -> None:
    made = await world(store)
    await tell(made, "a", ONE, TWO)
    await tell(
        made, "a", Lease(ONE.address, ONE.client, -1.0), Lease(TWO.address, "x", 5.0), Lease(TWO.address, "y", 5.0)
    )
    assert await known(made, "b") == {TWO.address: "y"}
    await tell(made, "b", Lease(TWO.address, "z", 5.0))
    assert (await known(made, "a"), await known(made, "b")) == ({TWO.address: "z"}, {})


async def test_what_a_process_gives_that_no_longer_works_for_the_rack_is_refused(store: AnyStore) -> None:
    made = await world(store)
    asked = ClaimRequest(incarnation="1", capacity=1, wait=0, seat="a")
    await claim(store, CatalogLibrary(), made.racks["r1"], asked, time.time(), 30.0)
    await tell(made, "a", ONE)
    with pytest.raises(Conflict, match="seat a"):
        await tell(made, "b", TWO)
    assert await known(made, "b") == {ONE.address: ONE.client}
