"""Machines and the node tasks of their activities in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from rackwright.core.lifecycle import Machine
from rackwright.core.machines import Known
from rackwright.core.node_task import NodeTask, State
from rackwright.core.ports import Membership, Scope
from rackwright.store.machines import macs_in, text_in
from rackwright.store.memory.rollup import RollupWork
from rackwright.store.memory.tables import copied


class MachineWork(RollupWork):
    """The part of a transaction that is about machines."""

    async def machines(self, nodes: Collection[int], *, lock: bool = False) -> dict[int, Machine]:
        """See the port."""
        return {id: self.tables.machines[id] for id in nodes if id in self.tables.machines}

    async def save_machines(self, machines: Sequence[Machine]) -> None:
        """See the port."""
        self.tables.machines |= {machine.id: machine for machine in machines}
        self.mark_served(machine.id for machine in machines)

    async def known_by(self, macs: Collection[str], serials: Collection[str]) -> list[Known]:
        """See the port."""
        nodes = [scope for _, scope in sorted(self.tables.scopes.items()) if scope.kind == "node"]
        known = [self._hardware(scope) for scope in nodes]
        wanted = macs_in(list(macs))
        return [each for each in known if each.macs & wanted or each.serial in serials]

    async def note_seen(self, seen: Mapping[int, float]) -> list[int]:
        """See the port."""
        missing = []
        for id, at in sorted(seen.items()):
            machine = self.tables.machines.get(id)
            if machine is not None:
                last = max(machine.last_seen or at, at)
                self.tables.machines[id] = msgspec.structs.replace(machine, last_seen=last, beats=True)
                missing += [id] if machine.health == "missing" else []
        return missing

    async def silent(self, before: float, limit: int) -> list[int]:
        """See the port."""
        found = [
            (machine.last_seen, id)
            for id, machine in self.tables.machines.items()
            if machine.beats
            and machine.phase == "idle"
            and machine.health != "missing"
            and machine.last_seen is not None
            and max(machine.last_seen, machine.last_ended_at or 0.0) < before
            and self.tables.scopes[id].alive
        ]
        return [id for _, id in sorted(found)[:limit]]

    async def add_rows(self, deployment: int, rows: Sequence[NodeTask]) -> None:
        """See the port."""
        for row in rows:
            self.tables.rows[row.id] = copied(row)
        self.count_rows(rows, 1)
        self.tell_racks({row.rack for row in rows if row.state is State.TODO})

    async def drop_rows(self, ids: Collection[int]) -> None:
        """See the port."""
        for id in set(ids) & self.tables.rows.keys():
            self.count_rows([self.tables.rows[id]], -1)
            self.tables.drop_row(id)

    async def join(self, deployment: int, nodes: Collection[int], roles: Sequence[str], tags: Sequence[str]) -> None:
        """See the port."""
        there = self.tables.members.get(deployment, {})
        new = {
            node: Membership(
                deployment=deployment, scope=node, name="", rack=None, roles=tuple(roles), tags=tuple(tags)
            )
            for node in nodes
        }
        self.tables.members[deployment] = {**there, **new}

    async def lock_places(self, *, moving: bool = False) -> None:
        """See the port."""

    async def leave(self, deployment: int, nodes: Collection[int]) -> None:
        """See the port."""
        there = self.tables.members.get(deployment, {})
        self.tables.members[deployment] = {id: member for id, member in there.items() if id not in nodes}

    async def set_living(self, nodes: Collection[int], alive: bool) -> list[int]:
        """See the port."""
        scopes = self.tables.scopes
        changed = [id for id in sorted(nodes) if id in scopes and scopes[id].alive is not alive]
        for id in changed:
            scopes[id] = msgspec.structs.replace(scopes[id], alive=alive)
        if alive:
            self.tell_racks({scopes[id].rack for id in changed})
        return changed

    def _hardware(self, scope: Scope) -> Known:
        values = {path: fact.value for path, fact in self.tables.facts.get(scope.id, {}).items()}
        return Known(
            id=scope.id,
            name=scope.name,
            rack=scope.rack,
            macs=macs_in(values.get("desired.macs")) | macs_in(values.get("observed.macs")),
            serial=text_in(values.get("observed.serial")),
        )
