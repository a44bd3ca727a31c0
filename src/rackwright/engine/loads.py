"""Which tasks are loads: their catalogs know."""

from __future__ import annotations

from rackwright.core.ports import Store
from rackwright.engine.library import CatalogLibrary

JIG = "load"
"""The jig that carries loads out."""


async def load_tasks(store: Store, library: CatalogLibrary) -> list[tuple[str, str]]:
    """The deployment and the id of every task with the jig ``load``, by name."""
    async with store.transaction() as tx:
        scopes = await tx.named("deployment", None)
        known = await tx.deployments([scope.id for scope in scopes.values()])
        found: set[tuple[str, str]] = set()
        for name, scope in scopes.items():
            shelf = await library.shelf(tx, known[scope.id].catalog)
            found |= {(name, task.id) for task in shelf.tasks.values() if task.type == JIG}
    return sorted(found)
