"""A small world for tests of the stores: racks, nodes, a deployment, and node tasks with the shapes that matter."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from rackwright.core.node_task import Barrier, NodeTask, State
from rackwright.core.ports import Deployment, Scope, Transaction
from tests.integration.conftest import AnyStore

NOW = 1_000_000.0


@dataclass
class World:
    """Ids of what was made, by name."""

    store: AnyStore
    racks: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    deployment: int = 0

    async def graph(self, rows: Sequence[NodeTask], barriers: Sequence[Barrier] = (), graph: str = "deploy") -> None:
        """Put a graph in place of the one before."""
        async with self.store.transaction() as tx:
            old = await tx.graph_rows(self.deployment, graph)
            await tx.replace_graph(
                self.deployment, graph, insert=rows, update=[], delete=[row.id for row in old], barriers=barriers
            )

    def row(self, id: int, node: str, task: str = "install", **fields: Any) -> NodeTask:
        """A node task on a node of this world; in todo unless said otherwise."""
        wanted = {"state": State.TODO, "rack": self.racks["r1"], "deployment": self.deployment} | fields
        return NodeTask(id=id, task=task, scope=self.nodes.get(node, 0) or self.racks.get(node, 0), **wanted)

    async def rows(self, graph: str = "deploy") -> dict[int, NodeTask]:
        """The rows as they are stored, by id."""
        async with self.store.transaction() as tx:
            return {row.id: row for row in await tx.graph_rows(self.deployment, graph)}


async def world(store: AnyStore, nodes: int = 4) -> World:
    """Racks r1 and r2; nodes n1, n2, ... in turn in r1 and r2; a deployment ``web``."""
    made = World(store)
    async with store.transaction() as tx:
        for name in ("r1", "r2"):
            made.racks[name] = await tx.add_scope(Scope(id=0, kind="rack", name=name), secret=name.encode())
        for number, rack in zip(range(1, nodes + 1), itertools.cycle(("r1", "r2")), strict=False):
            node = Scope(id=0, kind="node", name=f"n{number}", rack=made.racks[rack])
            made.nodes[node.name] = await tx.add_scope(node)
        made.deployment = await tx.add_deployment(Deployment(id=0, name="web", catalog="digest", catalog_name="shop"))
    return made


@asynccontextmanager
async def undone(store: AnyStore) -> AsyncIterator[Transaction]:
    """A transaction whose work is not kept."""
    async with store.transaction() as tx:
        yield tx
        await tx.rollback()
