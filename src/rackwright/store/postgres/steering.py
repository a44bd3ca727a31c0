"""Limits, and what steers deployments, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from rackwright.core.limits import SITE, Limit, Running
from rackwright.core.steering import Steering
from rackwright.core.waves import Seen
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work


class SteeringWork(Work):
    """The part of a transaction that is about limits and steering."""

    async def limits(self, rack: int) -> tuple[list[Limit], list[Running]]:
        """See the port."""
        found = [Limit(scope=row[0], task=row[1], amount=row[2]) for row in await self.rows("limits", rack)]
        if not found:
            return [], []
        scopes = {limit.scope for limit in found}
        rows = await self.rows("running", SITE in scopes, rack, sorted(scopes - {SITE, rack}))
        return found, [Running(*row) for row in rows]

    async def limits_of(self, scopes: Collection[int]) -> list[Limit]:
        """See the port."""
        return [Limit(scope=row[0], task=row[1], amount=row[2]) for row in await self.rows("limits_of", list(scopes))]

    async def set_limit(self, scope: int, amount: int | None) -> None:
        """See the port."""
        await self._put_limits(scope, {"": amount})

    async def set_task_limits(self, deployment: int, amounts: Mapping[str, int | None]) -> None:
        """See the port."""
        set_: dict[str, int] = {task: amount for task, amount in await self.rows("task_limits", deployment)}
        changed = {task: amount for task, amount in amounts.items() if set_.get(task) != amount}
        if changed:
            await self._put_limits(deployment, changed)

    async def steering(self, deployment: int, *, lock: bool = False) -> Steering | None:
        """See the port."""
        document = await self.value("steering_locked" if lock else "steering", deployment)
        return None if document is None else msgspec.convert(document, Steering)

    async def set_steering(self, steering: Steering) -> None:
        """See the port."""
        if steering.empty:
            await self.run("drop_steering", steering.deployment)
        else:
            document = Json(msgspec.to_builtins(steering))
            fields = (bool(steering.held), steering.open_wave, steering.noop)
            await self.run("put_steering", steering.deployment, document, *fields)
        if not steering.held:
            self.tell_racks(row[0] for row in await self.rows("racks_with_work", steering.deployment))

    async def steered(self) -> list[int]:
        """See the port."""
        return [row[0] for row in await self.rows("steered")]

    async def unfinished_graph(self, deployment: int, graph: str) -> bool:
        """See the port."""
        return bool(await self.value("unfinished_graph", deployment, graph))

    async def assign_waves(self, deployment: int, waves: Sequence[tuple[int, int]]) -> None:
        """See the port."""
        await self.run("assign_waves", deployment, *columns(waves, 2))

    async def wave_of(self, deployment: int, scope: int) -> int | None:
        """See the port."""
        wave: int | None = await self.value("wave_of", deployment, scope)
        return wave

    async def failed_scopes(self, deployment: int) -> set[int]:
        """See the port."""
        return {row[0] for row in await self.rows("failed_scopes", deployment)}

    async def wave_seen(self, deployment: int, wave: int) -> Seen:
        """See the port."""
        busy = bool(await self.value("wave_busy", deployment, wave))
        failed = int(await self.value("wave_failed", deployment, wave))
        if not busy:
            failed += int(await self.value("wave_gone", deployment, wave))
        return Seen(busy, failed)

    async def _put_limits(self, scope: int, amounts: Mapping[str, int | None]) -> None:
        await self.run("drop_limits", scope, [task for task, amount in amounts.items() if amount is None])
        given = sorted((task, amount) for task, amount in amounts.items() if amount is not None)
        await self.run("put_limits", scope, *columns(given, 2))
