"""Deployments and their members in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rackwright.core.ports import Deployment, Membership
from rackwright.store.postgres import records
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work
from rackwright.store.refusals import name_taken, unknown


class DeploymentWork(Work):
    """The part of a transaction that is about deployments."""

    async def add_deployment(self, deployment: Deployment) -> int:
        """See the port."""
        id = await self.value("add_scope", "deployment", deployment.name, None, True, True, {}, None)
        if id is None:
            raise name_taken("deployment", deployment.name)
        fields = (deployment.parent, deployment.catalog, deployment.catalog_name, deployment.stopped)
        await self.run("add_deployment", id, *fields)
        return int(id)

    async def deployments(self, ids: Collection[int]) -> dict[int, Deployment]:
        """See the port."""
        return {row[0]: records.deployment(row) for row in await self.rows("deployments", list(ids))} if ids else {}

    async def memberships(self, deployment: int, scopes: Collection[int] | None = None) -> list[Membership]:
        """See the port."""
        if scopes is None:
            rows = await self.rows("memberships", deployment)
        else:
            rows = await self.rows("memberships_on", deployment, list(scopes))
        return [records.membership(row) for row in rows]

    async def deployments_of(self, scopes: Collection[int]) -> dict[int, list[int]]:
        """See the port."""
        found: dict[int, list[int]] = {scope: [] for scope in scopes}
        for scope, deployment in await self.rows("deployments_of", list(found)):
            found[scope].append(deployment)
        return found

    async def set_members(self, deployment: int, members: Sequence[Membership]) -> None:
        """See the port."""
        gone = await self.rows("drop_members", deployment, [member.scope for member in members])
        put = await self.rows(
            "put_members",
            deployment,
            *columns([(member.scope, Json(member.roles), Json(member.tags)) for member in members], 3),
        )
        if gone or put:
            await self.run("next_generation", deployment)

    async def set_deployment(self, deployment: int, *, catalog: str | None = None, stopped: bool | None = None) -> None:
        """See the port."""
        if await self.value("set_deployment", deployment, catalog, stopped) is None:
            raise unknown("deployment", deployment)
        if stopped is False:
            self.tell_racks(row[0] for row in await self.rows("racks_with_work", deployment))

    async def fence(self, deployment: int) -> int:
        """See the port."""
        return int(await self.value("fence", deployment))

    async def lock_deployment(self, deployment: int) -> None:
        """See the port."""
        if await self.value("lock_deployment", deployment) is None:
            raise unknown("deployment", deployment)
