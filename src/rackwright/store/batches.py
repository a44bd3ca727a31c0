"""What both stores do alike with a batch of facts: one value per fact, in order, and the words of refusal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from rackwright.core.addresses import holds_address, refuse_nested, written
from rackwright.core.errors import Conflict
from rackwright.core.facts import FactWrite
from rackwright.core.networks import NETWORKS
from rackwright.core.ports import Scope
from rackwright.store.texts import plain, stored


def one_per_fact(writes: Sequence[FactWrite]) -> list[FactWrite]:
    """The batch in the order of locks, the last write of each fact, values as JSON gives them back.

    Raises Conflict when two writers write one fact, InvalidInput when a value cannot be stored.
    """
    found: dict[tuple[int, str], FactWrite] = {}
    for write in writes:
        before = found.get((write.scope, write.path))
        if before is not None and before.writer != write.writer:
            raise two_writers(f"scope {write.scope}", write.path, before.writer, write.writer)
        found[write.scope, write.path] = msgspec.structs.replace(write, path=plain(write.path), value=_kept(write))
    return [found[key] for key in sorted(found)]


def _kept(write: FactWrite) -> Any:
    if write.value is not None:
        refuse_nested(write.path)
    if write.value is not None and holds_address(write.path):
        return written(write.value, f"fact {write.path}")
    return stored(write.value, f"fact {write.path}")


def addresses(batch: Sequence[FactWrite]) -> tuple[list[FactWrite], tuple[int, int, Any] | None]:
    """The writes that give a node an address, and the first two scopes of them that take the same one."""
    given = [write for write in batch if write.value is not None and holds_address(write.path)]
    owners: dict[str, FactWrite] = {}
    for write in given:
        owner = owners.setdefault(write.value, write)
        if owner is not write:
            return given, (owner.scope, write.scope, write.value)
    return given, None


def readdressed(batch: Sequence[FactWrite]) -> list[tuple[int, str]]:
    """The facts of addresses that the batch changes or deletes: what they hold now does not count."""
    return [(write.scope, write.path) for write in batch if holds_address(write.path)]


def connected(changed: Iterable[tuple[int, str]]) -> list[int]:
    """The racks whose networks changed, with the facts at these (scope, path) places."""
    return sorted({scope for scope, path in changed if path in (NETWORKS, "desired.rack")})


def two_writers(scope: str, path: str, owner: str, writer: str) -> Conflict:
    """The refusal of a second writer."""
    return Conflict(
        f"the fact {path} has two writers: {owner} and {writer}",
        where=scope,
        mend="let one of them write another path, or delete the fact first",
    )


def two_nodes(address: Any, one: str, other: str) -> Conflict:
    """The refusal of an address that another node has."""
    first, second = sorted((one, other))
    return Conflict(
        f"the address {address} would belong to two nodes: {first} and {second}",
        mend="give one of them another address",
    )


def two_racks(cidr: str, rack: str, other_cidr: str, other: str) -> Conflict:
    """The refusal of a network that another rack has."""
    one = cidr if cidr == other_cidr else f"{cidr}, which meets {other_cidr},"
    return Conflict(
        f"the network {one} is on the rack {other} already",
        where=rack,
        mend="take another range, or say that it is shared, at both racks",
    )


def repeated(nodes: Sequence[Scope]) -> str | None:
    """The first name that is given a second time."""
    seen: set[str] = set()
    for node in nodes:
        if node.name in seen:
            return node.name
        seen.add(node.name)
    return None
