"""What racks serve, in memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.serving import DAY, ServedPlace, Serving, Step
from rackwright.store.memory.work import Work


class ServedWork(Work):
    """The part of a transaction that is about what racks serve."""

    def to_serve(self) -> Collection[int]:
        """See the port."""
        marked, self._to_serve = self._to_serve, set()
        return marked

    async def lock_serving(self, scopes: Collection[int]) -> list[tuple[int, int]]:
        """See the port."""
        tables, wanted = self.tables, set(scopes)
        standing = [(node.rack, id) for id in wanted if (node := tables.scopes.get(id)) and node.rack is not None]
        racks = [(id, id) for id in wanted if id in tables.scopes]
        served = [key for key, (_, document) in tables.served.items() if key[1] in wanted and document is not None]
        return sorted({pair for pair in [*standing, *racks, *served] if pair[0] in tables.serving})

    async def serve(self, places: Sequence[ServedPlace]) -> None:
        """See the port."""
        tables, stamped = self.tables, dict[int, int]()
        for place in places:
            _, before = tables.served.get((place.rack, place.scope), (0, None))
            if before == place.document:
                continue
            if place.rack not in stamped:
                stamped[place.rack] = max(tables.serving[place.rack].generation + 1, int(time.time() * 1e6))
            tables.served[place.rack, place.scope] = (stamped[place.rack], place.document)
        for rack, generation in stamped.items():
            tables.serving[rack] = msgspec.structs.replace(tables.serving[rack], generation=generation)
            tables.served_steps = tables.served_steps | {(rack, generation)}
        self.tell("served", *stamped)

    async def ask_to_serve(self, rack: int) -> bool:
        """See the port."""
        self.tables.serving.setdefault(rack, Serving(generation=int(time.time() * 1e6)))
        return True

    async def lock_rack(self, rack: int) -> tuple[bool, list[int]]:
        """See the port."""
        tables = self.tables
        standing = {node.id for node in tables.scopes.values() if node.rack == rack}
        served = {id for (of, id), (_, document) in tables.served.items() if of == rack != id and document is not None}
        return rack in tables.served_whole, sorted(standing | served)

    async def made_all(self, rack: int) -> None:
        """See the port."""
        self.tables.served_whole = self.tables.served_whole | {rack}

    async def steps(self, asked: Collection[tuple[int, int]]) -> dict[tuple[int, int], Step | None]:
        """See the port."""
        return {(rack, after): self._step(rack, after) for rack, after in asked if rack in self.tables.served_whole}

    def _step(self, rack: int, after: int) -> Step | None:
        tables = self.tables
        serving = tables.serving[rack]
        if serving.generation == after:
            return None
        known = (rack, after) in tables.served_steps
        documents = [
            (scope, document)
            for (of, scope), (generation, document) in tables.served.items()
            if of == rack and (generation > after if known else document is not None)
        ]
        return Step(serving.generation, not known, documents)

    async def note_applied(self, said: Mapping[int, tuple[int, Mapping[str, Any]]]) -> dict[int, float]:
        """See the port."""
        return {rack: self._applied(rack, *said[rack]) for rack in said}

    def _applied(self, rack: int, generation: int, report: Mapping[str, Any]) -> float:
        tables = self.tables
        before = tables.serving[rack]
        effect = before.effect if before.applied == generation else None
        effect = max(time.time() - generation / 1e6, 0.0) if effect is None else effect
        tables.serving[rack] = msgspec.structs.replace(before, applied=generation, effect=effect, report=report)
        oldest = generation - DAY
        tables.served_steps = frozenset(step for step in tables.served_steps if step[0] != rack or step[1] >= oldest)
        tables.served = {
            key: kept
            for key, kept in tables.served.items()
            if key[0] != rack or kept[1] is not None or kept[0] >= oldest
        }
        return effect

    async def serving(self, racks: Collection[int] | None, *, lock: bool = False) -> dict[int, Serving]:
        """See the port."""
        return {rack: found for rack, found in self.tables.serving.items() if racks is None or rack in racks}

    async def allocations(self, scopes: Collection[int]) -> dict[int, str]:
        """See the port."""
        machines = self.tables.machines
        return {id: machines[id].allocation for id in scopes if id in machines}
