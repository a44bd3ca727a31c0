"""The data that a graph is evaluated over, kept as the text in which it came: nodes are read when their turn comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.resolution import MASTER, Member, NodeId

NOWHERE = "null"
"""Key of the data of no node: what belongs to the deployment as a whole."""

_NOTHING = msgspec.Raw(b"{}")


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data of one moment: what all nodes share, and each node's own part by name; each a JSON object."""

    common: msgspec.Raw
    nodes: dict[str, msgspec.Raw]

    @classmethod
    def of(cls, common: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> Snapshot:
        """Make a snapshot of data in memory."""
        return cls(_raw(common), {name: _raw(part) for name, part in nodes.items()})

    def part(self, node: NodeId) -> msgspec.Raw:
        """Give a place's own part; the control node and the deployment have one although nobody wrote it."""
        found = self.nodes.get(node if node is not None else NOWHERE)
        if found is not None:
            return found
        return _raw({"uid": MASTER, "roles": [MASTER]}) if node == MASTER else _NOTHING


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data that is wanted, and the data of the last success (None: there was none)."""

    new: Snapshot
    old: Snapshot | None = None


def check_members(members: Sequence[Member], state: State) -> None:
    """Refuse members that the state does not know. Raises InvalidInput."""
    missing = [member.name for member in members if member.name not in state.new.nodes]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InvalidInput(
            f"the state has no data of {len(missing)} nodes: {named}",
            where="new.nodes",
            mend="give each node its part in new.nodes, or leave it out of the nodes",
        )


def read_part(raw: msgspec.Raw | bytes, where: str) -> dict[str, Any]:
    """Read one part. Raises InvalidInput with its place when it is no JSON object."""
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(error), where=where, mend="write a JSON object") from error


def _raw(part: Mapping[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(part))
