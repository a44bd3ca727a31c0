"""What racks saw of their machines: facts, whether their own systems run, and when they were heard of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core import lifecycle
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.facts import WORLD, FactWrite, check_writer
from rackwright.core.ports import Event, Scope, Store, Transaction
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.lifecycle import put, save, set_health
from rackwright.engine.machines import deactivate
from rackwright.engine.transact import transact

SYSTEM = "observed.os"
"""The fact that a system tells of itself when it runs from its disk for the first time."""
LARGEST = 4 << 20
"""Bytes of JSON that one machine may tell at a time."""


class Observation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was seen of one node: ``facts`` below ``observed`` by path (null: gone); ``alive``: whether its own system
    runs (None: that is not said); ``seen``: how many seconds ago its agent was heard of (None: it was not)."""

    node: str
    facts: dict[str, Any] = {}
    alive: bool | None = None
    seen: float | None = None


async def observe(store: Store, library: CatalogLibrary, rack: int, items: Sequence[Observation], now: float) -> None:
    """Take what a rack saw: all of it, or nothing. Times are reckoned by our clock only.

    Raises NotFound for a node that does not stand in the rack, InvalidInput for facts that are not the world's, or for
    more than LARGEST of one node.
    """
    check(items)
    (wrong,) = await transact(store, lambda tx: observe_all(tx, library, [(rack, items)], now))
    if wrong is not None:
        raise wrong


def check(items: Sequence[Observation]) -> None:
    """Raise InvalidInput for what no rack can have seen (see ``observe``)."""
    for item in items:
        refuse_large(item.node, item.facts)
        for path in item.facts:
            check_writer(path, WORLD)


async def observe_all(
    tx: Transaction, library: CatalogLibrary, said: Sequence[tuple[int, Sequence[Observation]]], now: float
) -> list[NotFound | None]:
    """The same for many racks in one transaction, once each was checked. What a rack saw of a node that does not stand
    in it is left out with all else that it says."""
    nodes = await tx.named("node", {item.node for _, items in said for item in items})
    wrong = [_stranger(rack, items, nodes) for rack, items in said]
    items = [item for (_, some), error in zip(said, wrong, strict=True) if error is None for item in some]
    told = [item for item in items if item.facts or item.alive is not None]
    if told:
        await _facts(tx, library, nodes, told, now)
    await _beats(tx, nodes, [item for item in items if item.seen is not None and item.alive is None], now)
    return wrong


def refuse_large(node: str, facts: Mapping[str, Any]) -> None:
    """Raise InvalidInput when these facts of one node are more than LARGEST."""
    size = len(msgspec.json.encode(facts)) if facts else 0
    if size > LARGEST:
        raise InvalidInput(
            f"it tells {size / (1 << 20):.1f} MiB of itself, at most {LARGEST >> 20} MiB are taken",
            where=node,
            mend="leave out of its inventory what nobody reads",
        )


async def _facts(
    tx: Transaction, library: CatalogLibrary, nodes: Mapping[str, Scope], items: Sequence[Observation], now: float
) -> None:
    writes = [
        FactWrite(nodes[item.node].id, path, value, WORLD) for item in items for path, value in item.facts.items()
    ]
    latest = {nodes[item.node].id: item.alive for item in items if item.alive is not None}
    events = await put(tx, library, writes)
    await tx.set_living([id for id, alive in latest.items() if alive], True)
    down = await tx.set_living([id for id, alive in latest.items() if not alive], False)
    by_id = {scope.id: scope for scope in nodes.values()}
    await deactivate(tx, [by_id[id] for id in down])
    events += await _at_home(tx, [nodes[item.node].id for item in items if item.facts.get(SYSTEM)], now)
    await tx.record(events)


async def _at_home(tx: Transaction, nodes: Sequence[int], now: float) -> list[Event]:
    """Note that these have a system: a deployment may have installed it, and no verb."""
    machines = await tx.machines(nodes, lock=True) if nodes else {}
    return await save(tx, machines, {id: lifecycle.at_home(machine, now) for id, machine in machines.items()})


async def _beats(tx: Transaction, nodes: Mapping[str, Scope], items: Sequence[Observation], now: float) -> None:
    """Note the beats. A system that has only just come up may have no agent: its word is not a beat yet."""
    seen = {nodes[item.node].id: now - max(item.seen or 0.0, 0.0) for item in items}
    back = await tx.note_seen(seen)
    if back:
        await tx.record(await set_health(tx, await tx.machines(back, lock=True), "ok", "", now))


def _stranger(rack: int, items: Sequence[Observation], nodes: Mapping[str, Scope]) -> NotFound | None:
    """What is wrong where a node does not stand in the rack that saw it."""
    for item in items:
        if item.node not in nodes or nodes[item.node].rack != rack:
            what = f"no node {item.node} stands in this rack"
            return NotFound(what, where=item.node, mend="see `rackwright get nodes`")
    return None
