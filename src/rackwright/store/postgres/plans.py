"""Catalogs, plans and events in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.ports import Event, PlanRecord
from rackwright.store.postgres import records
from rackwright.store.postgres.session import columns
from rackwright.store.postgres.work import Work
from rackwright.store.refusals import unknown
from rackwright.store.texts import plain


class PlanWork(Work):
    """The part of a transaction that is about catalogs, plans and events."""

    async def catalog(self, digest: str) -> bytes:
        """See the port."""
        document = await self.value("catalog", digest)
        if document is None:
            raise unknown("catalog with the digest", digest)
        return bytes(document)

    async def put_catalog(self, digest: str, name: str | None, document: bytes) -> None:
        """See the port."""
        await self.run("put_catalog", digest, document)
        if name is not None:
            await self.run("name_catalog", name, digest)

    async def catalog_digest(self, name: str) -> str | None:
        """See the port."""
        digest = await self.value("catalog_digest", name)
        return None if digest is None else str(digest)

    async def next_plan(self) -> PlanRecord | None:
        """See the port."""
        row = await self.row("next_plan")
        return None if row is None else records.plan(row)

    async def plan(self, id: int, *, lock: bool = False) -> PlanRecord:
        """See the port."""
        row = await self.row("lock_plan" if lock else "plan", id)
        if row is None:
            raise unknown("plan", id)
        return records.plan(row)

    async def add_plan(self, plan: PlanRecord) -> int:
        """See the port."""
        id = await self.value(
            "add_plan", plan.deployment, plan.changes, plan.apply, plan.state, plan.summary, plan.fence,
            plain(plan.error), plan.created_by, plan.created_at or None, plan.finished_at,
        )  # fmt: skip
        self.tell("plan", id)
        return int(id)

    async def set_plan(self, plan: PlanRecord) -> None:
        """See the port."""
        fields = (plan.state, plan.apply, plan.summary, plan.fence, plain(plan.error), plan.finished_at)
        if await self.value("set_plan", plan.id, *fields) is None:
            raise unknown("plan", plan.id)
        self.tell("plan", plan.id)

    async def record(self, events: Sequence[Event]) -> None:
        """See the port."""
        if not events:
            return
        rows = [
            (event.kind, plain(event.text), event.deployment, event.scope, event.task, event.data) for event in events
        ]
        await self.run("add_events", *columns(rows, 6))
        self.tell("event", "")
