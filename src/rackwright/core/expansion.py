"""A catalog's tasks on a deployment's nodes: every instance, and what each must follow.

The rules are those of Fuel's serialiser, written for size. Nothing is kept per instance: a task has one tuple of
places, shared with all tasks that stand on the same ones, and its relations are kept once for each *kind* of place
(places on which the same tasks stand) and each value of its computed relations. A relation to the own node, the own
rack or the deployment is relative; one to many nodes holds one shared tuple of them. So the work grows with the number
of instances, not with the number of edges, and an instance costs a few bytes.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.resolution import (
    EVERYONE,
    NodeId,
    Resolution,
    natural,
    selector_of,
)

EXPRESSION_KEY = "yaql_exp"
"""The key that makes a mapping an expression."""

Relations = Callable[[Task, tuple[NodeId, ...]], Iterable[tuple[Any, Any]]]
"""Gives the evaluated ``cross_depends`` and ``cross_depended_by`` of a task at each of its places, in their order."""


class Near(enum.Enum):
    """A place seen from another one."""

    HERE = "here"
    RACK = "rack"
    """The rack in which the node stands."""
    DEPLOYMENT = "deployment"


class Target(msgspec.Struct, frozen=True):
    """One end of a relation: a task, at these places.

    Far ones hold only places where the task has an instance, in natural order. The tuple is shared by all that have
    the same relation, so it may hold the reader's own pair (own task, own node): that is no edge. Targets of one task
    may overlap when two relations mean the same nodes.
    """

    task: str
    where: Near | tuple[NodeId, ...]


class Links(msgspec.Struct, frozen=True):
    """What an instance must follow, and what must follow it."""

    requires: tuple[Target, ...] = ()
    required_for: tuple[Target, ...] = ()


class Placement(msgspec.Struct):
    """A task with all its places, in natural order. ``links[linked[i]]`` are the relations of the i-th.

    ``skipped`` ones are not carried out, but keep their place in the order.
    """

    task: Task
    nodes: tuple[NodeId, ...]
    skipped: bool
    links: list[Links]
    linked: array[int]


class Instance(msgspec.Struct, frozen=True):
    """A task at one place, made when it is asked for."""

    task: Task
    node: NodeId
    skipped: bool
    links: Links
    rack: NodeId
    """The place of the rack in which the node stands."""


class FaultToleranceGroup(msgspec.Struct, frozen=True):
    """How many of these nodes may fail before the run stops."""

    name: str
    node_ids: tuple[str, ...]
    fault_tolerance: int


class Expansion:
    """Every task with its places, in the order of the catalog, and the fault-tolerance groups."""

    def __init__(
        self, placements: Sequence[Placement], groups: list[FaultToleranceGroup], resolution: Resolution
    ) -> None:
        self.placements = {placement.task.id: placement for placement in placements}
        self.groups = groups
        self.warnings: list[str] = []
        self._resolution = resolution

    @property
    def count(self) -> int:
        """How many instances there are."""
        return sum(len(placement.nodes) for placement in self.placements.values())

    def rack(self, node: NodeId) -> NodeId:
        """Give the place of the rack in which a node stands; None for all else."""
        return self._resolution.rack_of(node)

    def __iter__(self) -> Iterator[Instance]:
        """Give every instance, in the order of the catalog and then of the nodes."""
        for placement in self.placements.values():
            yield from self.of(placement)

    def of(self, placement: Placement) -> Iterator[Instance]:
        """Give every instance of one task."""
        for node, link in zip(placement.nodes, placement.linked, strict=True):
            yield Instance(placement.task, node, placement.skipped, placement.links[link], self.rack(node))

    @cached_property
    def instances(self) -> dict[tuple[NodeId, str], Instance]:
        """All instances by (node, task): for looking at single ones. A large fleet is better read by placements."""
        return {(instance.node, instance.task.id): instance for instance in self}


class Places:
    """Where the tasks of a graph stand. Raises InvalidInput for a group that adds an unknown task, or a wrong regex.

    The tasks on a place are told by a number with one bit for each distinct tuple of places.
    """

    def __init__(self, tasks: Sequence[Task], resolution: Resolution) -> None:
        self.resolution = resolution
        self.groups: list[FaultToleranceGroup] = []
        self.warnings: dict[str, None] = {}
        self._by_id = {task.id: task for task in tasks}
        self._same: dict[tuple[NodeId, ...], tuple[NodeId, ...]] = {}
        own = {task.id: self._own(task) for task in tasks if task.type != "group"}
        for task in tasks:
            if task.type == "group":
                self._add_group(task, own)
        self.of = {name: self._same.setdefault(nodes, nodes) for name, nodes in own.items() if nodes}
        """By task, in the order of the catalog; equal tuples are one object."""
        tuples = {id(nodes): nodes for nodes in self.of.values()}
        self._bits = {key: 1 << number for number, key in enumerate(tuples)}
        self.here: dict[NodeId, int] = {}
        """The tasks on each place."""
        for key, nodes in tuples.items():
            bit = self._bits[key]
            for node in nodes:
                self.here[node] = self.here.get(node, 0) | bit

    def bit(self, task: str) -> int:
        """Give the bit of a task."""
        return self._bits[id(self.of[task])]

    def standing(self, here: int) -> list[str]:
        """Give the tasks that such a number means."""
        return [task for task in self.of if self.bit(task) & here]

    def _own(self, task: Task) -> tuple[NodeId, ...]:
        if task.type == "stage":
            return (None,)
        selector = selector_of(task)
        if selector is not None:
            return self._meant(task, self.resolution.nodes(selector))
        if task.scope == "deployment":
            return (None,)
        if task.scope == "rack":
            return self.resolution.racks(self.resolution.nodes(EVERYONE))
        self.warnings[f"the task {task.id} names no tags, roles or groups: it runs nowhere"] = None
        return ()

    def _meant(self, task: Task, nodes: tuple[str, ...]) -> tuple[NodeId, ...]:
        """Give where a task works when its selector means these nodes."""
        if task.type == "stage" or task.scope == "deployment":
            return (None,) if nodes else ()
        return self.resolution.racks(nodes) if task.scope == "rack" else nodes

    def _add_group(self, group: Task, own: dict[str, tuple[NodeId, ...]]) -> None:
        nodes = self.resolution.nodes(selector_of(group) or ())
        if not nodes:
            return
        for name in group.tasks:
            if name not in self._by_id:
                raise InvalidInput(
                    f"the group {group.id} adds the task {name}, which does not exist",
                    where=str(group.source),
                    mend="correct the name, or add the task",
                )
            if name in own:
                own[name] = self._merged(own[name], self._meant(self._by_id[name], nodes))
        self.groups.append(FaultToleranceGroup(group.id, nodes, self._tolerance(group, len(nodes))))

    def _merged(self, one: tuple[NodeId, ...], other: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
        """Give both sets of places as one, in natural order."""
        if one is other or not other:
            return one
        return self.resolution.ordered({*one, *other})

    def _tolerance(self, group: Task, total: int) -> int:
        try:
            return tolerance_of(group.fault_tolerance, total)
        except ValueError:
            said = f"the group {group.id}: fault_tolerance {group.fault_tolerance!r} is no number: any may fail"
            self.warnings[said] = None
            return total + 1


def references(instance: Instance, which: Literal["requires", "required_for"]) -> list[tuple[str, NodeId]]:
    """Give every edge of one instance as (task, node), sorted, each once, without the instance itself."""
    targets = instance.links.requires if which == "requires" else instance.links.required_for
    pairs = {(target.task, node) for target in targets for node in nodes_of(target, instance)}
    pairs.discard((instance.task.id, instance.node))
    return sorted(pairs, key=lambda pair: (pair[0], natural(pair[1])))


def nodes_of(target: Target, instance: Instance) -> tuple[NodeId, ...]:
    """Give the places that a target means as seen from an instance."""
    if isinstance(target.where, tuple):
        return target.where
    return ({Near.HERE: instance.node, Near.RACK: instance.rack, Near.DEPLOYMENT: None}[target.where],)


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
