"""Cutting the places of a graph into chunks that each cost about the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from rackwright.core.expansion import Places
from rackwright.core.resolution import NodeId
from rackwright.engine.serialization.messages import Chunk, Part
from rackwright.engine.serialization.state import NOWHERE, Snapshot

TARGET = 0.1
"""Seconds of work that a chunk should take: long enough to make its way worth while, short enough to be done again."""
FIRST, LEAST, MOST = 32, 8, 4096
"""Places of the first chunks, and the bounds of all."""
_LAST = 4
"""The part of what is left that one chunk may have."""

_encode = msgspec.msgpack.Encoder().encode


class Cut:
    """The places on which tasks stand, cut into chunks while the work goes on: what answers cost sizes the chunks that
    follow. The order of the places does not depend on it."""

    def __init__(self, tasks: Sequence[str], places: Places, new: Snapshot, old: Snapshot | None) -> None:
        here = places.here
        self._numbers = {name: number for number, name in enumerate(tasks)}
        self._places = places
        self._order = places.resolution.ordered(here)
        self._here = here
        self._new, self._old = new, old
        self._tasks: dict[int, list[int]] = {}
        self._size = FIRST
        self._out: deque[tuple[int, int]] = deque()

    def chunks(self) -> Iterator[bytes]:
        """Give the chunks: those of places that are no nodes first, for one of them may be as much work as hundreds of
        nodes, and would be waited for; then the nodes, in order."""
        last = len(self._order)
        while last and not self._places.resolution.is_member(self._order[last - 1]):
            last -= 1
        start = 0
        if last < len(self._order):
            yield self._cut(last, len(self._order))
        while start < last:
            # The last ones are small: nobody shall wait long for somebody else's.
            end = min(start + min(self._size, max(FIRST, (last - start) // _LAST)), last)
            yield self._cut(start, end)
            start = end

    def answered(self, seconds: float) -> tuple[int, int]:
        """Learn what the oldest chunk without an answer cost; gives where it begins and where it ends."""
        start, end = self._out.popleft()
        if seconds > 0 and end < len(self._order):
            fit = int((end - start) * TARGET / seconds)
            self._size = max(LEAST, min(MOST, fit, 4 * self._size))
        return start, end

    def node(self, number: int) -> NodeId:
        """Give a place by its number in the whole."""
        return self._order[number]

    def _cut(self, start: int, end: int) -> bytes:
        self._out.append((start, end))
        return self._chunk(self._order[start:end])

    def _chunk(self, nodes: Sequence[NodeId]) -> bytes:
        kinds: dict[int, int] = {}
        parts = [self._part(node, kinds.setdefault(self._here[node], len(kinds))) for node in nodes]
        return _encode(Chunk(parts, [self._standing(kind) for kind in kinds]))

    def _standing(self, kind: int) -> list[int]:
        """Give the numbers of the tasks that stand on places of a kind."""
        if kind not in self._tasks:
            self._tasks[kind] = sorted(self._numbers[name] for name in self._places.standing(kind))
        return self._tasks[kind]

    def _part(self, node: NodeId, tasks: int) -> Part:
        new = self._new.part(node)
        old = self._old.nodes.get(node if node is not None else NOWHERE) if self._old is not None else None
        return Part(node, tasks, bytes(new), before(old, new))


def before(old: msgspec.Raw | None, new: msgspec.Raw) -> bytes | None:
    """Give old data as it travels: None where there is none, nothing where it is the new data."""
    if old is None:
        return None
    if old is new:
        return b""
    # Views are compared number by number, bytes at once.
    data = bytes(old)
    return b"" if data == bytes(new) else data
