"""Serialisation: every task of a graph on every node, evaluated, with all that it must follow."""

from __future__ import annotations

from rackwright.engine.serialization.serialize import (
    LOCAL,
    Progress,
    Serialization,
    Serialized,
    SerializedGraph,
    Snapshot,
    State,
    chosen_members,
    graph_of,
    place_of,
    serialize,
)

__all__ = [
    "LOCAL",
    "Progress",
    "Serialization",
    "Serialized",
    "SerializedGraph",
    "Snapshot",
    "State",
    "chosen_members",
    "graph_of",
    "place_of",
    "serialize",
]
