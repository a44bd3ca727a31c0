"""Serialisation: every instance of a graph, evaluated, with all that it must follow.

Takes tasks, members and the data of old and new; asks core where each task runs, evaluates its condition, relations
and parameters there, and gives the whole as plain data. Nothing here talks to a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.catalog import Graph, Task
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.expansion import Expansion, FaultToleranceGroup, Instance, references
from rackwright.core.linking import expand
from rackwright.core.resolution import MASTER, Member, NodeId
from rackwright.engine.expressions import Attributes, Context, Evaluator

WITHOUT_OLD_STATE = ("group", "stage", "skipped")
"""Types of tasks that leave nothing behind to compare with."""

LOCAL = "127.0.0.1"

Progress = Callable[[int, int], None]
"""Told how many instances are done, of how many."""


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data of one moment: what all nodes share, and each node's own part by name."""

    common: dict[str, Any]
    nodes: dict[str, dict[str, Any]]


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data that is wanted, and the data of the last success (None: there was none)."""

    new: Snapshot
    old: Snapshot | None = None


class Serialized(msgspec.Struct, frozen=True, kw_only=True):
    """One instance, evaluated. ``type`` is ``skipped`` and ``parameters`` None for what is not carried out."""

    node: NodeId
    id: str
    type: str
    parameters: Any
    fail_on_error: bool
    requires: list[tuple[str, NodeId]]
    required_for: list[tuple[str, NodeId]]


class SerializedGraph(msgspec.Struct, frozen=True):
    """All instances in the order of the catalog, the fault-tolerance groups, and what the reader should know."""

    instances: list[Serialized]
    groups: list[FaultToleranceGroup]
    warnings: list[str]


def serialize(
    tasks: Sequence[Task],
    members: Sequence[Member],
    state: State,
    *,
    evaluator: Evaluator | None = None,
    master_ip: str = LOCAL,
    progress: Progress | None = None,
) -> SerializedGraph:
    """Expand and evaluate a graph. ``master_ip`` is what texts in Fuel's parameters mean by ``{MASTER_IP}``.

    Raises InvalidInput for a member that the state does not know, and for any expression of a task that runs, with the
    task, the node, and the place in the catalog. An error in the parameters of a task that does not run is a warning.
    """
    return Serialization(members, state, evaluator or Evaluator(), master_ip).graph(tasks, progress)


def chosen_members(
    graph: Graph, members: Sequence[Member], state: State, evaluator: Evaluator | None = None
) -> list[Member]:
    """Give the members that the graph's node filter takes; the filter sees each node's own part of the new data, where
    a key that is not there is null. Raises InvalidInput for a filter that fails."""
    if not graph.node_filter:
        return list(members)
    evaluator = evaluator or Evaluator()
    return [member for member in members if _takes(graph, member, state, evaluator)]


def _takes(graph: Graph, member: Member, state: State, evaluator: Evaluator) -> bool:
    node = Attributes(_own_part(state.new, member.name))
    where = f"node filter of the graph {graph.type}, node {member.name}"
    return bool(evaluator.evaluate(graph.node_filter, Context(common=None, node=node), where=where))


class Serialization:
    """One state and its nodes, ready to evaluate tasks; contexts are made once for each place and kept."""

    def __init__(self, members: Sequence[Member], state: State, evaluator: Evaluator, master_ip: str = LOCAL) -> None:
        _check_members(members, state.new)
        self._members = members
        self._state = state
        self._evaluator = evaluator
        self._master_ip = master_ip
        self._fresh: dict[NodeId, Context] = {}
        self._compared: dict[NodeId, Context] = {}
        self._common = Context(common=state.new.common, node=None).common
        self._old_common = Context(common=state.old.common, node=None).common if state.old else None

    def graph(self, tasks: Sequence[Task], progress: Progress | None = None) -> SerializedGraph:
        """Evaluate every instance of these tasks."""
        expansion = expand(tasks, self._members, relations=self.relations)
        warnings = list(expansion.warnings)
        instances = list(self._serialized(expansion, warnings, progress or (lambda done, total: None)))
        return SerializedGraph(instances=instances, groups=expansion.groups, warnings=warnings)

    def context(self, task: Task, node: NodeId) -> Context:
        """Give what the expressions of a task see at a place."""
        compared = self._state.old is not None and task.type not in WITHOUT_OLD_STATE
        contexts = self._compared if compared else self._fresh
        context = contexts.get(node)
        if context is None:
            context = contexts[node] = self._make_context(node, self._state.old if compared else None)
        return context

    def relations(self, task: Task, node: NodeId) -> tuple[Any, Any]:
        """Give both cross relations of a task at a place, evaluated."""
        context, where = self.context(task, node), place_of(task, node)
        return (
            self._evaluator.render(task.cross_depends, context, where=where),
            self._evaluator.render(task.cross_depended_by, context, where=where),
        )

    def _make_context(self, node: NodeId, old: Snapshot | None) -> Context:
        before = None
        if old is not None and (node or "null") in old.nodes:
            before = Context(common=self._old_common, node=old.nodes[node or "null"]).new
        return Context(common=self._common, node=_own_part(self._state.new, node), old=before)

    def _serialized(self, expansion: Expansion, warnings: list[str], progress: Progress) -> Iterator[Serialized]:
        total = expansion.count
        for done, instance in enumerate(expansion, start=1):
            yield self._evaluate(instance, warnings)
            progress(done, total)

    def _evaluate(self, instance: Instance, warnings: list[str]) -> Serialized:
        task, node = instance.task, instance.node
        runs = not instance.skipped and task.type != "stage" and self._holds(task, node)
        parameters = self._parameters(task, node) if runs else None
        if not runs and task.type not in WITHOUT_OLD_STATE:
            warnings.extend(self._faults_of_idle_parameters(task, node))
        return Serialized(
            node=node,
            id=task.id,
            type=task.type if runs else "skipped",
            parameters=parameters,
            fail_on_error=task.fail_on_error and runs,
            requires=references(instance, "requires"),
            required_for=references(instance, "required_for"),
        )

    def _holds(self, task: Task, node: NodeId) -> bool:
        return self._evaluator.holds(task.condition, self.context(task, node), where=place_of(task, node))

    def _parameters(self, task: Task, node: NodeId) -> Any:
        context = self.context(task, node)
        names = names_of(context.new, self._master_ip)
        return self._evaluator.render(task.parameters, context, names=names, where=place_of(task, node))

    def _faults_of_idle_parameters(self, task: Task, node: NodeId) -> Iterator[str]:
        try:
            self._parameters(task, node)
        except InvalidInput as error:
            yield f"{error}; the task does not run"


def place_of(task: Task, node: NodeId) -> str:
    """Name an instance for people: the place in the catalog, the task, the node."""
    at = f"{task.source}: " if task.source.file else ""
    return f"{at}task {task.id} on " + (f"node {node}" if node is not None else "the deployment")


def names_of(data: Mapping[str, Any], master_ip: str) -> dict[str, Any]:
    """Give the names that texts in Fuel's parameters may hold in braces; what the data does not say is left out."""

    def look_up(*keys: str) -> Any:
        value: Any = data
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    names = {
        "CLUSTER_ID": look_up("cluster", "id"),
        "OPENSTACK_VERSION": look_up("openstack_version"),
        "MASTER_IP": master_ip,
        "CN_HOSTNAME": look_up("public_ssl", "hostname"),
        "SETTINGS": look_up("settings"),
    }
    return {name: value for name, value in names.items() if value is not None}


def graph_of(graphs: Mapping[str, Graph], wanted: str) -> Graph:
    """Find a graph by type; Fuel's names ``default`` and ``deletion`` are known too. Raises NotFound."""
    graph = graphs.get({"default": "deploy", "deletion": "delete"}.get(wanted, wanted)) or graphs.get(wanted)
    if graph is None:
        raise NotFound(f"the catalog has no graph {wanted}", mend=f"it has: {', '.join(sorted(graphs)) or 'none'}")
    return graph


def _check_members(members: Sequence[Member], new: Snapshot) -> None:
    missing = [member.name for member in members if member.name not in new.nodes]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InvalidInput(
            f"the state has no data of {len(missing)} nodes: {named}",
            where="new.nodes",
            mend="give each node its part in new.nodes, or leave it out of the nodes",
        )


def _own_part(snapshot: Snapshot, node: NodeId) -> dict[str, Any]:
    found = snapshot.nodes.get(node or "null")
    if found is not None:
        return found
    return {"uid": MASTER, "roles": [MASTER]} if node == MASTER else {}
