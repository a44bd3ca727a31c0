"""Verbs for many machines, in both stores: waves, budgets, halts, and what people order of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rackwright.core.errors import Conflict, InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.messages import Claim, Result
from rackwright.core.waves import WaveRule
from rackwright.engine import annealer, campaign_orders, campaigns, intake
from rackwright.engine.activities import Answer
from rackwright.engine.campaigns import CampaignView, Wish
from rackwright.engine.machines import scope_named
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.hands import failed, ok
from tests.integration.metal_site import FILES, MetalSite, errors, site

STEPS = WaveRule(steps=(1, "50%"))


class Fleet(MetalSite):
    """A site whose machines are told verbs in campaigns."""

    async def wish(self, verb: str, names: Sequence[str], **how: Any) -> list[Answer]:
        wish = Wish(verb=verb, names=names, asked_by="olga", **how)
        return await campaigns.say(self.store, self.library, wish, time.time())

    async def keep(self) -> int:
        """Let a conductor look, until nothing more begins."""
        total = 0
        while begun := await campaigns.keep(self.store, self.library, time.time()):
            total += begun
        return total

    async def under_way(self, *names: str) -> list[str]:
        """Those of the machines with which something is done."""
        return [name for name in names if (await self.machine(name)).verb]

    async def only(self) -> CampaignView:
        (found,) = await campaign_orders.listed(self.store)
        return found

    async def stand(self, kind: str, where: Mapping[str, Any]) -> None:
        """Say where nodes (n..) and racks (r..) stand."""
        writes = []
        async with self.store.transaction() as tx:
            for name, place in where.items():
                scope = await scope_named(tx, "rack" if name[0] == "r" else "node", name)
                path = f"desired.rack.{kind}" if name[0] == "r" else f"desired.{kind}"
                writes.append(FactWrite(scope.id, path, place, PEOPLE))
        await intake.put_facts(self.store, self.library, writes)


def installed(claim: Claim) -> Result:
    return ok(claim, **{path: {"of": claim.scope} for path in claim.writes})


async def fleet(store: AnyStore, monkeypatch: pytest.MonkeyPatch, nodes: int, racks: int = 1) -> Fleet:
    made = Fleet(store, site(store).views)
    await made.open(monkeypatch, nodes, racks)
    await made.do("accept", *(f"n{number}" for number in range(nodes)))
    return made


def all_of(count: int) -> list[str]:
    return [f"n{number}" for number in range(count)]


async def test_a_verb_goes_over_machines_in_waves(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made, names = await fleet(store, monkeypatch, 6), all_of(6)
    answers = await made.wish("deploy", names, waves=STEPS)
    assert errors(answers) == {}
    assert [answer.word for answer in answers] == ["deploying", *["ready"] * 5]
    assert [bool(answer.activity) for answer in answers] == [True, *[False] * 5]
    assert (await made.only()).waves == [1, 2, 3]
    assert await made.keep() == 0
    await made.run(installed)
    assert await made.keep() == 2
    assert await made.under_way(*names) == ["n1", "n2"]
    await made.run(installed)
    assert await made.keep() == 3
    await made.run(installed)
    await made.keep()
    assert await campaign_orders.listed(store) == []
    assert await made.words(*names) == ["deployed"] * 6


async def test_a_failed_canary_halts_the_rest_until_it_is_forgiven(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, names = await fleet(store, monkeypatch, 4), all_of(4)
    await made.wish("deploy", names, waves=WaveRule(steps=("100%",), canary=("n2",)))
    assert await made.under_way(*names) == ["n2"]
    await made.run(failed)
    assert await made.keep() == 0
    found = await made.only()
    assert (found.halted, found.failed, found.waiting) == ("halted: 1 failed, tolerance 0", 1, 3)
    await campaign_orders.forgive(store, found.id)
    assert await made.keep() == 3


async def test_a_halted_campaign_goes_on_once_what_failed_is_mended(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, names = await fleet(store, monkeypatch, 3), all_of(3)
    await made.wish("deploy", names, waves=WaveRule(steps=(1,)))
    await made.run(failed)
    assert await made.keep() == 0
    await made.do("retry", "n0")
    await made.run(installed)
    assert await made.keep() == 2


async def test_a_wave_waits_to_be_promoted(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made, names = await fleet(store, monkeypatch, 3), all_of(3)
    await made.wish("deploy", names, waves=WaveRule(steps=(1,), manual=True))
    await made.run(installed)
    assert await made.keep() == 0
    id = (await made.only()).id
    await campaign_orders.promote(store, id)
    assert await made.keep() == 2
    with pytest.raises(Conflict, match="no wave to come"):
        await campaign_orders.promote(store, id)


async def test_no_more_machines_work_on_a_feed_than_it_bears(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made, names = await fleet(store, monkeypatch, 6, racks=2), all_of(6)
    await made.stand("feed", {"r0": "A", "r1": "B", "n1": "A"})
    answers = await made.wish("deploy", names, max_per={"feed": 2})
    assert [answer.name for answer in answers if answer.activity] == ["n0", "n1", "n3", "n5"]
    assert await made.keep() == 0
    await made.run(installed)
    assert await made.keep() == 2
    assert await made.under_way(*names) == ["n2", "n4"]


async def test_a_failed_machine_gives_its_share_to_the_next(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made, names = await fleet(store, monkeypatch, 2), all_of(2)
    await made.wish("deploy", names, max_per={"rack": 1})
    await made.run(failed)
    assert await made.keep() == 1
    assert (await made.machine("n1")).phase == "running"


async def test_budgets_that_hold_for_all_count_what_every_campaign_does(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await fleet(store, monkeypatch, 5)
    await campaign_orders.set_budget(store, "rack", "", 3)
    first = await made.wish("commission", ["n0", "n1"])
    second = await made.wish("commission", ["n2", "n3", "n4"])
    assert [bool(answer.activity) for answer in [*first, *second]] == [True, True, True, False, False]
    await made.run(installed)
    assert await made.keep() == 2
    await campaign_orders.set_budget(store, "rack", "", None)
    assert await campaign_orders.listed_budgets(store) == []


async def test_without_waves_and_budgets_a_verb_is_said_at_once(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, names = await fleet(store, monkeypatch, 3), all_of(3)
    await made.wish("commission", names)
    assert await made.under_way(*names) == names
    assert await campaign_orders.listed(store) == []


async def test_those_that_cannot_follow_are_told_so_and_keep_out_no_others(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await fleet(store, monkeypatch, 3)
    await made.do("deploy", "n0")
    answers = await made.wish("deploy", ["n0", "n1", "n9", "n2"], waves=WaveRule(steps=(1,)))
    assert set(errors(answers)) == {"n0", "n9"}
    assert (await made.only()).waves == [1, 1]
    again = await made.wish("commission", ["n2"], max_per={"rack": 1})
    assert "it is in the campaign" in errors(again)["n2"]


async def test_at_its_turn_a_machine_may_have_become_unfit_which_counts_as_a_failure(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, names = await fleet(store, monkeypatch, 4), all_of(4)
    await made.wish("deploy", names, waves=WaveRule(steps=(1, 2)))
    await made.do("retire", "n1")
    await made.run(installed)
    assert await made.keep() == 1
    assert await made.keep() == 0
    found = await made.only()
    assert (found.halted, found.waiting) == ("halted: 1 failed, tolerance 0", 2)


async def test_a_campaign_whose_verb_has_no_graph_any_more_is_broken_off_and_keeps_up_no_other(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await fleet(store, monkeypatch, 4)
    await made.wish("deploy", ["n0", "n1"], waves=WaveRule(steps=(1,)))
    await made.wish("commission", ["n2", "n3"], waves=WaveRule(steps=(1,)))
    await made.run(installed)
    without = {path: text for path, text in FILES.items() if "deploy" not in path}
    await made.library.add(store, "metal", without)
    assert await made.keep() == 1
    assert [campaign.verb for campaign in await campaign_orders.listed(store)] == ["commission"]
    (told,) = [event for event in await store.views.events() if event["kind"] == "campaign.ended"]
    assert "has no graph deploy" in told["text"]


async def test_a_cancelled_campaign_begins_no_more(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made, names = await fleet(store, monkeypatch, 3), all_of(3)
    await made.wish("deploy", names, waves=STEPS)
    id = (await made.only()).id
    assert await campaign_orders.cancel(store, id) == 2
    await made.run(installed)
    assert await made.keep() == 0
    assert await made.words(*names) == ["deployed", "ready", "ready"]
    with pytest.raises(NotFound):
        await campaign_orders.cancel(store, id)


async def test_the_first_of_a_campaign_may_be_of_many_places(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await fleet(store, monkeypatch, 4, racks=2)
    await made.wish("deploy", ["n0", "n2", "n1", "n3"], waves=WaveRule(steps=(2,)), spread="rack")
    assert await made.under_way(*all_of(4)) == ["n0", "n1"]


async def test_a_node_that_is_deleted_leaves_its_campaign(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await fleet(store, monkeypatch, 2)
    await made.wish("deploy", all_of(2), max_per={"rack": 1})
    async with store.transaction() as tx:
        await tx.remove((await scope_named(tx, "node", "n1")).id)
    assert (await made.only()).waiting == 0


async def test_a_conductor_carries_campaigns_on(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annealer, "POLL", 0.05)
    made, names = await fleet(store, monkeypatch, 3), all_of(3)
    await made.wish("deploy", names, waves=WaveRule(steps=(1, 2)))
    stop = asyncio.Event()
    conductor = asyncio.create_task(annealer.run(store, made.library, stop))
    async with asyncio.timeout(60):
        while await made.words(*names) != ["deployed"] * 3:
            await made.run(installed)
            await asyncio.sleep(0.02)
        while await campaign_orders.listed(store):
            await asyncio.sleep(0.02)
    stop.set()
    await conductor


async def test_conductors_and_people_at_once_never_exceed_a_budget(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, names = await fleet(postgres_store, monkeypatch, 24), all_of(24)
    await campaign_orders.set_budget(postgres_store, "rack", "", 5)
    wishes = [made.wish("commission", names[start : start + 8]) for start in (0, 8, 16)]
    keeping = [campaigns.keep(postgres_store, made.library, time.time()) for _ in range(4)]
    await asyncio.gather(*wishes, *keeping)
    rounds = 0
    while under_way := await made.under_way(*names):
        assert len(under_way) == min(5, 24 - rounds * 5)
        await made.run(installed)
        await asyncio.gather(*(campaigns.keep(postgres_store, made.library, time.time()) for _ in range(4)))
        rounds += 1
    assert rounds == 5
    assert await campaign_orders.listed(postgres_store) == []


@pytest.mark.parametrize(
    "how", [{"max_per": {"plug": 1}}, {"max_per": {"feed": 0}}, {"spread": "moon"}, {"waves": WaveRule(steps=("x",))}]
)
async def test_what_cannot_be_is_refused(store: AnyStore, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]) -> None:
    made = await fleet(store, monkeypatch, 1)
    with pytest.raises(InvalidInput):
        await made.wish("deploy", ["n0"], **how)


async def test_waves_are_for_verbs_that_take_a_while(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await fleet(store, monkeypatch, 1)
    with pytest.raises(InvalidInput, match="done at once"):
        await made.wish("reserve", ["n0"], waves=STEPS)
