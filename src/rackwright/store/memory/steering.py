"""Limits, and what steers deployments, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from rackwright.core.limits import SITE, Limit, Running
from rackwright.core.node_task import NodeTask, State
from rackwright.core.steering import Steering
from rackwright.core.waves import Seen
from rackwright.store.memory.work import Work
from rackwright.store.refusals import unknown


class SteeringWork(Work):
    """The part of a transaction that is about limits and steering."""

    async def limits(self, rack: int) -> tuple[list[Limit], list[Running]]:
        """See the port."""
        tables = self.tables
        here = {SITE, rack, *(row.deployment for row in tables.rows_of(rack=rack, state=State.TODO))}
        found = [
            Limit(scope=scope, task=task, amount=amount)
            for (scope, task), amount in sorted(tables.limits.items())
            if scope in here
        ]
        counted = Counter((row.rack, row.deployment, row.task) for row in tables.rows_of(state=State.TRANSITION))
        return found, [Running(*key, count) for key, count in counted.items()]

    async def limits_of(self, scopes: Collection[int]) -> list[Limit]:
        """See the port."""
        items = sorted(self.tables.limits.items())
        return [Limit(scope=scope, task=task, amount=amount) for (scope, task), amount in items if scope in scopes]

    async def set_limit(self, scope: int, amount: int | None) -> None:
        """See the port."""
        await self.set_task_limits(scope, {"": amount})

    async def set_task_limits(self, deployment: int, amounts: Mapping[str, int | None]) -> None:
        """See the port."""
        self._known(deployment)
        for task, amount in amounts.items():
            self.tables.limits.pop((deployment, task), None)
            if amount is not None:
                self.tables.limits[deployment, task] = amount

    async def steering(self, deployment: int, *, lock: bool = False) -> Steering | None:
        """See the port."""
        return self.tables.steering.get(deployment)

    async def set_steering(self, steering: Steering) -> None:
        """See the port."""
        tables = self.tables
        tables.steering.pop(steering.deployment, None)
        if not steering.empty:
            tables.steering[steering.deployment] = steering
        if not steering.held:
            self.tell_racks({row.rack for row in tables.rows_of(deployment=steering.deployment, state=State.TODO)})

    async def steered(self) -> list[int]:
        """See the port."""
        return sorted(self.tables.steering)

    async def unfinished_graph(self, deployment: int, graph: str) -> bool:
        """See the port."""
        rows = self.tables.rows_of(deployment=deployment, graph=graph)
        return any(row.state is not State.ACTIVE for row in rows)

    async def assign_waves(self, deployment: int, waves: Sequence[tuple[int, int]]) -> None:
        """See the port."""
        self.tables.waves[deployment] = dict(waves)

    async def wave_of(self, deployment: int, scope: int) -> int | None:
        """See the port."""
        return self.tables.waves.get(deployment, {}).get(scope)

    async def failed_scopes(self, deployment: int) -> set[int]:
        """See the port."""
        return {row.scope for row in self.tables.rows_of(deployment=deployment, state=State.ERROR)}

    async def wave_seen(self, deployment: int, wave: int) -> Seen:
        """See the port."""
        tables = self.tables
        rows = tables.rows_of(deployment=deployment)
        waves = tables.waves.get(deployment, {})
        busy = any(self._goes_on(row, waves.get(row.scope, 0) <= wave) for row in rows) or any(
            barrier.open and barrier.released < len(barrier.children)
            for barrier in tables.barriers.values()
            if barrier.deployment == deployment
        )
        failed = {row.scope for row in rows if row.state is State.ERROR and waves.get(row.scope, wave) == wave}
        if not busy:
            failed |= {
                row.scope
                for row in rows
                if row.state in (State.TODO, State.BLOCKED)
                and waves.get(row.scope) == wave
                and not (tables.scopes[row.scope].alive or row.offline)
            }
        return Seen(busy, len(failed))

    def _goes_on(self, row: NodeTask, opened: bool) -> bool:
        if row.state is not State.TODO:
            return row.state is State.TRANSITION
        scope = self.tables.scopes[row.scope]
        stopped = any(other.critical for other in self.tables.rows_of(scope=row.scope, state=State.ERROR))
        return opened and (scope.alive or row.offline) and scope.available and not stopped

    def _known(self, scope: int) -> None:
        if scope != SITE and scope not in self.tables.scopes:
            raise unknown("scope", scope)
