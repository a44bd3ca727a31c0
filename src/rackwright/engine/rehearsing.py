"""A rehearsal of a whole deployment: what each node task that is not active would do, in order, without any effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from rackwright.core.catalog import Write
from rackwright.core.messages import Claim
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import Store, Transaction
from rackwright.engine.claims import prepare
from rackwright.engine.evaluation import NOTHING, Past, pasts
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import scope_named
from rackwright.engine.situations import Situation, situations
from rackwright.engine.transact import transact

FIRST = (2**31 - 1, 0)
"""Before the heaviest node task."""


Would = Literal["run", "skip", "fail"]


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What one node task would do now, and why: run, be skipped, or fail. ``place`` is its place in the order: its
    priority and its id."""

    scope: str
    task: str
    graph: str
    state: str
    would: Would
    reason: str
    place: tuple[int, int]


async def rehearse(
    store: Store, library: CatalogLibrary, deployment: str, after: tuple[int, int] = FIRST, limit: int = 500
) -> list[Rehearsed]:
    """Walk the graph of a deployment from a place on: what comes first is told first. Conditions and parameters are
    evaluated on the facts that there are; nothing is locked, claimed or moved, and no rack is asked. Raises NotFound.
    """

    async def work(tx: Transaction) -> list[Rehearsed]:
        rows = await tx.to_come((await scope_named(tx, "deployment", deployment)).id, after, limit)
        seen = await situations(tx, library, rows)
        past = await pasts(tx, seen)
        return [_rehearsed(library, row, seen[row.id], past) for row in rows]

    return await transact(store, work)


def _rehearsed(library: CatalogLibrary, row: NodeTask, at: Situation, past: Mapping[int, Past]) -> Rehearsed:
    would, reason = _would(library, row, at, past.get(row.id, NOTHING))
    return Rehearsed(
        scope=at.scope.name,
        task=row.task,
        graph=row.graph,
        state=row.state.word,
        would=would,
        reason=reason,
        place=(row.priority, row.id),
    )


def _would(library: CatalogLibrary, row: NodeTask, at: Situation, past: Past) -> tuple[Would, str]:
    awaited = _awaited(at)
    if awaited is not None:
        return "run", awaited
    made, _ = prepare(library, row, at, past)
    if isinstance(made, Claim):
        return "run", f"the jig {made.jig} would run it"
    return ("skip" if made.outcome == "skipped" else "fail"), made.reason


def _awaited(at: Situation) -> str | None:
    """What other tasks of the catalog are to write before, where everything that is missing is of that kind."""
    if not at.inputs.missing:
        return None
    writers = {
        path: next((task.id for task in at.shelf.tasks.values() if _writes(task.writes, path)), None)
        for path in sorted(read.path for read in at.task.reads.values() if str(read) in at.inputs.missing)
    }
    if None in writers.values():
        return None
    said = ", ".join(f"{path} (by {writer})" for path, writer in writers.items())
    return f"the jig {at.task.jig} would run it once there is {said}"


def _writes(writes: Iterable[Write], path: str) -> bool:
    return any(path == write.path or f"{path}.".startswith(f"{write.path}.") for write in writes)
