"""Budgets of places hold for node tasks of deployments as for campaigns, in both stores."""

from __future__ import annotations

import asyncio
import time

import pytest

from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.messages import Claim
from rackwright.engine import campaign_orders, explaining, intake
from rackwright.engine.machines import scope_named
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, ok
from tests.integration.test_campaigns import Fleet, all_of, fleet

TASKS = """
- {id: fetch, type: noop, roles: [web], takes: [uplink, feed], reads: {port: desired.web.port}}
- {id: note, type: noop, roles: [log]}
"""
ROLES = """
- {name: web, attributes: {type: object, properties: {port: {type: integer, default: 80}}}}
- {name: log}
"""


async def behind(hands: Hands, **uplinks: str) -> None:
    """Say behind which uplinks racks stand."""
    writes = []
    async with hands.store.transaction() as tx:
        for rack, uplink in uplinks.items():
            writes.append(FactWrite((await scope_named(tx, "rack", rack)).id, "desired.rack.uplink", uplink, PEOPLE))
    await intake.put_facts(hands.store, hands.library, writes)


async def opened(store: AnyStore, nodes: int = 6, racks: int = 2) -> Hands:
    """Racks behind sw1 with nodes that are each to fetch something; at most two may at the same time."""
    hands = Hands(store, store.views)
    await hands.site(nodes, racks)
    await behind(hands, **{rack: "sw1" for rack in hands.racks})
    await campaign_orders.set_budget(store, "uplink", "", 2)
    await hands.deployment(TASKS, ROLES, bind={"web": all_of(nodes)})
    return hands


def scopes(claims: list[Claim]) -> list[str]:
    return [claim.scope for claim in claims]


async def test_no_more_nodes_work_behind_an_uplink_than_its_budget_says(store: AnyStore) -> None:
    hands = await opened(store)
    first = await hands.claim("r0")
    assert scopes(first) == ["n0", "n2"]
    assert await hands.claim("r1") == []
    await hands.give(ok(first[0]))
    assert scopes(await hands.claim("r1")) == ["n1"]
    assert await hands.claim("r0") == []


async def test_what_takes_no_share_goes_on_beside_it(store: AnyStore) -> None:
    hands = await opened(store)
    await hands.apply({"bind": {"log": ["n4"]}})
    given = [*await hands.claim("r0"), *await hands.claim("r0")]
    assert [(claim.scope, claim.task) for claim in given] == [("n0", "fetch"), ("n2", "fetch"), ("n4", "note")]


async def test_without_a_budget_nothing_is_held_back(store: AnyStore) -> None:
    hands = await opened(store)
    await campaign_orders.set_budget(store, "uplink", "", None)
    assert scopes(await hands.claim("r0")) == ["n0", "n2", "n4"]


async def test_a_plan_goes_by_where_racks_stand_by_then(store: AnyStore) -> None:
    hands = await opened(store)
    await behind(hands, r1="sw2")
    await hands.apply({})
    assert scopes(await hands.claim("r0")) == ["n0", "n2"]
    assert scopes(await hands.claim("r1")) == ["n1", "n3"]


async def test_a_node_task_that_waits_for_a_share_says_so(store: AnyStore) -> None:
    hands = await opened(store)
    await hands.claim("r0")
    found = await explaining.explain(store, hands.library, "n1", "fetch", deployment="d", now=time.time())
    told = {each.kind: each.what for each in found.waits_for}
    assert told["budget"] == "nothing is left of the budget of uplink=sw1"


async def test_a_plan_tells_which_budget_makes_it_long(store: AnyStore) -> None:
    hands = await opened(store)
    await hands.run(ok)
    await campaign_orders.set_budget(store, "uplink", "sw1", 1)
    summary = await hands.apply({"set": {"web": {"port": 81}}})
    assert summary["forecast"]["because"] == "the budget of uplink=sw1: 1 at the same time"


async def test_machines_of_campaigns_and_node_tasks_of_deployments_share_one_budget(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await fleet(store, monkeypatch, 4)
    await behind(made, r0="sw1")
    await campaign_orders.set_budget(store, "uplink", "", 2)
    await made.deployment(TASKS, ROLES, bind={"web": ["n0", "n1"]})
    await made.wish("commission", ["n2"])
    (fetched,) = await _fetching(made)
    await made.wish("commission", ["n3"])
    assert await made.under_way("n2", "n3") == ["n2"]
    await made.give(ok(fetched))
    assert await made.keep() == 1
    assert await _fetching(made) == []


async def _fetching(made: Fleet) -> list[Claim]:
    return [claim for claim in await made.claim() if claim.task == "fetch"]


async def test_racks_that_ask_at_the_same_time_never_get_more_than_there_is(postgres_store: PostgresStore) -> None:
    hands = await opened(postgres_store, nodes=24, racks=6)
    done: set[str] = set()
    while len(done) < 24:
        given = await asyncio.gather(*(hands.claim(rack, incarnation=rack) for rack in hands.racks))
        claimed = {rack: claims for rack, claims in zip(hands.racks, given, strict=True) if claims}
        assert 1 <= sum(map(len, claimed.values())) <= 2
        for rack, claims in claimed.items():
            done |= set(scopes(claims))
            await hands.give(*map(ok, claims), rack=rack, incarnation=rack)
