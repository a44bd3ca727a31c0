"""Two deployments on one node that wait for each other: told with the ring, not silent. On both stores."""

from __future__ import annotations

import pytest

from rackwright.engine import deadlocks, deployments
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, ok

ROLES = "- {name: web}\n"
ONE = """
- {id: mine, type: noop, roles: [web], reads: {theirs: other.key}, writes: [own.key]}
- {id: after, type: noop, roles: [web], requires: [mine]}
"""
TWO = "- {id: yours, type: noop, roles: [web], reads: {theirs: own.key}, writes: [other.key]}\n"
STOPPED = "- {id: give, type: noop, roles: [web], writes: [other.key]}\n"


@pytest.fixture
async def hands(store: AnyStore) -> Hands:
    made = Hands(store, store.views)
    await made.site()
    return made


async def deployed(hands: Hands, name: str, tasks: str) -> None:
    """A deployment on n0 of a catalog that is not strict: it may read what none of its own tasks writes."""
    files = {"catalog.yaml": f"name: {name}\n", "tasks.yaml": tasks, "roles.yaml": ROLES}
    await hands.library.add(hands.store, name, files)
    await deployments.create(hands.store, hands.library, name, catalog=name)
    await hands.apply({"bind": {"web": ["n0"]}}, name)


async def reasons(hands: Hands) -> dict[str, str]:
    """What each deployment tells of itself, in one text."""
    return {view.name: "\n".join(view.reasons) for view in await hands.views.deployments()}


async def test_two_deployments_that_lack_each_others_facts_are_told_the_ring(hands: Hands) -> None:
    await deployed(hands, "d", ONE)
    await deployed(hands, "e", TWO)
    assert await hands.run() == [], "both lack what the other one writes"
    assert await deadlocks.look(hands.store, hands.library, 0) == (0, 1)
    told = await reasons(hands)
    for name in ("d", "e"):
        assert "deadlock: " in told[name]
        assert "mine of d on n0 waits for yours of e on n0, for it lacks other.key" in told[name]
        assert "yours of e on n0 waits for mine of d on n0, for it lacks own.key" in told[name]
    assert await deadlocks.look(hands.store, hands.library, 0) == (0, 0), "it is told once"
    events = [event for event in await hands.views.events() if event["kind"] == "deadlock"]
    assert {event["deployment"] for event in events} == {"d", "e"}


async def test_a_critical_error_that_stops_the_one_that_would_mend_it_is_told(hands: Hands) -> None:
    await deployed(hands, "d", ONE.replace("noop,", "noop, critical: true,", 1))
    assert await hands.run() == []
    await deployed(hands, "e", STOPPED)
    assert await hands.run() == [], "nothing begins on a node with a critical error"
    assert await deadlocks.look(hands.store, hands.library, 0) == (0, 1)
    (give,) = await hands.views.tasks("e")
    assert give.state == "todo"
    assert "give of e on n0 waits for mine of d on n0, for the critical error of mine stops the node" in give.reason
    assert "deadlock: " in (await reasons(hands))["d"]
    assert "deadlock: " in (await reasons(hands))["e"]


async def test_a_node_task_that_only_waits_for_another_deployment_is_no_deadlock(hands: Hands) -> None:
    await deployed(hands, "d", ONE)
    await hands.run()
    await deployed(hands, "e", STOPPED)
    assert await deadlocks.look(hands.store, hands.library, 0) == (0, 0)
    ran = await hands.run(lambda claim: ok(claim, **{f: 1 for f in claim.writes}))
    assert ran == [("n0", "give"), ("n0", "mine"), ("n0", "after")]
