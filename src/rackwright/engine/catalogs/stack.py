"""Catalogs in layers: shipped, plugins, the deployment's own. A later layer adds, and replaces what is of one name."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rackwright.core.catalog import Catalog, Graph, Task
from rackwright.core.errors import InvalidInput


def stack(layers: Sequence[Catalog]) -> Catalog:
    """Merge layers, the most general first.

    Tasks of each graph type are merged by id, roles by name, files by path: a later one takes the place of the earlier,
    a new one comes last. A later node filter or outcome replaces an earlier. Name, description and strictness are the
    first layer's: the others refine it. Raises InvalidInput when there is no layer.
    """
    if not layers:
        raise InvalidInput("no catalog to stack", mend="name at least one")
    first, *others = layers
    for layer in others:
        first = msgspec.structs.replace(
            first,
            roles={**first.roles, **layer.roles},
            graphs=_graphs(first.graphs, layer.graphs),
            files=dict(sorted({**first.files, **layer.files}.items())),
        )
    return first


def _graphs(lower: dict[str, Graph], upper: dict[str, Graph]) -> dict[str, Graph]:
    merged = {kind: _merge(graph, upper[kind]) if kind in upper else graph for kind, graph in lower.items()}
    return merged | {kind: graph for kind, graph in upper.items() if kind not in lower}


def _merge(lower: Graph, upper: Graph) -> Graph:
    return Graph(
        type=lower.type,
        tasks=_tasks(lower.tasks, upper.tasks),
        node_filter=upper.node_filter or lower.node_filter,
        outcome={**lower.outcome, **upper.outcome},
        bootenv=upper.bootenv or lower.bootenv,
        source=upper.source if upper.node_filter else lower.source,
    )


def _tasks(lower: tuple[Task, ...], upper: tuple[Task, ...]) -> tuple[Task, ...]:
    by_id = {task.id: task for task in lower}
    return tuple((by_id | {task.id: task for task in upper}).values())
