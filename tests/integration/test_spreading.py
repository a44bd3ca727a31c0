"""Errors with much below them: what is blocked in slices ends as what is blocked at once. On both stores."""

from __future__ import annotations

import random

import pytest

from rackwright.core.messages import Claim, Result
from rackwright.engine import spreading, timers
from rackwright.store.memory import MemoryStore
from tests.integration.conftest import AnyStore
from tests.integration.hands import Hands, failed, ok

NODES = ["n0", "n1", "n2"]
TASKS = 7


def graph(seed: int) -> str:
    """Tasks that follow each other at random, some of them those of all nodes."""
    chance, lines = random.Random(seed), []
    for number in range(TASKS):
        above = [f"t{other}" for other in range(number) if chance.random() < 0.4]
        crossed = [f"{{name: t{other}}}" for other in range(number) if chance.random() < 0.15]
        lines.append(
            f"- {{id: t{number}, type: noop, roles: [web], requires: [{', '.join(above)}], "
            f"cross_depends: [{', '.join(crossed)}]}}"
        )
    return "\n".join(lines)


async def told(hands: Hands, seed: int) -> dict[tuple[str, str], str]:
    """The states after some node tasks of a deployment that was active were run again and have failed, while others
    are proposed, run or wait."""
    await hands.site(3)
    await hands.deployment(graph(seed), "- {name: web}", bind={"web": NODES})
    await hands.run()
    chance = random.Random(seed + 1)
    await hands.again(*chance.sample([f"t{number}" for number in range(TASKS)], 3))
    bad = {claim.id for claim in await rounds(hands, chance)}
    assert bad
    while await spreading.spread(hands.store, 2):
        pass
    while await timers.wake(hands.store):
        pass
    async with hands.store.transaction() as tx:
        assert await tx.spreading(10) == []
        assert await tx.recount() == {}
    return await hands.states()


async def rounds(hands: Hands, chance: random.Random) -> list[Claim]:
    """Some rounds of work in which half of all fails; gives what has failed."""
    bad: list[Claim] = []
    for _ in range(3):
        ends: list[Result] = []
        for claim in await hands.claim(capacity=2):
            fails = chance.random() < 0.5
            ends.append(failed(claim) if fails else ok(claim))
            bad += [claim] if fails else []
        await hands.give(*ends)
        while await spreading.spread(hands.store, 2):
            pass
        while await timers.wake(hands.store):
            pass
        if bad:
            break
    return bad


@pytest.mark.parametrize("seed", range(4))
async def test_in_slices_it_comes_to_the_same_as_at_once(
    store: AnyStore, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = MemoryStore()
    at_once = await told(Hands(plain, plain.views), seed)
    monkeypatch.setattr(spreading, "CROWD", 0)
    assert await told(Hands(store, store.views), seed) == at_once


CHAIN = """
- {id: t0, type: noop, roles: [web]}
- {id: t1, type: noop, roles: [web], requires: [t0]}
- {id: t2, type: noop, roles: [web], requires: [t1]}
- {id: t3, type: noop, roles: [web], requires: [t2]}
"""


@pytest.fixture
async def hands(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> Hands:
    """Three nodes with a chain of four tasks, active; an error blocks two node tasks at once at most."""
    monkeypatch.setattr(spreading, "CROWD", 2)
    made = Hands(store, store.views)
    await made.site(3)
    await made.deployment(CHAIN, "- {name: web}", bind={"web": NODES})
    await made.run()
    return made


async def fail_first(hands: Hands) -> None:
    """t0 fails on n0, and t3 of n1 is to run again."""
    await hands.again("t0")
    for claim in await hands.claim():
        await hands.give(failed(claim) if claim.scope == "n0" else ok(claim))


async def test_nothing_of_the_deployment_is_claimed_while_an_error_spreads(hands: Hands) -> None:
    await hands.again("t0")
    held = {claim.scope: claim for claim in await hands.claim()}
    await hands.give(failed(held["n0"]))
    await hands.again("t3")
    await hands.give(ok(held["n1"]), ok(held["n2"]))
    assert await hands.claim() == []
    steps = 0
    while await spreading.spread(hands.store, 1):
        steps += 1
        states = await hands.states()
        blocked = [states["n0", f"t{number}"] == "blocked" for number in (1, 2, 3)]
        assert blocked == sorted(blocked, reverse=True), "what is above is blocked before what is below"
    assert steps >= 3
    assert {claim.scope for claim in await hands.claim()} == {"n1", "n2"}
    assert [state for (node, _), state in sorted((await hands.states()).items()) if node == "n0"] == [
        "error", "blocked", "blocked", "blocked",
    ]  # fmt: skip


async def test_what_was_mended_meanwhile_runs_again_once_all_is_blocked(hands: Hands) -> None:
    await fail_first(hands)
    assert await spreading.spread(hands.store, 1)
    await hands.again("t0")
    assert await hands.claim() == []
    while await spreading.spread(hands.store, 1):
        pass
    await hands.run()
    assert set((await hands.states()).values()) == {"active"}


async def test_a_deployment_that_changes_while_an_error_spreads_keeps_nothing_back(hands: Hands) -> None:
    await fail_first(hands)
    await hands.apply({"unbind": {"web": ["n0"]}})
    while await spreading.spread(hands.store, 1):
        pass
    await hands.again("t0")
    await hands.run()
    assert set((await hands.states()).values()) == {"active"}


async def test_few_below_an_error_are_blocked_with_it(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "CROWD", 3)
    await fail_first(hands)
    assert (await hands.states())["n0", "t3"] == "blocked"
    assert await spreading.spread(hands.store) == 0
