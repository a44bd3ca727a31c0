"""Putting the pieces of a log together: the same in both stores."""

from __future__ import annotations

from collections.abc import Iterable

from rackwright.core.views import LogView


def assemble(attempt: int, offset: int, limit: int, pieces: Iterable[tuple[int, bytes, bool]]) -> LogView:
    """The log from ``offset`` on, at most ``limit`` bytes, out of pieces (start, data, last) sorted by start.

    Pieces may overlap; where one is missing the log ends for now.
    """
    found = bytearray()
    end: int | None = None
    for start, data, last in pieces:
        place = offset + len(found)
        if start > place:
            break
        found += data[place - start :]
        if last:
            end = start + len(data)
    data = bytes(found[:limit])
    reached = offset + len(data)
    return LogView(
        attempt=attempt, offset=offset, next_offset=reached, data=data, complete=end is not None and reached >= end
    )
