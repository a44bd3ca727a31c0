"""Fault tolerance: how many nodes of a group may fail before nothing more is begun.

The groups are those of the newest plan of each graph. Nodes of no group form one that tolerates nothing, as in Fuel;
unlike there this holds only once a group of the graph can be exceeded at all, and a tolerance that was exceeded is
always an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from rackwright.core.expansion import FaultToleranceGroup

REST = "the nodes of no group"


class Tolerance(msgspec.Struct, frozen=True, kw_only=True):
    """Of these nodes (ids) so many may have failed."""

    name: str
    nodes: tuple[int, ...]
    allowed: int


def tolerances(groups: Iterable[FaultToleranceGroup], members: Mapping[str, int]) -> list[Tolerance]:
    """What a plan's groups tolerate, and that the other members tolerate nothing. ``members`` gives ids by name."""
    made = [
        Tolerance(
            name=group.name,
            nodes=tuple(members[name] for name in group.node_ids if name in members),
            allowed=group.fault_tolerance,
        )
        for group in groups
    ]
    grouped = {node for one in made for node in one.nodes}
    rest = tuple(id for id in members.values() if id not in grouped)
    said = [one for one in made if one.allowed < len(one.nodes)]
    return [*said, Tolerance(name=REST, nodes=rest, allowed=0)] if said and rest else said


def exceeded(groups: Iterable[Tolerance], failed: Collection[int]) -> str:
    """Says which group has failed on more nodes than it tolerates; empty: none has."""
    for group in groups:
        bad = sum(node in failed for node in group.nodes)
        if bad > group.allowed:
            return f"{group.name}: {bad} failed, tolerance {group.allowed}"
    return ""
