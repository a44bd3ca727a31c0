"""Raw rows on the disk: columns in chunks, msgpack compressed by Zstandard, in the order in which iterations ended.

A chunk is a file ``NNNNNN.msgpack.zst`` that holds one map: a list for each column, all of one length. It appears whole
or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from rackwright.load.tally import Row

ROWS = 10_000
"""Rows of a chunk."""
MOST_BYTES = 1 << 30
"""Of one load process: rows beyond that are counted, not kept."""
ENDING = ".msgpack.zst"


class Columns(msgspec.Struct, omit_defaults=True):
    """Rows by column. Times are seconds from the workload's start; ``faults`` numbers the kinds in ``kinds`` from 1."""

    number: list[int] = []
    intended: list[float] = []
    started: list[float] = []
    ended: list[float] = []
    faults: list[int] = []
    kinds: list[str] = []
    messages: list[str] = []
    actions: list[list[tuple[str, float, float, bool]]] = []
    """Path, start, end and failure of each; empty if no iteration of the chunk has any."""
    outputs: dict[int, dict[str, list[Any]]] = {}
    """By place in the chunk."""


class Writer:
    """Writes the rows of one load process into a folder of its own, up to a number of bytes.

    It raises nothing: rows that cannot be written, and all after them, are dropped.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._room = most_bytes
        self._rows: list[Row] = []
        self._next = 0
        self._compressor = zstandard.ZstdCompressor(level=1)
        self.dropped = 0
        """Rows for which there was no room, or that could not be written."""

    def add(self, rows: list[Row]) -> None:
        """Take rows; those of a full chunk are written."""
        if self._room <= 0:
            self.dropped += len(rows)
            return
        self._rows += rows
        while len(self._rows) >= ROWS:
            self._write(self._rows[:ROWS])
            del self._rows[:ROWS]

    def close(self) -> None:
        """Write what is left."""
        if self._rows:
            self._write(self._rows)
        self._rows = []

    def _write(self, rows: list[Row]) -> None:
        try:
            packed = self._compressor.compress(msgspec.msgpack.encode(_columns(rows)))
            self._room -= len(packed)
            if self._room >= 0:
                self._keep(packed)
                return
        except _UNWRITABLE:
            self._room = -1
        self.dropped += len(rows)

    def _keep(self, packed: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{self._next:06d}"
        draft.write_bytes(packed)
        draft.replace(self._folder / f"{self._next:06d}{ENDING}")
        self._next += 1


_UNWRITABLE = (OSError, TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
"""A disk that is full or gone; outputs of scenarios that msgpack has no form for."""


def read(folder: Path) -> Iterator[Columns]:
    """The chunks of a folder in their order, one at a time in memory."""
    for file in sorted(folder.glob(f"*{ENDING}")):
        packed = zstandard.ZstdDecompressor().decompress(file.read_bytes())
        yield msgspec.msgpack.decode(packed, type=Columns)


def _columns(rows: list[Row]) -> Columns:
    kinds: dict[str, int] = {}
    columns = Columns(
        number=[row.number for row in rows],
        intended=[row.intended for row in rows],
        started=[row.started for row in rows],
        ended=[row.ended for row in rows],
        faults=[kinds.setdefault(row.fault.kind, len(kinds) + 1) if row.fault else 0 for row in rows],
        messages=[row.fault.message for row in rows if row.fault],
        outputs={place: row.output for place, row in enumerate(rows) if row.output},
    )
    columns.kinds = list(kinds)
    if any(row.actions for row in rows):
        columns.actions = [[(each.path, each.started, each.ended, each.failed) for each in row.actions] for row in rows]
    return columns
