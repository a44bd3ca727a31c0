"""Which deployments of people hold nodes: nobody gives away what others build upon."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rackwright.core.machines import METAL
from rackwright.core.ports import Store, Transaction
from rackwright.engine.machines import scope_named
from rackwright.engine.transact import transact

UNBIND = "unbind it there first, or add --force"


async def holding(tx: Transaction, nodes: Collection[int]) -> dict[int, list[str]]:
    """The names of the deployments in which these nodes are bound, by node; those that are bound in none are left out.
    The deployment in which activities are carried out holds nobody."""
    found = await tx.deployments_of(nodes) if nodes else {}
    known = await tx.deployments({id for ids in found.values() for id in ids})
    names = {node: sorted(known[id].name for id in ids if known[id].name != METAL) for node, ids in found.items()}
    return {node: held for node, held in names.items() if held}


async def holders(store: Store, name: str) -> list[str]:
    """The deployments of people that hold the node of this name. Raises NotFound."""

    async def work(tx: Transaction) -> list[str]:
        node = await scope_named(tx, "node", name)
        return (await holding(tx, [node.id])).get(node.id, [])

    return await transact(store, work)


def bound_in(deployments: Sequence[str]) -> str:
    """What is in the way, in words."""
    several = "s" if len(deployments) > 1 else ""
    return f"it is bound in the deployment{several} {', '.join(deployments)}"
