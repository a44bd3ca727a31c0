"""Shares of the budgets that hold for all: what machines of campaigns take, and node tasks of deployments while they
run. Both are admitted by one rule (``core.budgets``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from rackwright.core.budgets import Shares, admit
from rackwright.core.catalog import Task
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import Transaction
from rackwright.core.topology import NODE_READS, RACK_READS, kind_of, places
from rackwright.engine.situations import by_scope


class Load(msgspec.Struct, frozen=True):
    """A node task, and the places at which it takes a share."""

    row: NodeTask
    places: tuple[str, ...]


async def standing(tx: Transaction) -> Shares:
    """What is left under the budgets for all."""
    return Shares(await tx.budgets(), everywhere(await tx.busy_places()))


def everywhere(busy: Mapping[tuple[int, str], int]) -> dict[str, int]:
    """How many machines are busy at each place, whoever has begun it."""
    found: Counter[str] = Counter()
    for (_, place), count in busy.items():
        found[place] += count
    return found


async def lock_for(tx: Transaction, rack: int) -> Shares | None:
    """What is left for the node tasks of a rack; None: none of those in its queue takes a share. Nobody else begins
    anything that takes one until this transaction ends."""
    if not await tx.shares_wanted(rack):
        return None
    await tx.lock_campaigns()
    return await standing(tx)


async def admitted(tx: Transaction, rows: Sequence[NodeTask], shares: Shares) -> list[NodeTask]:
    """Those of the rows that may start now, the first ones first; each takes its shares from those after it."""
    taken = await tx.shares_of([row.id for row in rows])
    return [load.row for load in admit([Load(row, taken.get(row.id, ())) for row in rows], [shares])]


async def note(
    tx: Transaction, deployment: int, graph: str, tasks: Iterable[Task], rows: Iterable[NodeTask]
) -> dict[int, tuple[str, ...]]:
    """Note at which places the rows of a graph take shares, where their tasks say so; gives them by row."""
    takes = {task.id: set(task.takes) for task in tasks if task.takes}
    heavy = [row for row in rows if row.task in takes and row.rack is not None] if takes else []
    where = await places_of(tx, {row.scope: row.rack for row in heavy if row.rack is not None})
    found = {row.id: tuple(place for place in where[row.scope] if kind_of(place) in takes[row.task]) for row in heavy}
    found = {id: taken for id, taken in found.items() if taken}
    await tx.set_shares(deployment, graph, found)
    return found


async def places_of(tx: Transaction, racks: Mapping[int, int]) -> dict[int, tuple[str, ...]]:
    """The places of nodes, or of racks themselves, by the rack in which each stands."""
    if not racks:
        return {}
    scopes = await tx.scopes(set(racks.values()))
    own = by_scope(await tx.facts(list(racks), NODE_READS))
    of_racks = by_scope(await tx.facts(list(scopes), RACK_READS))
    return {id: places(scopes[rack].name, own.get(id, {}), of_racks.get(rack, {})) for id, rack in racks.items()}
