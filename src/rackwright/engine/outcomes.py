"""What becomes of a node after a graph: the facts that the graph's outcome names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rackwright.core.catalog import Graph
from rackwright.core.facts import FactWrite
from rackwright.core.node_task import Neighbourhood, NodeTask, State
from rackwright.core.ports import Event, Transaction
from rackwright.engine.library import CatalogLibrary, Shelf
from rackwright.engine.neighbours import unfinished
from rackwright.engine.ripple import ripple

WRITER = "outcome"
"""Writer of the facts that graphs leave on nodes: all graphs of a node share it."""


async def outcomes(
    tx: Transaction,
    library: CatalogLibrary,
    shelves: Mapping[int, Shelf],
    near: Neighbourhood,
    rows: Sequence[NodeTask],
) -> list[Event]:
    """Write the outcome of those graphs and nodes that the given rows, just saved, have ended: ``success`` once every
    node task of the node is active, ``error`` as soon as one is in error. ``shelves`` are those of the deployments."""
    ended: dict[tuple[int, str], list[NodeTask]] = {}
    for row in rows:
        if row.id in near.touched and row.state in (State.ACTIVE, State.ERROR):
            ended.setdefault((row.deployment, row.graph), []).append(row)
    writes: list[FactWrite] = []
    for (deployment, graph_type), those in ended.items():
        graph = shelves[deployment].catalog.graphs.get(graph_type)
        if graph is not None and graph.outcome:
            writes += await _writes(tx, near, graph, those)
    if not writes:
        return []
    changed = await tx.put_facts(writes)
    after = Neighbourhood()
    events = await ripple(tx, library, after, changed)
    await tx.save(after)
    return events


async def _writes(tx: Transaction, near: Neighbourhood, graph: Graph, rows: Sequence[NodeTask]) -> list[FactWrite]:
    scopes = await tx.scopes({row.scope for row in rows})
    nodes = {row.scope for row in rows if scopes[row.scope].kind == "node"}
    failed = {row.scope for row in rows if row.state is State.ERROR} & nodes
    open_still = await unfinished(tx, near, rows[0].deployment, graph.type, nodes - failed)
    writes = [_write(id, "error", graph) for id in sorted(failed)]
    writes += [_write(id, "success", graph) for id in sorted(nodes - failed - open_still)]
    return [write for some in writes for write in some]


def _write(node: int, how: str, graph: Graph) -> list[FactWrite]:
    attributes = next((facts for name, facts in graph.outcome.items() if name == how), {})
    return [FactWrite(node, path, value, WRITER) for path, value in attributes.items()]
