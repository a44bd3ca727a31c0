"""By force: deployments of people let go of nodes, in the transaction in which something else is done with them."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.ports import Scope, Transaction
from rackwright.engine import planning
from rackwright.engine.changes import EVERY_ROLE
from rackwright.engine.holding import holding
from rackwright.engine.library import CatalogLibrary


async def unbind(
    tx: Transaction, library: CatalogLibrary, nodes: Sequence[Scope], asked_by: str
) -> dict[str, list[str]]:
    """Unbind nodes in every deployment of people that holds them; gives those deployments by the name of the node.
    Raises what a plan raises where a deployment cannot be without them; nothing is kept then."""
    held = await holding(tx, [node.id for node in nodes])
    by_deployment: dict[str, list[str]] = {}
    for node in nodes:
        for deployment in held.get(node.id, ()):
            by_deployment.setdefault(deployment, []).append(node.name)
    scopes = await tx.named("deployment", list(by_deployment)) if by_deployment else {}
    for scope in sorted(scopes.values(), key=lambda scope: scope.id):
        changes = {"unbind": {EVERY_ROLE: sorted(by_deployment[scope.name])}, "cascade": True}
        await planning.carry_out(tx, library, scope.id, changes, asked_by)
    return {node.name: held[node.id] for node in nodes if node.id in held}
