"""Nodes and racks in memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import msgspec

from rackwright.core.node_task import State
from rackwright.core.ports import Scope
from rackwright.store.batches import repeated
from rackwright.store.memory.rollup import RollupWork
from rackwright.store.refusals import busy, name_taken, occupied, unknown


class ScopeWork(RollupWork):
    """The part of a transaction that is about scopes."""

    async def scopes(self, ids: Collection[int]) -> dict[int, Scope]:
        """See the port."""
        return {id: self.tables.scopes[id] for id in ids if id in self.tables.scopes}

    async def named(self, kind: str, names: Collection[str] | None) -> dict[str, Scope]:
        """See the port."""
        return {
            scope.name: scope
            for scope in self.tables.scopes.values()
            if scope.kind == kind and (names is None or scope.name in names)
        }

    async def add_scope(self, scope: Scope, *, secret: bytes | None = None) -> int:
        """See the port."""
        tables = self.tables
        if tables.scope_named(scope.kind, scope.name) is not None:
            raise name_taken(scope.kind, scope.name)
        if scope.rack is not None and scope.rack not in tables.scopes:
            raise unknown("rack", scope.rack)
        id = tables.fresh_id()
        tables.scopes[id] = msgspec.structs.replace(scope, id=id, created_at=time.time())
        if secret is not None:
            tables.secrets[id] = secret
        self.mark_served([id])
        return id

    async def add_nodes(self, nodes: Sequence[Scope]) -> list[int]:
        """See the port."""
        taken = next((node.name for node in nodes if self.tables.scope_named("node", node.name)), None)
        taken = taken or repeated(nodes)
        if taken is not None:
            raise name_taken("node", taken)
        return [await self.add_scope(node) for node in nodes]

    async def set_alive(self, scope: int, *, alive: bool | None = None, available: bool | None = None) -> None:
        """See the port."""
        found = self.tables.scopes.get(scope)
        if found is None:
            raise unknown("node", scope)
        self.tables.scopes[scope] = msgspec.structs.replace(
            found,
            alive=found.alive if alive is None else alive,
            available=found.available if available is None else available,
        )
        if alive or available:
            self.tell_racks([found.rack])

    async def set_rack(self, node: int, rack: int) -> None:
        """See the port."""
        self.tables.scopes[node] = msgspec.structs.replace(self.tables.scopes[node], rack=rack)
        self.mark_served([node])

    async def remove(self, scope: int) -> None:
        """See the port."""
        tables = self.tables
        found = tables.scopes.get(scope)
        if found is None:
            raise unknown("scope", scope)
        for row in tables.rows_of(state=State.TRANSITION):
            if scope in (row.scope, row.deployment, row.rack):
                raise busy(found.kind, found.name, row.task)
        standing = self._standing_in(scope)
        if standing is not None:
            raise occupied(found.kind, found.name, standing.kind, standing.name)
        for row in tables.rows_of():
            if scope in (row.scope, row.deployment):
                self.count_rows([row], -1)
                tables.drop_row(row.id)
        tables.barriers = {id: old for id, old in tables.barriers.items() if old.deployment != scope}
        tables.plans = {id: plan for id, plan in tables.plans.items() if plan.deployment != scope}
        for table in (tables.scopes, tables.secrets, tables.facts, tables.deployments, tables.generations):
            table.pop(scope, None)
        tables.members.pop(scope, None)
        tables.steering.pop(scope, None)
        tables.machines.pop(scope, None)
        tables.turns.pop(scope, None)
        tables.traits.pop(scope, None)
        tables.waves.pop(scope, None)
        tables.sealed = {key: data for key, data in tables.sealed.items() if key[0] != scope}
        tables.limits = {key: amount for key, amount in tables.limits.items() if key[0] != scope}
        tables.serving.pop(scope, None)
        if found.kind == "rack":
            self.tell("rack", scope)
        tables.leases = {key: lease for key, lease in tables.leases.items() if key[0] != scope}
        tables.networks = [claim for claim in tables.networks if claim.rack != scope]
        self.mark_served([scope])

    def _standing_in(self, scope: int) -> Scope | None:
        tables = self.tables
        nodes = [node for node in tables.scopes.values() if node.rack == scope]
        above = {id for id, members in tables.members.items() if scope in members}
        below = {deployment.id for deployment in tables.deployments.values() if deployment.parent == scope}
        found = nodes + [tables.scopes[id] for id in above | below]
        return min(found, key=lambda other: other.name, default=None)
