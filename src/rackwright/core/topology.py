"""Where a machine stands in the building: its rack, power feeds, uplinks, zone and image source, as facts say.

A fact of the rack holds for its machines; a fact of the machine itself comes first. A machine with two power supplies
may hang on two feeds: a fact may be a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rackwright.core.facts import lookup

KINDS = ("rack", "feed", "uplink", "zone", "image_source")
"""Kinds of places of which a machine takes a share while something is done with it."""

_OWN = {"feed": "desired.feed", "uplink": "desired.uplink", "zone": "desired.zone"}
_RACKS = {kind: f"desired.rack.{kind}" for kind in KINDS if kind != "rack"}

NODE_READS = tuple(_OWN.values())
RACK_READS = tuple(_RACKS.values())


def places(rack: str, node: Mapping[str, Any], of_rack: Mapping[str, Any]) -> tuple[str, ...]:
    """The places of a machine as ``kind=name``, in the order of the kinds. ``node`` and ``of_rack`` are facts by path,
    of the machine and of its rack."""
    found = [f"rack={rack}"]
    for kind, path in _RACKS.items():
        has, value = lookup(node, _OWN[kind]) if kind in _OWN else (False, None)
        if not has:
            _, value = lookup(of_rack, path)
        found += [f"{kind}={name}" for name in _names(value)]
    return tuple(found)


def kind_of(place: str) -> str:
    """The kind of a place."""
    return place.partition("=")[0]


def in_turn(nodes: Sequence[str], where: Mapping[str, str]) -> list[str]:
    """The nodes so that places take turns: one of each, then the next of each. Within a place their order stays, and
    places come in the order of their first node. So the first of a roll-out are of many places."""
    by_place: dict[str, list[str]] = {}
    for node in nodes:
        by_place.setdefault(where.get(node, ""), []).append(node)
    rounds = [(number, at, node) for at, those in enumerate(by_place.values()) for number, node in enumerate(those)]
    return [node for _, _, node in sorted(rounds)]


def _names(value: Any) -> list[str]:
    """The names in a fact: a name, a number, or a list of them; what is something else names nothing."""
    said = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(str(name) for name in said if isinstance(name, str | int) and str(name)))
