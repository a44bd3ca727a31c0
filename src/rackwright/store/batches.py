"""What both stores do alike with a batch of facts: one value per fact, in order, and the words of refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rackwright.core.errors import Conflict
from rackwright.core.facts import FactWrite
from rackwright.core.ports import Scope
from rackwright.store.texts import plain, stored

ADDRESS = "desired.address"


def one_per_fact(writes: Sequence[FactWrite]) -> list[FactWrite]:
    """The batch in the order of locks, the last write of each fact, values as JSON gives them back.

    Raises Conflict when two writers write one fact, InvalidInput when a value cannot be stored.
    """
    found: dict[tuple[int, str], FactWrite] = {}
    for write in writes:
        before = found.get((write.scope, write.path))
        if before is not None and before.writer != write.writer:
            raise two_writers(f"scope {write.scope}", write.path, before.writer, write.writer)
        value = stored(write.value, f"fact {write.path}")
        found[write.scope, write.path] = msgspec.structs.replace(write, path=plain(write.path), value=value)
    return [found[key] for key in sorted(found)]


def addresses(batch: Sequence[FactWrite]) -> tuple[list[FactWrite], tuple[int, int, Any] | None]:
    """The writes that give a node its address, and the first two scopes of them that take the same one."""
    given = [write for write in batch if write.path == ADDRESS and write.value is not None]
    owners: dict[bytes, int] = {}
    for write in given:
        owner = owners.setdefault(msgspec.json.encode(write.value), write.scope)
        if owner != write.scope:
            return given, (owner, write.scope, write.value)
    return given, None


def readdressed(batch: Sequence[FactWrite]) -> set[int]:
    """The scopes whose address the batch changes or deletes: what they have now does not count."""
    return {write.scope for write in batch if write.path == ADDRESS}


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


def repeated(nodes: Sequence[Scope]) -> str | None:
    """The first name that is given a second time."""
    seen: set[str] = set()
    for node in nodes:
        if node.name in seen:
            return node.name
        seen.add(node.name)
    return None
