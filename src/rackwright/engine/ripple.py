"""From changed facts to the node tasks that read them: the inner half of the one door."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core import annealing
from rackwright.core.catalog import Task
from rackwright.core.facts import Fact
from rackwright.core.inputs import concerned
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.core.ports import Event, Transaction
from rackwright.engine import tagging
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.neighbours import reach_out
from rackwright.engine.situations import situations


async def ripple(tx: Transaction, library: CatalogLibrary, near: Neighbourhood, changed: Sequence[Fact]) -> list[Event]:
    """Move every node task whose inputs the changed facts change, or the tags that follow from them; give the events.

    ``near`` grows by the rows that are found; what it holds already is taken as it is, with its unsaved moves.
    """
    if not changed:
        return []
    if tagging.is_read(changed):
        changed = [*changed, *await tagging.follow(tx, library.compiler, changed)]
    found = await readers(tx, library, changed)
    await reach_out(tx, near, [id for ids in found.values() for id in ids])
    rows = [near.rows[id] for id in sorted({id for ids in found.values() for id in ids}) if id in near.rows]
    return await refresh(tx, library, near, rows, _reasons(found), max(fact.revision for fact in changed))


async def refresh(
    tx: Transaction,
    library: CatalogLibrary,
    near: Neighbourhood,
    rows: Sequence[NodeTask],
    reasons: dict[int, str],
    revision: int,
) -> list[Event]:
    """Compare what these rows see now with what they last ran on, and move those for which it differs."""
    seen = await situations(tx, library, rows)
    events = []
    for row in rows:
        at = seen[row.id]
        reason = reasons.get(row.id, "what it reads has changed")
        if annealing.change(near, row, at.task, fingerprint=at.fingerprint, revision=revision, reason=reason):
            kind = "proposed" if row.state is State.PROPOSED else "stale"
            events.append(
                Event(kind=kind, text=reason, deployment=at.deployment.name, scope=at.scope.name, task=row.task)
            )
    return events


async def readers(tx: Transaction, library: CatalogLibrary, changed: Sequence[Fact]) -> dict[str, list[int]]:
    """Ids of the node tasks that may see something else now, by the path of the fact that changed."""
    scopes = await tx.scopes({fact.scope for fact in changed})
    concerns = await tx.deployments_of(list(scopes))
    deployments = await tx.deployments({id for ids in concerns.values() for id in ids})
    wanted: dict[tuple[int, str, str], set[int] | None] = {}
    # A fleet's facts have few paths: who reads a path is asked once, not for every node.
    known: dict[tuple[str, str, str], list[tuple[Task, str]]] = {}
    for fact in changed:
        scope = scopes.get(fact.scope)
        for id in concerns.get(fact.scope, []) if scope else []:
            asked = (deployments[id].catalog, scopes[fact.scope].kind, fact.path)
            if asked not in known:
                shelf = await library.shelf(tx, deployments[id].catalog)
                known[asked] = concerned(list(shelf.tasks.values()), asked[1], asked[2])
            for task, how in known[asked]:
                key = (id, task.id, fact.path)
                if how != "own":
                    wanted[key] = None
                elif (places := wanted.setdefault(key, set())) is not None:
                    places.add(fact.scope)
    return await _find(tx, wanted)


async def _find(tx: Transaction, wanted: dict[tuple[int, str, str], set[int] | None]) -> dict[str, list[int]]:
    grouped: dict[tuple[int, str, frozenset[int] | None], set[str]] = {}
    for (deployment, task, path), scopes in wanted.items():
        grouped.setdefault((deployment, path, None if scopes is None else frozenset(scopes)), set()).add(task)
    found: dict[str, list[int]] = {}
    for (deployment, path, places), tasks in grouped.items():
        found.setdefault(path, []).extend(await tx.find(deployment, tasks, places))
    return found


def _reasons(found: dict[str, list[int]]) -> dict[int, str]:
    paths: dict[int, list[str]] = {}
    for path, ids in found.items():
        for id in ids:
            paths.setdefault(id, []).append(path)
    return {id: "changed: " + ", ".join(sorted(set(names))) for id, names in paths.items()}
