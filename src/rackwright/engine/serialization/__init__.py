"""Serialisation: every task of a graph on every node, evaluated, with all that it must follow."""

from __future__ import annotations

from rackwright.engine.serialization.graph import Serialized, SerializedGraph
from rackwright.engine.serialization.rendering import LOCAL
from rackwright.engine.serialization.serialize import Progress, chosen_members, graph_of, place_of, serialize
from rackwright.engine.serialization.state import NOWHERE, Snapshot, State, read_part

__all__ = [
    "LOCAL",
    "NOWHERE",
    "Progress",
    "Serialized",
    "SerializedGraph",
    "Snapshot",
    "State",
    "chosen_members",
    "graph_of",
    "place_of",
    "read_part",
    "serialize",
]
