"""Catalogs, plans and events in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from rackwright.core.ports import Event, PlanRecord
from rackwright.store.memory.work import Work
from rackwright.store.refusals import unknown
from rackwright.store.texts import plain


class PlanWork(Work):
    """The part of a transaction that is about catalogs, plans and events."""

    async def catalog(self, digest: str) -> bytes:
        """See the port."""
        if digest not in self.tables.catalogs:
            raise unknown("catalog with the digest", digest)
        return self.tables.catalogs[digest]

    async def put_catalog(self, digest: str, name: str | None, document: bytes) -> None:
        """See the port."""
        self.tables.catalogs.setdefault(digest, document)
        if name is not None and self.tables.catalog_names.get(name, ("", 0.0))[0] != digest:
            self.tables.catalog_names[name] = (digest, time.time())

    async def catalog_digest(self, name: str) -> str | None:
        """See the port."""
        found = self.tables.catalog_names.get(name)
        return None if found is None else found[0]

    async def next_plan(self) -> PlanRecord | None:
        """See the port."""
        for _, plan in sorted(self.tables.plans.items()):
            if plan.state == "requested" or (plan.state == "ready" and plan.apply):
                return plan
        return None

    async def plan(self, id: int, *, lock: bool = False) -> PlanRecord:
        """See the port."""
        if id not in self.tables.plans:
            raise unknown("plan", id)
        return self.tables.plans[id]

    async def add_plan(self, plan: PlanRecord) -> int:
        """See the port."""
        tables = self.tables
        if plan.deployment not in tables.deployments:
            raise unknown("deployment", plan.deployment)
        id = tables.fresh_id()
        tables.plans[id] = msgspec.structs.replace(plan, id=id, created_at=plan.created_at or time.time())
        self.tell("plan", id)
        return id

    async def set_plan(self, plan: PlanRecord) -> None:
        """See the port."""
        before = await self.plan(plan.id)
        self.tables.plans[plan.id] = msgspec.structs.replace(
            before,
            state=plan.state,
            apply=plan.apply,
            summary=plan.summary,
            fence=plan.fence,
            error=plain(plan.error),
            finished_at=plan.finished_at,
        )
        self.tell("plan", plan.id)

    async def record(self, events: Sequence[Event]) -> None:
        """See the port."""
        for event in events:
            stamped = msgspec.structs.replace(event, id=self.tables.fresh_id(), at=time.time(), text=plain(event.text))
            self.tables.events.append(stamped)
        if events:
            self.tell("event", "")
