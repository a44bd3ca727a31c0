"""What travels to those who evaluate and back: bytes, so that it costs the same within a process and over a network."""

from __future__ import annotations

from typing import Any

import msgspec

from rackwright.core.catalog import Task


class Setup(msgspec.Struct, frozen=True):
    """What all chunks of one serialisation share. ``common`` and ``old_common`` are JSON objects. ``old_common``
    None: nothing ever ran; empty: it is the new data. ``only`` names the tasks that may run; None: all."""

    tasks: tuple[Task, ...]
    common: bytes
    old_common: bytes | None
    master_ip: str
    only: frozenset[str] | None = None


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One place of a chunk: its name, which list of tasks stands on it, and its own new and old data (JSON objects).
    ``old`` None: nothing ever ran there; empty: it is the new data."""

    node: str | None
    tasks: int
    new: bytes
    old: bytes | None


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """Some places, in order, and the lists of tasks (by number) that stand on them."""

    parts: list[Part]
    tasks: list[list[int]]


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What evaluating an instance gave: whether it is carried out, with which parameters, and its cross relations
    where they are computed."""

    runs: bool
    parameters: Any = None
    depends: Any = None
    depended_by: Any = None


class Outcomes(msgspec.Struct, frozen=True, array_like=True):
    """The outcomes of one task in a chunk: each distinct one once (msgpack of Outcome), and for every place of the
    task in the chunk, in order, which it is (32 bits each, little-endian)."""

    task: int
    distinct: list[bytes]
    of: bytes


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """An expression that failed, first at this place (by its number in the chunk) of this task, and how often."""

    place: int
    task: int
    what: str
    where: str
    mend: str
    count: int = 1


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What a chunk came to. With ``faults`` nothing else counts. ``idle`` are the faults in parameters of tasks that
    do not run. ``seconds`` of work sizes the next chunks; it is no part of the result."""

    outcomes: list[Outcomes] = []
    faults: list[Fault] = []
    idle: list[Fault] = []
    seconds: float = 0.0
