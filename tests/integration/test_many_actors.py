"""Racks, conductors and operators at once on PostgreSQL, each with its own connection, against invariants that hold at
every moment and at the end. The seed is told when something is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from rackwright.core.errors import RackwrightError
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.messages import Claim, Heartbeat, Result
from rackwright.core.node_task import Barrier, NodeTask, State
from rackwright.engine import deployments, intake, machines, parking, planning, seating, timers
from rackwright.store.postgres import PostgresStore
from tests.integration.hands import Hands, failed, ok
from tests.integration.recount import counters, faults

SECONDS = max(6.0, float(os.environ.get("CHAOS_SECONDS", "0")) / 8)
"""Of each run; longer by `make chaos`."""
NODES = 6
LEASE = 0.4
PARKED = 0.2
ROLES = """
- name: web
  attributes: {properties: {port: {type: integer, default: 80}, colour: {type: string, default: red}}}
- name: extra
"""
TASKS = """
- {id: render, type: noop, roles: [web], reads: {port: desired.web.port}, writes: [web.config]}
- {id: start, type: noop, roles: [web], reads: {config: web.config}, retry: {attempts: 2, delay: 0.01}}
- {id: paint, type: noop, roles: [web], reads: {colour: desired.web.colour}, requires: [start]}
- {id: gather, type: noop, scope: deployment, reads: {ports: "nodes:web.config"}, writes: [{fact: web.all, slow: true}]}
- {id: join, type: noop, roles: [web], requires: [paint], cross_depends: [{name: paint}]}
- {id: burn, type: noop, roles: [web], requires: [join], destructive: true, reads: {colour: desired.web.colour}}
- {id: more, type: noop, roles: [extra], requires: [start]}
"""
NAMES = [f"n{number}" for number in range(NODES)]


class Actors:
    """What goes on at once, and what was seen of it."""

    def __init__(self, hands: Hands, seed: int) -> None:
        self.hands = hands
        self.seed = seed
        self.end = time.monotonic() + SECONDS
        self.acknowledged: list[tuple[int, int]] = []
        self.did: Counter[str] = Counter()

    def jig(self, claim: Claim, chance: random.Random, fails: float) -> Result:
        if chance.random() < fails:
            return failed(claim)
        if fails and chance.random() < 0.1:
            waits = Result(id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome="parked", until=PARKED)
            return msgspec.structs.replace(waits, until_fact={"never.there": 1} if chance.random() < 0.5 else {})
        if claim.task == "render":
            return ok(claim, **{"web.config": {"listen": claim.inputs["port"]}})
        return (
            ok(claim, **{"web.all": sorted(map(str, claim.inputs["ports"]))}) if claim.task == "gather" else ok(claim)
        )

    async def again_and_again(self, name: str, number: int, step: Callable[[random.Random], Awaitable[None]]) -> None:
        chance = random.Random(f"{self.seed}/{name}/{number}")
        while time.monotonic() < self.end:
            # What is refused (a stop of what is stopped, a plan that would remove what runs) is part of the life.
            with contextlib.suppress(RackwrightError):
                await step(chance)
                self.did[name] += 1
            await asyncio.sleep(chance.random() * 0.02)

    async def rack(self, chance: random.Random) -> None:
        """A process of a rack: it claims, beats, hands in; or it dies and another one takes its place."""
        rack = chance.choice(["r0", "r1"])
        incarnation = f"{rack}-{chance.randint(1, 3)}"
        held = await self.hands.claim(rack, chance.randint(1, 4), incarnation, LEASE)
        self.did["claimed"] += len(held)
        if chance.random() < 0.3:
            beat = Heartbeat(incarnation, [(claim.id, claim.attempt) for claim in held])
            await seating.heartbeat(self.hands.store, self.hands.racks[rack], beat, time.time(), LEASE)
        if chance.random() < 0.1:
            return
        await asyncio.sleep(chance.random() * 0.05)
        results = [self.jig(claim, chance, 0.15) for claim in held]
        for batch in (results, results) if chance.random() < 0.2 else (results,):
            verdicts = await self.hands.give(*batch, rack=rack, incarnation=incarnation)
            self.acknowledged += [
                (verdict.id, verdict.attempt)
                for verdict in verdicts.items
                if verdict.taken and verdict.reason != "parked"
            ]

    async def conductor(self, chance: random.Random) -> None:
        """One of the conductor's passes."""
        store, library = self.hands.store, self.hands.library
        passes: list[Callable[[], Awaitable[object]]] = [
            lambda: planning.compute_next(store, library),
            lambda: timers.wake(store),
            lambda: timers.reap(store, time.time()),
            lambda: timers.fold(store),
            lambda: parking.tend(store, library, time.time()),
            lambda: timers.sweep(store, library, 0),
        ]
        await chance.choice(passes)()

    async def operator(self, chance: random.Random) -> None:
        """A person, or the world."""
        store = self.hands.store
        node, word = chance.choice(NAMES), chance.choice(["colour", "port", "bind", "retry", "commit", "stop", "node"])
        self.did[word] += 1
        if word in ("colour", "port"):
            value = chance.choice(["red", "blue"]) if word == "colour" else chance.randint(80, 82)
            scope = (await self.scopes())[node]
            await intake.put_facts(store, self.hands.library, [FactWrite(scope, f"desired.web.{word}", value, PEOPLE)])
        elif word == "bind":
            changes = {chance.choice(["bind", "unbind"]): {"extra": [node]}}
            await planning.request_plan(store, "d", changes, apply=True, by="test")
        elif word == "retry":
            named = chance.sample(["render", "start", "paint", "join"], 1) if chance.random() < 0.5 else None
            await deployments.retry(store, "d", tasks=named, nodes=[node] if named else None)
        elif word == "commit":
            await deployments.commit(store, "d")
        elif word == "stop":
            await deployments.stop(store, "d")
            await deployments.resume(store, "d")
        else:
            await machines.set_node(store, node, alive=False)
            await machines.set_node(store, node, alive=True)

    async def scopes(self) -> dict[str, int]:
        async with self.hands.store.transaction() as tx:
            return {name: scope.id for name, scope in (await tx.named("node", None)).items()}

    async def watch(self) -> None:
        """Recount, again and again, what a moment of the whole store says."""
        while time.monotonic() < self.end:
            rows, barriers = await moment(self.hands)
            assert counters(rows, barriers) == [], f"seed {self.seed}"
            self.did["recounts"] += 1
            await asyncio.sleep(0.05)


async def moment(hands: Hands) -> tuple[list[NodeTask], list[Barrier]]:
    """All rows and barriers of one moment: while they are locked nothing can move."""
    async with hands.store.transaction() as tx:
        deployment = (await tx.named("deployment", ["d"]))["d"].id
        rows = await tx.graph_rows(deployment, "deploy")
        near = await tx.lock([row.id for row in rows])
        return list(near.rows.values()), list(near.barriers.values())


@pytest.fixture
async def hands(store_dsn: str) -> AsyncIterator[Hands]:
    store = await PostgresStore.open(store_dsn, pool_size=16)
    made = Hands(store, store.views)
    await made.site(nodes=NODES, racks=2)
    await made.deployment(TASKS, ROLES, bind={"web": NAMES})
    yield made
    await store.close()


async def errors_in_force(hands: Hands) -> list[str]:
    """Node tasks that are active although something above them failed after they had become so."""
    rows, _ = await moment(hands)
    newest = {(run.node_task, run.attempt): run.id for run in await hands.views.runs("d", limit=1_000_000)}
    at = {row.id: newest.get((row.id, row.attempt), 0) for row in rows}
    async with hands.store.transaction() as tx:
        below = {row.id: await tx.reach([row.id], "descendants") for row in rows if row.state is State.ERROR}
    active = {row.id: row.task for row in rows if row.state is State.ACTIVE}
    return [
        f"{active[id]} ({id}) is active below the later error of {error}"
        for error, ids in below.items()
        for id in ids
        if id in active and at[id] < at[error]
    ]


@pytest.mark.parametrize("seed", [1, 2])
async def test_many_actors_lose_nothing_and_do_nothing_twice(hands: Hands, seed: int) -> None:
    actors = Actors(hands, seed)
    async with asyncio.timeout(SECONDS * 10), asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(actors.again_and_again("rack", number, actors.rack))
        for number in range(2):
            group.create_task(actors.again_and_again("conductor", number, actors.conductor))
            group.create_task(actors.again_and_again("operator", number, actors.operator))
        group.create_task(actors.watch())
    runs = await hands.views.runs("d", limit=1_000_000)
    ended = Counter((run.node_task, run.attempt) for run in runs)
    assert [pair for pair, count in ended.items() if count > 1] == [], "an attempt ended twice"
    assert set(actors.acknowledged) <= set(ended), "acknowledged, but not stored"
    assert max(Counter(actors.acknowledged).values()) == 1, "acknowledged twice"
    assert await errors_in_force(hands) == []
    assert all(actors.did[name] for name in ("rack", "conductor", "operator", "recounts", "claimed"))
    await come_to_rest(hands, actors)
    assert await faults(hands.store, hands.views) == []


async def come_to_rest(hands: Hands, actors: Actors) -> None:
    """After all of it everything can still become active, each on its newest inputs."""
    chance = random.Random(0)
    while await planning.compute_next(hands.store, hands.library):
        pass
    await timers.reap(hands.store, time.time() + 3600)
    await asyncio.sleep(2 * PARKED)
    while await parking.tend(hands.store, hands.library, time.time()):
        pass
    for _ in range(10):
        await deployments.retry(hands.store, "d")
        await deployments.commit(hands.store, "d")
        await asyncio.sleep(0.02)
        await hands.run(lambda claim: actors.jig(claim, chance, 0.0))
    left = {place: row for place, row in (await hands.rows()).items() if row.state is not State.ACTIVE}
    assert not left, f"seed {actors.seed}: {left}"
    await timers.fold(hands.store)
