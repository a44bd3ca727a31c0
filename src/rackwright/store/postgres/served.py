"""What racks serve, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rackwright.core.serving import DAY, ServedPlace, Serving, Step
from rackwright.store.postgres import records
from rackwright.store.postgres.session import columns
from rackwright.store.postgres.work import Work


class ServedWork(Work):
    """The part of a transaction that is about what racks serve."""

    def to_serve(self) -> Collection[int]:
        """See the port."""
        marked, self._to_serve = self._to_serve, set()
        return marked

    async def lock_serving(self, scopes: Collection[int]) -> list[tuple[int, int]]:
        """See the port."""
        racks = [rack for (rack,) in await self.rows("lock_serving", list(scopes))]
        if not racks:
            return []
        return [(rack, scope) for rack, scope in await self.rows("serving_places", list(scopes), racks)]

    async def serve(self, places: Sequence[ServedPlace]) -> None:
        """See the port."""
        rows = [(place.rack, place.scope, place.document) for place in places]
        if rows:
            self.tell("served", *(rack for (rack,) in await self.rows("serve", *columns(rows, 3))))

    async def ask_to_serve(self, rack: int) -> bool:
        """See the port."""
        await self.run("ask_to_serve", rack)
        return bool(await self.value("may_make_all", rack))

    async def lock_rack(self, rack: int) -> tuple[bool, list[int]]:
        """See the port."""
        complete = bool(await self.value("lock_served_rack", rack))
        return complete, [id for (id,) in await self.rows("standing_in", rack)]

    async def made_all(self, rack: int) -> None:
        """See the port."""
        await self.run("made_all", rack)

    async def step(self, rack: int, after: int) -> Step | None:
        """See the port."""
        rows = await self.rows("serving_step", rack, after)
        if not rows:
            return None
        documents = [(scope, document) for _, _, scope, document in rows if scope is not None]
        return Step(rows[0]["generation"], not rows[0]["found"], documents)

    async def note_applied(self, rack: int, generation: int, report: Mapping[str, Any]) -> None:
        """See the port."""
        await self.run("note_applied", rack, generation, dict(report))
        await self.run("drop_steps", rack, generation - DAY)
        await self.run("drop_gone", rack, generation - DAY)
        self.tell("served", rack)

    async def serving(self, racks: Collection[int] | None) -> dict[int, Serving]:
        """See the port."""
        rows = await self.rows("serving", None if racks is None else list(racks))
        return {row[0]: records.serving(*row[1:]) for row in rows}

    async def allocations(self, scopes: Collection[int]) -> dict[int, str]:
        """See the port."""
        return {id: allocation for id, allocation in await self.rows("allocations", list(scopes))}
