"""Nodes and racks in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rackwright.core.ports import Scope
from rackwright.store.batches import repeated
from rackwright.store.postgres import records
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work
from rackwright.store.refusals import busy, name_taken, occupied, unknown


class ScopeWork(Work):
    """The part of a transaction that is about scopes."""

    async def scopes(self, ids: Collection[int]) -> dict[int, Scope]:
        """See the port."""
        return {row[0]: records.scope(row) for row in await self.rows("scopes", list(ids))} if ids else {}

    async def named(self, kind: str, names: Collection[str] | None) -> dict[str, Scope]:
        """See the port."""
        if names is None:
            rows = await self.rows("named_all", kind)
        else:
            rows = await self.rows("named", kind, list(names))
        return {row[2]: records.scope(row) for row in rows}

    async def add_scope(self, scope: Scope, *, secret: bytes | None = None) -> int:
        """See the port."""
        id = await self.value(
            "add_scope", scope.kind, scope.name, scope.rack, scope.alive, scope.available, scope.labels, secret
        )
        if id is None:
            raise name_taken(scope.kind, scope.name)
        self.mark_served([int(id)])
        return int(id)

    async def add_nodes(self, nodes: Sequence[Scope]) -> list[int]:
        """See the port."""
        rows = [(node.name, node.rack, node.alive, node.available, Json(node.labels)) for node in nodes]
        ids = {row["name"]: int(row["id"]) for row in await self.rows("add_nodes", *columns(rows, 5))}
        taken = next((node.name for node in nodes if node.name not in ids), None) or repeated(nodes)
        if taken is not None:
            raise name_taken("node", taken)
        self.mark_served(ids.values())
        return [ids[node.name] for node in nodes]

    async def set_alive(self, scope: int, *, alive: bool | None = None, available: bool | None = None) -> None:
        """See the port."""
        row = await self.row("set_alive", scope, alive, available)
        if row is None:
            raise unknown("node", scope)
        if alive or available:
            self.tell_racks([row["rack"]])

    async def set_rack(self, node: int, rack: int) -> None:
        """See the port."""
        await self.run("set_rack", node, rack)
        self.mark_served([node])

    async def remove(self, scope: int) -> None:
        """See the port."""
        found = await self.row("lock_scope", scope)
        if found is None:
            raise unknown("scope", scope)
        task = await self.value("busy_on", scope)
        if task is not None:
            raise busy(found["kind"], found["name"], task)
        standing = await self.row("stands_in", scope)
        if standing is not None:
            raise occupied(found["kind"], found["name"], standing["kind"], standing["name"])
        if found["kind"] == "deployment":
            for part in ("rows", "barriers", "plans", "members"):
                await self.run(f"remove_{part}_of", scope)
            await self.run("remove_deployment", scope)
        await self.run("remove_rows", scope)
        await self.run("remove_facts", scope)
        await self.run("remove_scope", scope)
        if found["kind"] == "rack":
            self.tell("rack", scope)
        self.mark_served([scope])
