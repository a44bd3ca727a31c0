"""What racks serve, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rackwright.core.serving import DAY, ServedPlace, Serving, Step
from rackwright.store.postgres import records
from rackwright.store.postgres.session import Json, columns
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

    async def steps(self, asked: Collection[tuple[int, int]]) -> dict[tuple[int, int], Step | None]:
        """See the port."""
        steps: dict[tuple[int, int], Step | None] = {}
        documents: dict[tuple[int, int], list[tuple[int, bytes | None]]] = {}
        for rack, after, generation, found, scope, document in await self.rows(
            "serving_steps", *columns(sorted(asked), 2)
        ):
            if generation == after:
                steps[rack, after] = None
                continue
            of = documents.get((rack, after))
            if of is None:
                of = documents[rack, after] = []
                steps[rack, after] = Step(generation, not found, of)
            if scope is not None:
                of.append((scope, document))
        return steps

    async def note_applied(self, said: Mapping[int, tuple[int, Mapping[str, Any]]]) -> dict[int, float]:
        """See the port."""
        rows = [(rack, said[rack][0], Json(said[rack][1])) for rack in sorted(said)]
        noted = await self.rows("note_applied", *columns(rows, 3), DAY)
        return {rack: effect for rack, effect in noted}

    async def serving(self, racks: Collection[int] | None, *, lock: bool = False) -> dict[int, Serving]:
        """See the port."""
        rows = await self.rows("lock_racks_served" if lock else "serving", None if racks is None else list(racks))
        return {row[0]: records.serving(*row[1:]) for row in rows}

    async def allocations(self, scopes: Collection[int]) -> dict[int, str]:
        """See the port."""
        return {id: allocation for id, allocation in await self.rows("allocations", list(scopes))}
