"""Deployments and their members in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from rackwright.core.node_task import State
from rackwright.core.ports import Deployment, Membership, Scope
from rackwright.store.memory.scopes import ScopeWork
from rackwright.store.refusals import unknown


class DeploymentWork(ScopeWork):
    """The part of a transaction that is about deployments."""

    async def add_deployment(self, deployment: Deployment) -> int:
        """See the port."""
        if deployment.parent is not None and deployment.parent not in self.tables.deployments:
            raise unknown("deployment", deployment.parent)
        id = await self.add_scope(Scope(id=0, kind="deployment", name=deployment.name))
        created_at = self.tables.scopes[id].created_at
        self.tables.deployments[id] = msgspec.structs.replace(deployment, id=id, created_at=created_at)
        self.tables.generations[id] = 0
        self.tables.members[id] = {}
        return id

    async def deployments(self, ids: Collection[int]) -> dict[int, Deployment]:
        """See the port."""
        return {id: self._with_noop(id) for top in ids for id in self._line(top)}

    async def memberships(self, deployment: int, scopes: Collection[int] | None = None) -> list[Membership]:
        """See the port."""
        found = [
            msgspec.structs.replace(member, name=scope.name, rack=scope.rack)
            for member in self.tables.members.get(deployment, {}).values()
            if scopes is None or member.scope in scopes
            for scope in [self.tables.scopes[member.scope]]
        ]
        return sorted(found, key=lambda member: member.name)

    async def deployments_of(self, scopes: Collection[int]) -> dict[int, list[int]]:
        """See the port."""
        return {scope: sorted(self._concerned(scope)) for scope in scopes}

    async def set_members(self, deployment: int, members: Sequence[Membership]) -> None:
        """See the port."""
        tables = self.tables
        if deployment not in tables.deployments:
            raise unknown("deployment", deployment)
        for member in members:
            if member.scope not in tables.scopes:
                raise unknown("node", member.scope)
        new = {
            member.scope: Membership(
                deployment=deployment, scope=member.scope, name="", rack=None, roles=member.roles, tags=member.tags
            )
            for member in members
        }
        if new != tables.members.get(deployment):
            tables.members[deployment] = new
            tables.generations[deployment] += 1

    async def set_deployment(self, deployment: int, *, catalog: str | None = None, stopped: bool | None = None) -> None:
        """See the port."""
        tables = self.tables
        found = tables.deployments.get(deployment)
        if found is None:
            raise unknown("deployment", deployment)
        tables.deployments[deployment] = msgspec.structs.replace(
            found,
            catalog=found.catalog if catalog is None else catalog,
            stopped=found.stopped if stopped is None else stopped,
        )
        tables.generations[deployment] += 1
        if stopped is False:
            self.tell_racks({row.rack for row in tables.rows_of(deployment=deployment, state=State.TODO)})

    async def fence(self, deployment: int) -> int:
        """See the port."""
        tables = self.tables
        line = self._line(deployment)
        concerned = {*line, *tables.members.get(deployment, {})}
        revisions = [fact.revision for scope in concerned for fact in tables.facts.get(scope, {}).values()]
        seen = (len(revisions), max(revisions, default=0), *(tables.generations[id] for id in line))
        return hash(seen)

    async def lock_deployment(self, deployment: int) -> None:
        """See the port."""
        if deployment not in self.tables.deployments:
            raise unknown("deployment", deployment)

    def _with_noop(self, id: int) -> Deployment:
        steering = self.tables.steering.get(id)
        return msgspec.structs.replace(self.tables.deployments[id], noop=steering is not None and steering.noop)

    def _line(self, id: int | None) -> list[int]:
        """A deployment and its ancestors."""
        line = []
        while id is not None and id in self.tables.deployments:
            line.append(id)
            id = self.tables.deployments[id].parent
        return line

    def _concerned(self, scope: int) -> set[int]:
        tables = self.tables
        nodes = {scope, *(node.id for node in tables.scopes.values() if node.rack == scope)}
        found = {id for id, members in tables.members.items() if nodes & members.keys()}
        return found | {id for id in tables.deployments if scope in self._line(id)}
