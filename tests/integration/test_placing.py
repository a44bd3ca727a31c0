"""Machines that deployments hold, and nodes that come to stand in another rack, in both stores."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from rackwright.core.addresses import ADDRESS
from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.serving import ServedPlace, document, project_node
from rackwright.core.waves import WaveRule
from rackwright.engine import campaigns, holding, moving, serving
from rackwright.engine.activities import Answer
from rackwright.engine.campaigns import Wish
from rackwright.engine.moving import Move
from rackwright.engine.serving import Place
from rackwright.store.postgres import PostgresStore
from tests.integration.conftest import AnyStore
from tests.integration.hands import ok
from tests.integration.metal_site import MetalSite, errors, site

TASKS = "- {id: install, type: noop, roles: [web]}\n"
ROLES = "- {name: web, description: a web server}\n"


async def opened(store: AnyStore, monkeypatch: pytest.MonkeyPatch, *verbs: str) -> MetalSite:
    """Racks r0 and r1; in r0 the machines n0 and n2, of which n0 is bound in the deployment d once they heard these
    verbs."""
    made = site(store)
    await made.open(monkeypatch, 4, racks=2)
    for verb in ("accept", *verbs):
        await made.do(verb, "n0", "n2")
    await made.deployment(TASKS, ROLES, bind={"web": ["n0"]})
    return made


async def served(made: MetalSite, rack: str) -> set[str]:
    """The names of what a rack serves."""
    await serving.begin(made.store, made.racks[rack])
    delta = await serving.delta(made.store, made.racks[rack], -1)
    assert delta is not None
    return {node.name for node in delta.nodes}


@pytest.mark.parametrize(("verb", "before_it"), [("release", ["allocate"]), ("retire", [])])
async def test_a_machine_that_a_deployment_holds_is_not_given_away(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch, verb: str, before_it: list[str]
) -> None:
    made = await opened(store, monkeypatch, *before_it)
    before = await made.words("n0")
    answers = await made.say(verb, "n0", "n2")
    assert errors(answers) == {
        "n0": f"n0: {verb}: it is bound in the deployment d (unbind it there first, or add --force)"
    }
    assert await made.words("n0") == before
    await made.apply({"unbind": {"*": ["n0"]}, "cascade": True})
    await made.do(verb, "n0")


async def by_force(made: MetalSite, verb: str, *names: str, **how: Any) -> list[Answer]:
    wish = Wish(verb=verb, names=names, force=True, asked_by="olga", **how)
    return await campaigns.say(made.store, made.library, wish, time.time())


async def test_by_force_deployments_let_go_of_a_machine(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch, "allocate")
    answers = await by_force(made, "release", "n0", "n2")
    assert [(answer.error, answer.unbound) for answer in answers] == [("", ["d"]), ("", [])]
    assert await made.words("n0", "n2") == ["releasing", "releasing"]
    assert await holding.holders(made.store, "n0") == []
    plan = (await made.views.plans("d"))[0]
    assert (plan["state"], plan["created_by"]) == ("applied", "olga")
    assert plan["changes"] == {"unbind": {"*": ["n0"]}, "cascade": True}


async def test_what_is_refused_by_force_too_changes_nothing(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    plans = len(await made.views.plans("d"))
    (answer,) = await by_force(made, "release", "n0")
    assert "it is free" in answer.error
    assert await holding.holders(made.store, "n0") == ["d"]
    with pytest.raises(InvalidInput, match="deploy does not ask"):
        await by_force(made, "deploy", "n0")
    assert len(await made.views.plans("d")) == plans


async def test_by_force_a_machine_is_let_go_of_when_its_turn_has_come(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch, "allocate")
    await by_force(made, "release", "n2", "n0", waves=WaveRule(steps=(1,)))
    assert await holding.holders(made.store, "n0") == ["d"]
    await made.run(ok)
    while await campaigns.keep(made.store, made.library, time.time()):
        await made.run(ok)
    assert await holding.holders(made.store, "n0") == []
    assert await made.words("n0", "n2") == ["ready", "ready"]


async def test_the_deployment_of_activities_holds_nobody(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    await made.do("commission", "n2")
    assert await holding.holders(made.store, "n2") == []
    assert await holding.holders(made.store, "n0") == ["d"]


async def test_a_node_that_is_moved_is_served_there_and_no_longer_here(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    assert (await served(made, "r0"), await served(made, "r1")) == ({"n0", "n2"}, {"n1", "n3"})
    delta = await serving.delta(made.store, made.racks["r0"], -1)
    assert delta is not None
    assert (await moving.move(made.store, made.library, "n2", Move(rack="r1"))).moved
    gone = await serving.delta(made.store, made.racks["r0"], delta.generation)
    assert gone is not None
    assert (len(gone.gone), gone.nodes) == (1, ())
    assert await served(made, "r1") == {"n1", "n2", "n3"}
    assert not (await moving.move(made.store, made.library, "n2", Move(rack="r1"))).moved
    await made.do("commission", "n2")
    assert [claim.scope for claim in await made.claim("r1")] == ["n2"]
    assert [claim.scope for claim in await made.claim("r0")] == ["n0"]


async def test_a_node_that_is_held_or_busy_is_not_moved(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    await made.do("commission", "n2")
    for name, why in (("n0", "bound in the deployment d"), ("n2", "it is commissioning now")):
        with pytest.raises(Conflict, match=why):
            await moving.move(made.store, made.library, name, Move(rack="r1"))
    assert await served(made, "r0") == {"n0", "n2"}


async def test_by_force_a_node_is_moved_only_if_nothing_else_speaks_against_it(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    await made.do("commission", "n0")
    with pytest.raises(Conflict, match="it is commissioning now"):
        await moving.move(made.store, made.library, "n0", Move(rack="r1", force=True))
    assert await holding.holders(made.store, "n0") == ["d"]
    await made.do("abort", "n0")
    with pytest.raises(Conflict, match="address"):
        await moving.move(made.store, made.library, "n0", Move(rack="r1", address="127.1.0.2", force=True))
    assert await served(made, "r0") == {"n0", "n2"}
    moved = await moving.move(made.store, made.library, "n0", Move(rack="r1", address="127.9.0.1", force=True), "olga")
    assert (moved.moved, moved.unbound) == (True, ["d"])
    assert (await made.facts("n0"))[ADDRESS] == "127.9.0.1"
    assert await served(made, "r1") == {"n0", "n1", "n3"}


async def test_whoever_moves_a_node_waits_for_what_is_just_begun_with_it(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(postgres_store, monkeypatch)
    for number in range(12):
        target = f"r{(number + 1) % 2}"
        outcomes = await asyncio.gather(
            moving.move(made.store, made.library, "n2", Move(rack=target)),
            made.say("commission", "n2"),
            made.apply({"bind": {"web": ["n2"]}}),
            return_exceptions=True,
        )
        assert all(not isinstance(end, Exception) or isinstance(end, Conflict) for end in outcomes), outcomes
        assert await _racks_of_work(made, "n2") == {(await made.views.nodes(names=["n2"]))[0].rack}
        await made.do("abort", "n2")
        await made.apply({"unbind": {"*": ["n2"]}, "cascade": True})


async def test_force_and_plans_at_the_same_instant_leave_nothing_half_done(
    postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(postgres_store, monkeypatch)
    for _ in range(3):
        await made.do("allocate", "n2")
        await made.apply({"bind": {"web": ["n2"]}})
        outcomes = await asyncio.gather(
            by_force(made, "release", "n2"),
            made.apply({"bind": {"web": ["n0"]}}),
            moving.move(made.store, made.library, "n2", Move(rack="r1", force=True)),
            made.run(ok, rounds=50),
            return_exceptions=True,
        )
        assert all(not isinstance(end, Exception) or isinstance(end, Conflict) for end in outcomes), outcomes
        released = not isinstance(outcomes[0], BaseException) and not outcomes[0][0].error
        assert released
        assert await holding.holders(made.store, "n2") == []
        await made.run(ok)
        assert await made.words("n2") == ["ready"]
        await moving.move(made.store, made.library, "n2", Move(rack="r0"))


async def _racks_of_work(made: MetalSite, name: str) -> set[str]:
    """The racks that are to do something with a node."""
    node = (await made.machine(name)).id
    async with made.store.transaction() as tx:
        racks = {row.rack for row in await tx.standing_on(node)}
        return {scope.name for scope in (await tx.scopes([rack for rack in racks if rack is not None])).values()}


async def test_the_slow_check_mends_what_a_rack_serves_and_finds_nothing_after(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    assert "n2" in await served(made, "r0")
    rack = made.racks["r0"]
    node = (await made.machine("n2")).id
    async with made.store.transaction() as tx:
        await tx.lock_serving([node])
        await tx.serve([ServedPlace(rack, node, None)])
    assert "n2" not in await served(made, "r0")
    assert await _round(made) == 1
    assert "n2" in await served(made, "r0")
    assert await _round(made) == 0


async def test_the_slow_check_finds_what_is_served_and_stands_elsewhere(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await opened(store, monkeypatch)
    there, rack = await served(made, "r0"), made.racks["r0"]
    async with made.store.transaction() as tx:
        node = (await tx.named("node", ["n1"]))["n1"].id
        await tx.lock_rack(rack)
        await tx.serve([ServedPlace(rack, node, document(project_node(node, "n1", {})))])
    assert await served(made, "r0") == {*there, "n1"}
    assert await _round(made) == 1
    assert await served(made, "r0") == there
    assert await _round(made) == 0


async def _round(made: MetalSite) -> int:
    """Check all that there is once; gives how often something was mended."""
    place, racks = await serving.check(made.store, Place())
    mended = len(racks)
    while place != Place():
        place, again = await serving.check(made.store, place)
        mended += len(again)
    return mended
