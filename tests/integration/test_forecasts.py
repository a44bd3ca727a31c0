"""How long plans and verbs will take, told from the past, in both stores."""

from __future__ import annotations

import pytest

from rackwright.core.waves import WaveRule
from rackwright.engine import campaign_orders, outlook
from rackwright.engine.campaigns import Wish
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, ok
from tests.integration.test_campaigns import all_of, fleet, installed

TASKS = """
- {id: install, type: noop, roles: [web], reads: {port: desired.web.port}}
- {id: start, type: noop, roles: [web], requires: [install], reads: {port: desired.web.port}}
"""
ROLES = "- {name: web, attributes: {type: object, properties: {port: {type: integer, default: 80}}}}\n"


async def test_a_plan_tells_how_long_it_will_take_once_something_has_run(store: AnyStore) -> None:
    hands = Hands(store, store.views)
    await hands.site(2)
    await hands.deployment(TASKS, ROLES, bind={"web": ["n0", "n1"]})
    (first,) = await store.views.plans("d")
    assert "forecast" not in first["summary"]
    await hands.run(ok)
    async with store.transaction() as tx:
        seconds = await tx.typical_seconds((await tx.named("deployment", ["d"]))["d"].id)
    assert set(seconds) == {"install", "start"}
    await hands.apply({"set": {"web": {"port": 8080}}})
    newest = (await store.views.plans("d"))[0]["summary"]["forecast"]
    assert newest["seconds"] >= seconds["install"]
    assert not newest["unknown"]
    assert {link["task"] for link in newest["chain"]} <= {"install", "start"}


async def test_a_verb_tells_how_it_would_go_and_nothing_happens(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, names = await fleet(store, monkeypatch, 6, racks=2), all_of(6)
    await made.do("deploy", "n0")
    await made.run(installed)
    await campaign_orders.set_budget(store, "rack", "r1", 1)
    wish = Wish(verb="deploy", names=[*names, "n9"], waves=WaveRule(steps=(1,), pause=10.0), max_per={"rack": 2})
    found = await outlook.of_wish(store, made.library, wish)
    assert (found.waves, found.places, set(found.errors)) == ([1, 5], {"rack=r0": 3, "rack=r1": 3}, {"n9"})
    assert found.forecast is not None
    assert (found.forecast.because, found.forecast.waves) == ("the budget of rack=r1", 2)
    assert found.forecast.seconds >= 10.0
    assert await campaign_orders.listed(store) == []
    assert await made.words("n1") == ["ready"]
