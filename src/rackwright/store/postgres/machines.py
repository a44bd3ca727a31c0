"""Machines and the node tasks of their activities in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import asyncpg

from rackwright.core.lifecycle import Machine, word
from rackwright.core.machines import Known
from rackwright.core.node_task import NodeTask, State
from rackwright.store.machines import macs_in, text_in
from rackwright.store.postgres import records
from rackwright.store.postgres.graphs import MANY, PIECE
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work
from rackwright.store.texts import plain


class MachineWork(Work):
    """The part of a transaction that is about machines."""

    async def machines(self, nodes: Collection[int], *, lock: bool = False) -> dict[int, Machine]:
        """See the port."""
        if not nodes:
            return {}
        found = await self.rows("lock_machines" if lock else "machines", list(nodes))
        return {row[0]: _machine(row) for row in found}

    async def save_machines(self, machines: Sequence[Machine]) -> None:
        """See the port."""
        if machines:
            rows = [_machine_row(machine) for machine in sorted(machines, key=lambda machine: machine.id)]
            await self.run("save_machines", *columns(rows, 17))
            self.mark_served(machine.id for machine in machines)

    async def known_by(self, macs: Collection[str], serials: Collection[str]) -> list[Known]:
        """See the port."""
        return [
            Known(
                id=row["id"],
                name=row["name"],
                rack=row["rack"],
                macs=macs_in(row["desired"]) | macs_in(row["observed"]),
                serial=text_in(row["serial"]),
            )
            for row in await self.rows("known_by", list(macs), list(serials))
        ]

    async def note_seen(self, seen: Mapping[int, float]) -> list[int]:
        """See the port."""
        if not seen:
            return []
        return [row[0] for row in await self.rows("note_seen", *columns(sorted(seen.items()), 2))]

    async def silent(self, before: float, limit: int) -> list[int]:
        """See the port."""
        statement, _ = limited("silent", limit)
        return [row[0] for row in await self.text_rows(statement, before)][:limit]

    async def add_rows(self, deployment: int, rows: Sequence[NodeTask]) -> None:
        """See the port."""
        for first in range(0, len(rows), PIECE):
            piece = map(records.node_task_row, rows[first : first + PIECE])
            await self.copy("node_task", records.NODE_TASK, piece)
        if len(rows) >= MANY:
            await self.run("analyze_node_tasks")
        self.tell_racks({row.rack for row in rows if row.state is State.TODO})

    async def drop_rows(self, ids: Collection[int]) -> None:
        """See the port."""
        if ids:
            await self.run("drop_activity_rows", list(ids))

    async def join(self, deployment: int, nodes: Collection[int], roles: Sequence[str], tags: Sequence[str]) -> None:
        """See the port."""
        rows = [(node, Json(roles), Json(tags)) for node in sorted(set(nodes))]
        if rows:
            await self.rows("put_members", deployment, *columns(rows, 3))

    async def lock_places(self, *, moving: bool = False) -> None:
        """See the port."""
        await self.run("lock_places_to_move" if moving else "lock_places")

    async def leave(self, deployment: int, nodes: Collection[int]) -> None:
        """See the port."""
        if nodes:
            await self.run("leave", deployment, list(nodes))

    async def set_living(self, nodes: Collection[int], alive: bool) -> list[int]:
        """See the port."""
        if not nodes:
            return []
        changed = await self.rows("set_living", list(nodes), alive)
        if alive:
            self.tell_racks({row["rack"] for row in changed})
        return sorted(row["id"] for row in changed)


def _machine(row: asyncpg.Record) -> Machine:
    """A row of ``machines``."""
    return Machine(
        id=row[0], allocation=row[1], installed=row[2], rescue=row[3], verb=row[4], activity=row[5], phase=row[6],
        health=row[7], reason=row[8], since=row[9], last_seen=row[10], beats=row[11], last_verb=row[12],
        last_outcome=row[13], last_ended_at=row[14], deployment=row[15],
    )  # fmt: skip


def _machine_row(machine: Machine) -> tuple[Any, ...]:
    """The values of ``save_machines``."""
    return (
        machine.id, machine.allocation, machine.installed, machine.rescue, machine.verb, machine.activity,
        machine.phase, machine.health, plain(machine.reason), machine.since, machine.last_seen, machine.beats,
        machine.last_verb, machine.last_outcome, machine.last_ended_at, machine.deployment, word(machine),
    )  # fmt: skip
