"""Machines that deployments hold, and nodes that come to stand in another rack, in both stores."""

from __future__ import annotations

import pytest

from rackwright.core.errors import Conflict
from rackwright.core.serving import ServedPlace
from rackwright.engine import holding, moving, serving
from rackwright.engine.serving import Place
from tests.integration.conftest import AnyStore
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
    assert await moving.move(made.store, "n2", "r1")
    gone = await serving.delta(made.store, made.racks["r0"], delta.generation)
    assert gone is not None
    assert (len(gone.gone), gone.nodes) == (1, ())
    assert await served(made, "r1") == {"n1", "n2", "n3"}
    assert not await moving.move(made.store, "n2", "r1")
    await made.do("commission", "n2")
    assert [claim.scope for claim in await made.claim("r1")] == ["n2"]
    assert [claim.scope for claim in await made.claim("r0")] == ["n0"]


async def test_a_node_that_is_held_or_busy_is_not_moved(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await opened(store, monkeypatch)
    await made.do("commission", "n2")
    for name, why in (("n0", "bound in the deployment d"), ("n2", "it is commissioning now")):
        with pytest.raises(Conflict, match=why):
            await moving.move(made.store, name, "r1")
    assert await served(made, "r0") == {"n0", "n2"}


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


async def _round(made: MetalSite) -> int:
    """Check all that there is once; gives how often something was mended."""
    place, count = await serving.check(made.store, Place())
    mended = int(count)
    while place != Place():
        place, again = await serving.check(made.store, place)
        mended += again
    return mended
