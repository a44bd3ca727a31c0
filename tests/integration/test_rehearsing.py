"""A rehearsal walks the whole graph: what each node task would do, in order, without effect. On both stores."""

from __future__ import annotations

import pytest

from rackwright.core.errors import NotFound
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.engine import intake
from rackwright.engine.rehearsing import FIRST, Rehearsed, rehearse
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

TASKS = """
- {id: wipe, type: noop, roles: [web], destructive: true}
- {id: write, type: noop, roles: [web], requires: [wipe], writes: [web.said]}
- {id: read, type: noop, roles: [web], requires: [write], reads: {said: web.said}}
- {id: choose, type: noop, roles: [web], requires: [read], reads: {on: desired.on}, condition: {yaql_exp: $.on}}
- {id: last, type: noop, roles: [web], requires: [choose], reads: {never: desired.never}}
"""


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site(2)
    async with store.transaction() as tx:
        scopes = await tx.named("node", ["n0", "n1"])
    writes = [
        FactWrite(scopes["n0"].id, "desired.on", True, PEOPLE),
        FactWrite(scopes["n1"].id, "desired.on", False, PEOPLE),
    ]
    await intake.put_facts(store, made.library, writes)
    await made.deployment(TASKS, "- {name: web}", bind={"web": ["n0", "n1"]})
    return made


def told(found: list[Rehearsed]) -> dict[tuple[str, str], str]:
    return {(one.task, one.scope): one.would for one in found}


async def test_every_node_task_says_what_it_would_do_in_the_order_of_the_graph(hands: Hands) -> None:
    found = await rehearse(hands.store, hands.library, "d")
    assert [one.task for one in found] == [
        task for task in ("wipe", "write", "read", "choose", "last") for _ in range(2)
    ]
    would = told(found)
    assert [would[task, "n0"] for task in ("wipe", "write", "read", "choose", "last")] == [
        "run", "run", "run", "run", "fail",
    ]  # fmt: skip
    assert would["choose", "n1"] == "skip"
    reasons = {(one.task, one.scope): one.reason for one in found}
    assert reasons["read", "n0"] == "the jig noop would run it once there is web.said (by write)"
    assert "lacks what last reads" in reasons["last", "n0"]


async def test_a_rehearsal_changes_nothing_and_what_is_done_is_no_part_of_it(hands: Hands) -> None:
    before = await hands.states()
    await rehearse(hands.store, hands.library, "d")
    assert await hands.states() == before
    for claim in await hands.claim():
        await hands.give(ok(claim) if claim.scope == "n0" else failed(claim))
    found = await rehearse(hands.store, hands.library, "d")
    assert ("wipe", "n0") not in told(found)
    assert [(one.scope, one.state) for one in found if one.task == "wipe"] == [("n1", "error")]


async def test_it_goes_on_page_by_page(hands: Hands) -> None:
    whole = await rehearse(hands.store, hands.library, "d")
    pages: list[Rehearsed] = []
    while some := await rehearse(hands.store, hands.library, "d", pages[-1].place if pages else FIRST, 3):
        pages += some
    assert pages == whole


async def test_a_deployment_that_there_is_not_is_told(hands: Hands) -> None:
    with pytest.raises(NotFound):
        await rehearse(hands.store, hands.library, "nosuch")
