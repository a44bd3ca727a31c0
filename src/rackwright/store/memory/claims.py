"""Claims and leases in memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import msgspec

from rackwright.core.clocks import FAR, JUMP, SAME_AT
from rackwright.core.node_task import NodeTask, State
from rackwright.core.seats import Holder
from rackwright.store.memory.tables import copied, is_waking
from rackwright.store.memory.work import Work


class ClaimWork(Work):
    """The part of a transaction that hands node tasks to racks."""

    async def claimable(
        self,
        rack: int,
        capacity: int,
        now: float,
        full: Collection[tuple[int, str]] = (),
        crowded: Collection[str] = (),
    ) -> list[NodeTask]:
        """See the port."""
        tables = self.tables
        taken = {row.scope for row in tables.rows.values() if _holds_its_scope(row)}
        found: list[NodeTask] = []
        for row in sorted(tables.rows_of(rack=rack, state=State.TODO), key=lambda row: (-row.priority, row.id)):
            if len(found) >= capacity:
                break
            if row.id in tables.shares and not set(crowded).isdisjoint(tables.shares[row.id][2]):
                continue
            if row.scope not in taken and row.not_before <= now and self._may_run(row, full):
                taken.add(row.scope)
                found.append(copied(row))
        return found

    async def racks_to_wake(self, racks: Collection[int], now: float) -> set[int]:
        """See the port."""
        waiting = (row for row in self.tables.rows_of(state=State.TODO) if row.not_before <= now)
        return {row.rack for row in waiting if row.rack is not None} & set(racks)

    async def held(self, rack: int, besides: str) -> list[int]:
        """See the port."""
        rows = self.tables.rows_of(rack=rack, state=State.TRANSITION)
        return [row.id for row in rows if row.incarnation != besides and not row.parked]

    async def expired(self, now: float, limit: int) -> list[int]:
        """See the port."""
        held = [row for row in self.tables.rows_of(state=State.TRANSITION) if not row.parked]
        rows = [row for row in held if not now <= row.lease_until <= now + FAR]
        return [row.id for row in sorted(rows, key=lambda row: row.lease_until)[:limit]]

    async def clock(self) -> float:
        """See the port."""
        return time.time()

    async def clock_jumped(self, at: float, by: float) -> bool:
        """See the port."""
        tables = self.tables
        if any(abs(at - then) < SAME_AT and abs(by - step) < JUMP for then, step in tables.jumps):
            return False
        tables.jumps.append((at, by))
        tables.parked = {
            id: msgspec.structs.replace(one, deadline=one.deadline + by) for id, one in tables.parked.items()
        }
        for row in tables.rows_of(state=State.TODO):
            if row.not_before:
                tables.rows[row.id] = msgspec.structs.replace(row, not_before=row.not_before + by)
        return True

    async def look_at_heads(self) -> None:
        """See the port."""
        tables, now = self.tables, time.time()
        heads = {("barrier", id): one.released for id, one in tables.barriers.items() if is_waking(one)}
        for row in sorted(tables.rows_of(state=State.TODO), key=lambda row: (-row.priority, row.id)):
            if row.rack is not None:
                heads.setdefault(("node_task", row.rack), row.id)
        known = tables.heads
        tables.heads = {
            place: known[place] if place in known and known[place][0] == head else (head, now)
            for place, head in heads.items()
        }

    async def extend(
        self, rack: int, incarnation: str, pairs: Sequence[tuple[int, int]], until: float
    ) -> list[tuple[int, int]]:
        """See the port."""
        mine = {
            (row.id, row.attempt)
            for row in self.tables.rows_of(rack=rack, state=State.TRANSITION)
            if row.incarnation == incarnation
        }
        for id, _ in mine & set(pairs):
            self.tables.rows[id] = msgspec.structs.replace(self.tables.rows[id], lease_until=until)
        return [pair for pair in pairs if pair not in mine]

    async def seen(self, rack: int, now: float) -> tuple[bool, Holder | None]:
        """See the port."""
        scope = self.tables.scopes.get(rack)
        if scope is not None:
            self.tables.scopes[rack] = msgspec.structs.replace(scope, last_seen=max(scope.last_seen or now, now))
        limited = bool(self.tables.limits) or bool(self.tables.budgets and self.tables.shares)
        return limited, self.tables.holders.get(rack)

    async def seat(self, rack: int, holder: Holder | None) -> None:
        """See the port."""
        if holder is None:
            self.tables.holders.pop(rack, None)
        else:
            self.tables.holders[rack] = holder

    def _may_run(self, row: NodeTask, full: Collection[tuple[int, str]]) -> bool:
        scope = self.tables.scopes.get(row.scope)
        deployment = self.tables.deployments.get(row.deployment)
        if scope is None or deployment is None:
            return False
        if (row.deployment, "") in full or (row.deployment, row.task) in full or self._held(row):
            return False
        machine = self.tables.machines.get(row.scope)
        if machine is not None and machine.phase == "held" and machine.deployment == row.deployment:
            return False
        return (scope.alive or row.offline) and scope.available and not deployment.stopped

    def _held(self, row: NodeTask) -> bool:
        if any(deployment == row.deployment for deployment, _, _ in self.tables.spreading.values()):
            return True
        steering = self.tables.steering.get(row.deployment)
        if steering is None:
            return False
        wave = self.tables.waves.get(row.deployment, {}).get(row.scope, 0)
        return bool(steering.held) or (steering.open_wave is not None and wave > steering.open_wave)


def _holds_its_scope(row: NodeTask) -> bool:
    return row.state is State.TRANSITION or (row.state is State.ERROR and row.critical)
