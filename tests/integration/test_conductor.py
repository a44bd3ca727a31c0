"""A conductor as a whole: several things go on in it at once."""

from __future__ import annotations

import asyncio

from rackwright.engine import annealer, deployments, machines, planning
from rackwright.engine.library import CatalogLibrary
from rackwright.store.postgres import PostgresStore
from tests.unit.api_world import TINY

PATIENCE = 60.0


async def until_applied(store: PostgresStore, plan: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            async with store.transaction() as tx:
                if (await tx.plan(plan)).state == "applied":
                    return
            await asyncio.sleep(0.02)


async def test_a_plan_that_has_to_wait_holds_up_no_other(postgres_store: PostgresStore) -> None:
    store, library = postgres_store, CatalogLibrary()
    await machines.add_rack(store, "r1", b"." * 32)
    await machines.add_nodes(store, [machines.NewNode(name=name, rack="r1") for name in ("n1", "n2")])
    await library.add(store, "tiny", TINY)
    plans = {}
    for deployment, node in (("first", "n1"), ("second", "n2")):
        await deployments.create(store, library, deployment, catalog="tiny")
        changes = {"bind": {"web": [node]}}
        plans[deployment] = await planning.request_plan(store, deployment, changes, apply=True, by="me")
    stop = asyncio.Event()
    async with store.transaction() as held:
        await held.lock_deployment((await held.named("deployment", ["first"]))["first"].id)
        working = asyncio.create_task(annealer.run(store, library, stop))
        await until_applied(store, plans["second"])
        async with store.transaction() as tx:
            assert (await tx.plan(plans["first"])).state == "requested"
    await until_applied(store, plans["first"])
    stop.set()
    async with asyncio.timeout(PATIENCE):
        await working
