"""Claims and leases in memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from rackwright.core.clocks import FAR, JUMP, SAME_AT
from rackwright.core.node_task import HELD, NodeTask, State
from rackwright.core.ports import Lease
from rackwright.core.seats import Holder
from rackwright.store.memory.tables import copied, is_waking
from rackwright.store.memory.work import Work


class ClaimWork(Work):
    """The part of a transaction that hands node tasks to racks."""

    async def claimable(
        self,
        room: Mapping[int, int],
        now: float,
        full: Collection[tuple[int, str]] = (),
        crowded: Collection[str] = (),
    ) -> list[NodeTask]:
        """See the port."""
        tables, left = self.tables, dict(room)
        taken = {row.scope for row in tables.rows.values() if _holds_its_scope(row)}
        ready = [row for rack in room for row in tables.rows_of(rack=rack, state=State.TODO)]
        found: list[NodeTask] = []
        for row in sorted(ready, key=lambda row: (-row.priority, row.id)):
            rack = row.rack or 0
            if row.id in tables.shares and not set(crowded).isdisjoint(tables.shares[row.id][2]):
                continue
            if left[rack] > 0 and row.scope not in taken and row.not_before <= now and self._may_run(row, full):
                taken.add(row.scope)
                left[rack] -= 1
                found.append(copied(row))
        return found

    async def ready(self, racks: Mapping[int, int], now: float) -> dict[int, int]:
        """See the port."""
        waiting = Counter(row.rack for row in self.tables.rows_of(state=State.TODO) if row.not_before <= now)
        return {rack: min(waiting[rack], room) for rack, room in racks.items() if waiting[rack]}

    async def held(self, rack: int, besides: str) -> list[int]:
        """See the port."""
        rows = self.tables.rows_of(rack=rack, state=State.TRANSITION)
        return [row.id for row in rows if row.incarnation != besides and not row.parked]

    async def expired(self, now: float, limit: int) -> dict[int, float]:
        """See the port."""
        held = [row for row in self.tables.rows_of(state=State.TRANSITION) if not row.parked]
        gone = {rack for rack, holder in self.tables.holders.items() if not now <= holder.until <= now + FAR}
        rows = [
            row
            for row in held
            if (row.rack in gone if row.lease_until == HELD else not now <= row.lease_until <= now + FAR)
        ]
        return {row.id: row.lease_until for row in sorted(rows, key=lambda row: row.lease_until)[:limit]}

    async def seats_ending(self, after: float, before: float) -> int:
        """See the port."""
        return sum(after <= holder.until <= before for holder in self.tables.holders.values())

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

    async def hold(self, named: Collection[Lease], before: float) -> set[Lease]:
        """See the port."""
        rows = self.tables.rows
        mine = {
            lease
            for lease in named
            if (row := rows.get(lease[2])) is not None
            and row.state is State.TRANSITION
            and (row.rack, row.incarnation, row.id, row.attempt) == lease
        }
        for _, _, id, _ in mine:
            if not before <= rows[id].lease_until <= before + FAR / 2:
                rows[id] = msgspec.structs.replace(rows[id], lease_until=HELD)
        return mine

    async def seats(self, racks: Collection[int]) -> tuple[bool, dict[int, Holder | None], set[int]]:
        """See the port."""
        limited = bool(self.tables.limits) or bool(self.tables.budgets and self.tables.shares)
        return limited, {rack: self.tables.holders.get(rack) for rack in racks if rack in self.tables.scopes}, set()

    async def holders(self, racks: Collection[int]) -> dict[int, Holder]:
        """See the port."""
        return {rack: self.tables.holders[rack] for rack in racks if rack in self.tables.holders}

    async def seat(self, holders: Mapping[int, tuple[Holder | None, Holder]], now: float) -> None:
        """See the port."""
        self.tables.holders.update({rack: after for rack, (_, after) in holders.items()})
        for rack in holders:
            self._hear(rack, now)

    async def keep_seats(self, kept: Collection[tuple[int, str, float]], now: float) -> set[tuple[int, str]]:
        """See the port."""
        sitting = set()
        for rack, incarnation, until in kept:
            holder = self.tables.holders.get(rack)
            if holder is not None and holder.incarnation == incarnation:
                self.tables.holders[rack] = msgspec.structs.replace(holder, until=until)
                self._hear(rack, now)
                sitting.add((rack, incarnation))
        return sitting

    async def heard(self, rack: int) -> float | None:
        """See the port."""
        return self.tables.heard.get(rack)

    def _hear(self, rack: int, now: float) -> None:
        self.tables.heard[rack] = max(self.tables.heard.get(rack, now), now)

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
