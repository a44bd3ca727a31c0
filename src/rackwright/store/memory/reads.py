"""What node tasks have read, in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from rackwright.core.ports import KeptReads, NotedReads
from rackwright.store.memory.work import Work


class ReadWork(Work):
    """The part of a transaction that is about recorded reads."""

    async def note_reads(self, noted: Sequence[NotedReads]) -> None:
        """See the port."""
        for one in noted:
            self.tables.values.update({print_: msgspec.json.encode(value) for print_, value in one.values.items()})
            self.tables.noted[one.node_task] = (one.attempt, one.reads)

    async def keep_reads(self, attempts: Collection[tuple[int, int]]) -> None:
        """See the port."""
        for id, attempt in attempts:
            noted = self.tables.noted.get(id)
            if noted is not None and noted[0] == attempt:
                self.tables.kept[id] = noted

    async def kept_reads(self, ids: Collection[int]) -> dict[int, KeptReads]:
        """See the port."""
        noted, kept = self.tables.noted, self.tables.kept
        return {id: KeptReads(kept[id][1], kept[id][0] == noted[id][0]) for id in set(ids) if id in kept}

    async def read_values(self, fingerprints: Collection[str]) -> dict[str, Any]:
        """See the port."""
        values = self.tables.values
        return {print_: msgspec.json.decode(values[print_]) for print_ in set(fingerprints) if print_ in values}

    async def forget_reads(self, ids: Collection[int]) -> None:
        """See the port."""
        for id in ids:
            self.tables.forget_reads(id)

    async def drop_values(self) -> int:
        """See the port."""
        tables = self.tables
        recorded = [*tables.noted.values(), *tables.kept.values()]
        used = {print_ for _, reads in recorded for print_ in reads.values()}
        unused = tables.values.keys() - used
        for print_ in unused:
            del tables.values[print_]
        return len(unused)
