"""A control plane in one process for tests of the engine: an operator and racks that carry out nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rackwright.core.messages import Claim, ClaimRequest, Result, Results, Verdicts
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import PlanRecord, Store
from rackwright.core.views import Views
from rackwright.engine import claims, deployments, intake, machines, planning, timers
from rackwright.engine.library import CatalogLibrary

Jig = Callable[[Claim], Result]
"""What becomes of a claim."""


def ok(claim: Claim, **facts: Any) -> Result:
    """A good end, with these facts."""
    return Result(id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome="ok", facts=facts)


def failed(claim: Claim, reason: str = "it broke") -> Result:
    """A bad end."""
    return Result(id=claim.id, attempt=claim.attempt, revision=claim.revision, outcome="failed", reason=reason)


class Hands:
    """Operator, conductor and racks over one store."""

    def __init__(self, store: Store, views: Views) -> None:
        self.store = store
        self.views = views
        self.library = CatalogLibrary()
        self.racks: dict[str, int] = {}
        self.ran: list[tuple[str, str]] = []
        """(scope, task) of every claim that was carried out, in order."""

    async def site(self, nodes: int = 2, racks: int = 1) -> None:
        """Racks r0.. and nodes n0.. in them, each with an address."""
        for number in range(racks):
            self.racks[f"r{number}"] = await machines.add_rack(self.store, f"r{number}", bytes([number]) * 32)
        new = [
            machines.NewNode(name=f"n{i}", rack=f"r{i % racks}", address=f"127.1.{i // 200}.{i % 200 + 1}")
            for i in range(nodes)
        ]
        assert [added.error for added in await machines.add_nodes(self.store, new)] == [""] * nodes

    async def deployment(
        self, tasks: str, roles: str, name: str = "d", bind: dict[str, list[str]] | None = None
    ) -> None:
        """A deployment of a catalog of these texts, applied once with these bindings."""
        files = {"catalog.yaml": f"name: {name}\nstrict: true\n", "tasks.yaml": tasks, "roles.yaml": roles}
        await self.library.add(self.store, name, files)
        await deployments.create(self.store, self.library, name, catalog=name)
        if bind is not None:
            await self.apply({"bind": bind}, name)

    async def plan(self, changes: dict[str, Any], name: str = "d", *, apply: bool = False) -> PlanRecord:
        """The computed plan of these changes."""
        id = await planning.request_plan(self.store, name, changes, apply=apply, by="test")
        while await planning.compute_next(self.store, self.library):
            pass
        async with self.store.transaction() as tx:
            return await tx.plan(id)

    async def apply(self, changes: dict[str, Any], name: str = "d") -> dict[str, Any]:
        """Make these changes; gives what the plan said."""
        plan = await self.plan(changes, name, apply=True)
        assert plan.state == "applied", plan.error
        return plan.summary

    async def claim(
        self, rack: str = "r0", capacity: int = 100, incarnation: str = "i", lease: float = 30.0
    ) -> list[Claim]:
        """What a rack's process is given now."""
        request = ClaimRequest(incarnation=incarnation, capacity=capacity)
        return await claims.claim(self.store, self.library, self.racks[rack], request, time.time(), lease)

    async def give(self, *results: Result, rack: str = "r0", incarnation: str = "i") -> Verdicts:
        """Hand results in."""
        batch = Results(incarnation, list(results))
        return await intake.take_results(self.store, self.library, self.racks[rack], batch, time.time())

    async def again(self, *tasks: str, name: str = "d") -> int:
        """Let these tasks run again, as a person does; gives how many node tasks that were."""
        return await deployments.retry(self.store, name, tasks=list(tasks))

    async def run(self, jig: Jig = ok, rounds: int = 1000) -> list[tuple[str, str]]:
        """Let every rack claim and carry out until nothing is left to do; gives what ran, in order."""
        before = len(self.ran)
        for _ in range(rounds):
            moved = await timers.wake(self.store)
            for rack in self.racks:
                held = await self.claim(rack)
                self.ran += [(claim.scope, claim.task) for claim in held]
                if held:
                    await self.give(*[jig(claim) for claim in held], rack=rack)
                moved += len(held)
            if not moved:
                return self.ran[before:]
        raise AssertionError("it never comes to rest")

    async def rows(self, name: str = "d") -> dict[tuple[str, str], NodeTask]:
        """Node tasks by (scope, task)."""
        async with self.store.transaction() as tx:
            deployment = (await tx.named("deployment", [name]))[name]
            near = await tx.lock(await tx.find(deployment.id, None, None))
            scopes = await tx.scopes({row.scope for row in near.rows.values()})
            return {(scopes[row.scope].name, row.task): row for row in near.rows.values()}

    async def states(self, name: str = "d") -> dict[tuple[str, str], str]:
        """States by (scope, task)."""
        return {place: row.state.word for place, row in (await self.rows(name)).items()}
