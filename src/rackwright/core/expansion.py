"""A catalog's tasks on a deployment's nodes: every instance, and what each must follow.

The rules are those of Fuel's serialiser, written for size: a relation to many nodes is resolved once and shared by all
instances that have it, so the work grows with the number of instances and not with the number of edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from rackwright.core.catalog import Selector, Task
from rackwright.core.errors import InvalidInput
from rackwright.core.resolution import (
    EVERYONE,
    RACK_PREFIX,
    Member,
    NodeId,
    Resolution,
    matching,
    natural,
    selector_of,
)

__all__ = [
    "Expansion",
    "FaultToleranceGroup",
    "Instance",
    "Member",
    "NodeId",
    "Target",
    "expand",
    "has_expression",
    "references",
    "tolerance_of",
]

EXPRESSION_KEY = "yaql_exp"
"""The key that makes a mapping an expression."""

Relations = Callable[[Task, NodeId], tuple[Any, Any]]
"""Gives the evaluated ``cross_depends`` and ``cross_depended_by`` of a task at a place."""


class Target(msgspec.Struct, frozen=True):
    """One end of a relation: a task, at these places.

    ``nodes`` holds only places where the task has an instance, in natural order. The tuple is shared between all
    instances with the same relation, so it may hold the reader's own pair (own task, own node): that is no edge.
    Targets of one task may overlap when two relations mean the same nodes.
    """

    task: str
    nodes: tuple[NodeId, ...]


class Instance(msgspec.Struct):
    """A task at one place. ``skipped`` ones are not carried out, but keep their place in the order."""

    task: Task
    node: NodeId
    skipped: bool
    requires: tuple[Target, ...] = ()
    required_for: tuple[Target, ...] = ()


class FaultToleranceGroup(msgspec.Struct, frozen=True):
    """How many of these nodes may fail before the run stops."""

    name: str
    node_ids: tuple[str, ...]
    fault_tolerance: int


class Expansion(msgspec.Struct):
    """All instances by (node, task), in the order of the catalog and then of the nodes."""

    instances: dict[tuple[NodeId, str], Instance]
    groups: list[FaultToleranceGroup]
    warnings: list[str]


def expand(tasks: Sequence[Task], members: Sequence[Member], *, relations: Relations | None = None) -> Expansion:
    """Put every task where it belongs and resolve what it must follow.

    ``relations`` is asked for tasks whose relations hold an expression; without it those relations are left out, with
    a warning. Names that nothing answers to are left out too, with a warning. Raises InvalidInput for a group that
    adds an unknown task, a wrong regex, or a relation of a wrong form.
    """
    warnings: dict[str, None] = {}
    resolution = Resolution(members)
    expansion = Expansion(instances={}, groups=[], warnings=[])
    for node, task in _placements(tasks, resolution, expansion.groups, warnings):
        present = expansion.instances.get((node, task.id))
        if present is None or task.type not in (present.task.type, "skipped"):
            expansion.instances[node, task.id] = Instance(task=task, node=node, skipped=_never_runs(task))
    linker = _Linker(tasks, expansion.instances, resolution, warnings)
    for instance in expansion.instances.values():
        depends, depended_by = _cross_relations(instance, relations, warnings)
        instance.requires = linker.targets(instance, instance.task.requires, depends)
        instance.required_for = linker.targets(instance, instance.task.required_for, depended_by)
    expansion.warnings.extend(warnings)
    return expansion


def references(instance: Instance, which: Literal["requires", "required_for"]) -> list[tuple[str, NodeId]]:
    """Give every edge of one instance as (task, node), sorted, each once, without the instance itself."""
    targets = instance.requires if which == "requires" else instance.required_for
    pairs = {(target.task, node) for target in targets for node in target.nodes}
    pairs.discard((instance.task.id, instance.node))
    return sorted(pairs, key=lambda pair: (pair[0], natural(pair[1])))


def has_expression(template: Any) -> bool:
    """True when a template holds a ``{yaql_exp: ...}`` anywhere."""
    if isinstance(template, Mapping):
        return EXPRESSION_KEY in template or any(map(has_expression, template.values()))
    if isinstance(template, list | tuple):
        return any(map(has_expression, template))
    return False


def tolerance_of(value: int | str | None, total: int) -> int:
    """How many of ``total`` nodes may fail: a number, ``N%``, or a negative number of nodes that must succeed.

    None means that any number may. Raises ValueError for text that is none of these.
    """
    if value is None:
        return total + 1
    percent = isinstance(value, str) and value.endswith("%")
    allowed = int(str(value)[:-1]) * total // 100 if percent else int(value)
    return allowed if allowed >= 0 else max(0, total + allowed)


def _never_runs(task: Task) -> bool:
    return task.type == "skipped" or task.condition is False


def _placements(
    tasks: Sequence[Task], resolution: Resolution, groups: list[FaultToleranceGroup], warnings: dict[str, None]
) -> Iterator[tuple[NodeId, Task]]:
    """Give every (place, task): first the tasks' own, then those that groups add; note the groups."""
    by_id = {task.id: task for task in tasks}
    for task in tasks:
        if task.type != "group":
            for node in _own_places(task, resolution, warnings):
                yield node, task
    for group in (task for task in tasks if task.type == "group"):
        nodes = resolution.nodes(selector_of(group) or ())
        if not nodes:
            continue
        for name in group.tasks:
            if name not in by_id:
                raise InvalidInput(
                    f"the group {group.id} adds the task {name}, which does not exist",
                    where=str(group.source),
                    mend="correct the name, or add the task",
                )
            for node in _places(by_id[name], nodes, resolution):
                yield node, by_id[name]
        groups.append(_fault_tolerance(group, nodes, warnings))


def _own_places(task: Task, resolution: Resolution, warnings: dict[str, None]) -> tuple[NodeId, ...]:
    if task.type == "stage":
        return (None,)
    selector = selector_of(task)
    if selector is None:
        if task.scope == "deployment":
            return (None,)
        if task.scope == "rack":
            return resolution.racks(resolution.nodes(EVERYONE))
        warnings[f"the task {task.id} names no tags, roles or groups: it runs nowhere"] = None
        return ()
    return _places(task, resolution.nodes(selector), resolution)


def _places(task: Task, nodes: tuple[str, ...], resolution: Resolution) -> tuple[NodeId, ...]:
    """Give where a task works when its selector means these nodes."""
    if task.type == "stage" or task.scope == "deployment":
        return (None,) if nodes else ()
    return resolution.racks(nodes) if task.scope == "rack" else nodes


def _fault_tolerance(group: Task, nodes: tuple[str, ...], warnings: dict[str, None]) -> FaultToleranceGroup:
    try:
        allowed = tolerance_of(group.fault_tolerance, len(nodes))
    except ValueError:
        warnings[f"the group {group.id}: fault_tolerance {group.fault_tolerance!r} is no number: any may fail"] = None
        allowed = len(nodes) + 1
    return FaultToleranceGroup(name=group.id, node_ids=nodes, fault_tolerance=allowed)


def _cross_relations(
    instance: Instance, relations: Relations | None, warnings: dict[str, None]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Give the entries of both cross relations of one instance, evaluated."""
    task = instance.task
    depends, depended_by = task.cross_depends, task.cross_depended_by
    if has_expression(depends) or has_expression(depended_by):
        if relations is None:
            warnings[f"the task {task.id} computes its relations: they are not in this graph"] = None
            return [], []
        depends, depended_by = relations(task, instance.node)
    return _entries(task, depends), _entries(task, depended_by)


def _entries(task: Task, value: Any) -> list[Mapping[str, Any]]:
    """Give the relations in ``value``: one mapping, or lists of them; what is empty says nothing. An expression in a
    list may itself have given a list."""
    if isinstance(value, list | tuple):
        return [entry for inner in value for entry in _entries(task, inner)]
    if value and not isinstance(value, Mapping):
        raise _wrong_relation(task, value)
    return [value] if value else []


def _wrong_relation(task: Task, entry: Any) -> InvalidInput:
    return InvalidInput(
        f"the task {task.id} has a cross relation of a wrong form: {entry!r}",
        where=str(task.source),
        mend="write {name: <task or /regex/>, role: <role, list, self or null>, policy: all | any}",
    )


class _Linker:
    """Resolves relations to targets; keeps what it found by relation."""

    def __init__(
        self,
        tasks: Sequence[Task],
        instances: Mapping[tuple[NodeId, str], Instance],
        resolution: Resolution,
        warnings: dict[str, None],
    ) -> None:
        self._instances = instances
        self._resolution = resolution
        self._warnings = warnings
        self._known = {task.id for task in tasks}
        self._places: dict[str, list[NodeId]] = {}
        for node, name in instances:
            self._places.setdefault(name, []).append(node)
        for places in self._places.values():
            places.sort(key=natural)
        self._names: dict[str, tuple[str, ...]] = {}
        self._single: dict[tuple[str, NodeId], Target] = {}
        self._many: dict[Target, Target] = {}
        self._shared: dict[tuple[str, Selector, bool], tuple[Target, ...]] = {}

    def targets(
        self, instance: Instance, names: Iterable[str], cross: Iterable[Mapping[str, Any]]
    ) -> tuple[Target, ...]:
        """Give all targets of one side of an instance, each once."""
        near = self._near(instance.node)
        found = [target for name in names for target in self._at(instance.task, name, near)]
        found.extend(target for entry in cross for target in self._cross(instance, entry))
        # Equal targets are one object: comparing objects spares comparing long tuples, instance by instance.
        return tuple({id(target): target for target in found}.values())

    def _near(self, node: NodeId) -> tuple[NodeId, ...]:
        """Give the places that a plain name may mean: the own one, the own rack, the deployment."""
        return (None,) if node is None else (*self._at_home(node), None)

    def _at_home(self, node: NodeId) -> tuple[NodeId, ...]:
        rack = self._resolution.rack_of(node)
        return (node,) if rack is None else (node, RACK_PREFIX + rack)

    def _at(self, task: Task, name: str, places: Iterable[NodeId]) -> Iterator[Target]:
        for found in self._matches(task, name):
            for place in places:
                if (place, found) in self._instances:
                    yield self._one(found, place)

    def _one(self, name: str, place: NodeId) -> Target:
        target = self._single.get((name, place))
        if target is None:
            target = self._single[name, place] = Target(task=name, nodes=(place,))
        return target

    def _matches(self, task: Task, name: str) -> tuple[str, ...]:
        """Give the tasks with instances that a name or regex means; warn when no task of the catalog is called so."""
        found = self._names.get(name)
        if found is None:
            found = self._names[name] = matching(name, self._places)
            if not found and not matching(name, self._known):
                self._warnings[f"the task {task.id} names {name}, which no task is called: nothing is waited for"] = (
                    None
                )
        return found

    def _cross(self, instance: Instance, entry: Mapping[str, Any]) -> Iterable[Target]:
        task = instance.task
        if not isinstance(entry.get("name"), str):
            raise _wrong_relation(task, entry)
        whom = next((entry[key] for key in ("tags", "role", "roles") if key in entry), EVERYONE)
        if whom is None:
            return self._at(task, entry["name"], (None,))
        if whom == "self":
            return self._at(task, entry["name"], self._at_home(instance.node))
        if isinstance(whom, list | tuple | set | frozenset):
            whom = tuple(map(str, whom))
        elif not isinstance(whom, str):
            self._warnings[f"the task {task.id}: {whom!r} is neither a role nor a list of roles: it means nobody"] = (
                None
            )
            return ()
        return self._far(task, entry["name"], whom, entry.get("policy") == "any")

    def _far(self, task: Task, name: str, whom: Selector, only_one: bool) -> tuple[Target, ...]:
        """Give the targets on selected nodes and their racks; with ``only_one`` those at the lowest place that has
        one."""
        known = self._shared.get((name, whom, only_one))
        if known is not None:
            return known
        nodes = self._resolution.nodes(whom)
        wanted: set[NodeId] = {*nodes, *self._resolution.racks(nodes)}
        places = {found: tuple(p for p in self._places[found] if p in wanted) for found in self._matches(task, name)}
        if only_one:
            lowest = min((place for some in places.values() for place in some), key=natural, default=None)
            places = {found: (lowest,) for found, some in places.items() if lowest in some}
        targets = tuple(self._group(found, some) for found, some in places.items() if some)
        self._shared[name, whom, only_one] = targets
        return targets

    def _group(self, name: str, places: tuple[NodeId, ...]) -> Target:
        if len(places) == 1:
            return self._one(name, places[0])
        target = Target(task=name, nodes=places)
        return self._many.setdefault(target, target)
