"""A serialised graph as text, piece by piece: a large one need never be in memory as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import yaml

from rackwright.core.relations import Side, relations
from rackwright.core.resolution import NodeId
from rackwright.engine.fuel_json import fuel_graph
from rackwright.engine.serialization.graph import Serialized, SerializedGraph

Mode = Literal["run", "dry-run", "noop"]
"""What whoever carries the graph out is told: to run it, to look only, or to run each task without effect. Nothing that
has no effect can fail the run."""

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_encode = msgspec.json.Encoder().encode


class Named(msgspec.Struct, frozen=True):
    """A graph with its type."""

    type: str
    graph: SerializedGraph


def _json(graphs: Sequence[Named], mode: Mode, *, full: bool) -> Iterator[str]:
    """One instance a line. Several graphs are a sequence."""
    if len(graphs) > 1:
        yield '{"sequence": [\n'
    for number, named in enumerate(graphs):
        yield (",\n" if number else "") + _line("{", graph=named.type, mode=mode)
        yield from _list("instances", _instances(named.graph, mode, full=full))
        if not full:
            yield from _list("relations", _relations(named.graph))
        yield from _list("fault_tolerance_groups", map(msgspec.to_builtins, named.graph.groups))
        yield from _list("warnings", named.graph.warnings)
        yield f'"running": {named.graph.running}}}'
    yield "]}\n" if len(graphs) > 1 else "\n"


def _yaml(graphs: Sequence[Named], mode: Mode, *, full: bool) -> Iterator[str]:
    whole = json.loads("".join(_json(graphs, mode, full=full)))
    yield str(yaml.dump(whole, Dumper=_DUMPER, sort_keys=False))


def _fuel(graphs: Sequence[Named], mode: Mode, *, full: bool) -> Iterator[str]:
    """The message that Fuel's orchestrator took; its edges are full lists always."""
    del full
    told = [fuel_graph(named.graph) for named in graphs]
    if mode != "run":
        flag = {"dry-run": "dry_run", "noop": "noop_run"}[mode]
        told = [{**one, flag: True} for one in told]
    whole = told[0] if len(told) == 1 else {"sequence": told}
    yield json.dumps(whole, indent=1, sort_keys=True) + "\n"


FORMS: dict[str, Callable[..., Iterator[str]]] = {"json": _json, "yaml": _yaml, "fuel-json": _fuel}
"""By name: takes graphs, the mode, and whether every edge is wanted; gives the text in pieces."""


def _line(opening: str, **fields: Any) -> str:
    return opening + "".join(f'"{name}": {_encode(value).decode()},\n' for name, value in fields.items())


def _list(name: str, items: Any) -> Iterator[str]:
    yield f'"{name}": ['
    for number, item in enumerate(items):
        yield (",\n " if number else "\n ") + _encode(item).decode()
    yield "],\n"


def _instances(graph: SerializedGraph, mode: Mode, *, full: bool) -> Iterator[dict[str, Any]]:
    for instance in graph.instances(edges=full):
        yield _instance(instance, mode) | (_edges(instance) if full else {})


def _instance(instance: Serialized, mode: Mode) -> dict[str, Any]:
    return {
        "node": instance.node,
        "task": instance.id,
        "type": instance.type,
        "parameters": instance.parameters,
        "fail_on_error": instance.fail_on_error and mode == "run",
    }


def _edges(instance: Serialized) -> dict[str, Any]:
    def rows(pairs: list[tuple[str, NodeId]]) -> list[dict[str, NodeId]]:
        return [{"task": task, "node": node} for task, node in pairs]

    return {"requires": rows(instance.requires), "required_for": rows(instance.required_for)}


def _relations(graph: SerializedGraph) -> Iterator[dict[str, Any]]:
    for relation in relations(graph.expansion):
        kind = "each" if relation.each else "barrier" if relation.gathers else "all"
        yield {"kind": kind, "before": _side(relation.before), "after": _side(relation.after)}


def _side(side: Side) -> dict[str, Any]:
    return {"task": side.task, "nodes": list(side.nodes)}
