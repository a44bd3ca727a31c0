"""A serialised graph in the shape that Fuel's orchestrator took: tasks by node, edges as full lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rackwright.core.resolution import NodeId
from rackwright.engine.serialization import NOWHERE, Serialized, SerializedGraph


def fuel_graph(graph: SerializedGraph) -> dict[str, Any]:
    """Give ``{"graph": {node: [tasks by id]}, "metadata": {"fault_tolerance_groups": [...]}}``.

    Edges are lists of ``{name, node_id}``, absent where there are none; ``parameters.cwd`` is ``/`` where nothing else
    is said.
    """
    nodes: dict[str, list[dict[str, Any]]] = {}
    for instance in sorted(graph.instances(), key=lambda instance: instance.id):
        nodes.setdefault(instance.node or NOWHERE, []).append(_task(instance))
    groups = [
        {"name": group.name, "node_ids": list(group.node_ids), "fault_tolerance": group.fault_tolerance}
        for group in graph.groups
    ]
    nodes.setdefault(NOWHERE, [])
    return {"graph": dict(sorted(nodes.items())), "metadata": {"fault_tolerance_groups": groups}}


def _task(instance: Serialized) -> dict[str, Any]:
    task: dict[str, Any] = {"id": instance.id, "type": instance.type, "fail_on_error": instance.fail_on_error}
    if instance.type != "skipped":
        task["parameters"] = _parameters(instance.parameters)
    if instance.requires:
        task["requires"] = _edges(instance.requires)
    if instance.required_for:
        task["required_for"] = _edges(instance.required_for)
    return task


def _parameters(parameters: Any) -> Any:
    if parameters is None:
        return {"cwd": "/"}
    return {"cwd": "/", **parameters} if isinstance(parameters, dict) else parameters


def _edges(references: Iterable[tuple[str, NodeId]]) -> list[dict[str, NodeId]]:
    by_node = sorted(references, key=lambda reference: (str(reference[1]), reference[0]))
    return [{"name": name, "node_id": node} for name, node in by_node]
