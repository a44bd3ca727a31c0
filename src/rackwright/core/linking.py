"""From the relations that tasks state to targets: whom each instance must follow, found once for each kind of place."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.catalog import Selector, Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import (
    Expansion,
    Links,
    Near,
    Placement,
    Places,
    Relations,
    Target,
    has_expression,
)
from rackwright.core.resolution import EVERYONE, Member, NodeId, Resolution, matching

Entries = list[Mapping[str, Any]]
"""Cross relations as written, evaluated."""


def expand(tasks: Sequence[Task], members: Sequence[Member], *, relations: Relations | None = None) -> Expansion:
    """Put every task where it belongs and resolve what it must follow.

    ``relations`` is asked for tasks whose relations hold an expression; without it those relations are left out, with
    a warning. It may give one object for all places that have the same relations, and should: they are told apart by
    identity. Names that nothing answers to are left out too, with a warning. Raises InvalidInput for a group that adds
    an unknown task, a wrong regex, or a relation of a wrong form.
    """
    return link(tasks, Places(tasks, Resolution(members)), relations=relations)


def link(tasks: Sequence[Task], places: Places, *, relations: Relations | None = None) -> Expansion:
    """The same for tasks whose places are known."""
    warnings = dict(places.warnings)
    linker = _Linker(tasks, places, warnings)
    placed = [task for task in tasks if task.id in places.of]
    expansion = Expansion([linker.placement(task, relations) for task in placed], places.groups, places.resolution)
    expansion.warnings.extend(warnings)
    return expansion


class _Kind(msgspec.Struct, frozen=True):
    """What a place looks like to the tasks on it: the tasks here, those of its rack, and whether it is the deployment
    itself. The tasks are told as in Places."""

    here: int
    rack: int
    deployment: bool


class _Kinds:
    """The kind of every place, by number; places on which the same tasks stand have the same."""

    def __init__(self, places: Places) -> None:
        self._bits = {name: places.bit(name) for name in places.of}
        self._resolution = places.resolution
        self._numbers: dict[_Kind, int] = {}
        self._of_node = {node: self._number(node, bits, places.here) for node, bits in places.here.items()}
        self.known = list(self._numbers)
        self._deployment = places.here.get(None, 0)
        self._arrays: dict[int, array[int]] = {}
        self._distinct: dict[int, tuple[int, ...]] = {}

    def of(self, nodes: tuple[NodeId, ...]) -> array[int]:
        """Give the numbers of the kinds of these places; computed once for each tuple."""
        numbers = self._arrays.get(id(nodes))
        if numbers is None:
            numbers = self._arrays[id(nodes)] = array("I", map(self._of_node.__getitem__, nodes))
        return numbers

    def distinct(self, nodes: tuple[NodeId, ...]) -> tuple[int, ...]:
        """Give each of these numbers once, in the order of the places; computed once for each tuple."""
        numbers = self._distinct.get(id(nodes))
        if numbers is None:
            numbers = self._distinct[id(nodes)] = tuple(dict.fromkeys(self.of(nodes)))
        return numbers

    def near(self, task: str, kind: _Kind) -> Iterator[Near]:
        """Give where around a place of this kind a task stands."""
        bit = self._bits[task]
        if kind.here & bit:
            yield Near.HERE
        if kind.rack & bit:
            yield Near.RACK
        if self._deployment & bit and not kind.deployment:
            yield Near.DEPLOYMENT

    def _number(self, node: NodeId, bits: int, here: Mapping[NodeId, int]) -> int:
        rack = self._resolution.rack_of(node)
        kind = _Kind(bits, here.get(rack, 0) if rack is not None else 0, node is None)
        return self._numbers.setdefault(kind, len(self._numbers))


class _Distinct:
    """The relations of one task, each once. Targets are told apart by identity: they may hold very many nodes."""

    def __init__(self) -> None:
        self.links: list[Links] = []
        self._numbers: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}

    def add(self, links: Links) -> int:
        """Give the number of these relations."""
        key = (tuple(map(id, links.requires)), tuple(map(id, links.required_for)))
        number = self._numbers.setdefault(key, len(self.links))
        if number == len(self.links):
            self.links.append(links)
        return number


class _Linker:
    """Resolves relations to targets; keeps what it found by relation."""

    def __init__(self, tasks: Sequence[Task], places: Places, warnings: dict[str, None]) -> None:
        self._places = places.of
        self._resolution = places.resolution
        self._kinds = _Kinds(places)
        self._warnings = warnings
        self._known = {task.id for task in tasks}
        self._names: dict[str, tuple[str, ...]] = {}
        self._targets: dict[tuple[str, Near | int], Target] = {}
        self._among: dict[tuple[int, Selector], tuple[NodeId, ...]] = {}
        self._tuples: dict[tuple[NodeId, ...], tuple[NodeId, ...]] = {}
        self._shared: dict[tuple[str, Selector, bool], tuple[Target, ...]] = {}

    def placement(self, task: Task, relations: Relations | None) -> Placement:
        """Give a task with its places and their relations."""
        nodes = self._places[task.id]
        skipped = task.type == "skipped" or task.condition is False
        if relations is None or not _computes_relations(task):
            links, linked = self._linked_alike(task, nodes)
        else:
            links, linked = self._linked_singly(task, nodes, relations)
        return Placement(task, nodes, skipped, links, linked)

    def _linked_alike(self, task: Task, nodes: tuple[NodeId, ...]) -> tuple[list[Links], array[int]]:
        """Give the relations of places that differ by their kind only."""
        depends, depended_by = self._stated(task)
        distinct, kinds = _Distinct(), self._kinds.distinct(nodes)
        number = {kind: distinct.add(self._links(task, kind, depends, depended_by)) for kind in kinds}
        if len(distinct.links) == 1:
            return distinct.links, array("I", bytes(4 * len(nodes)))
        return distinct.links, array("I", map(number.__getitem__, self._kinds.of(nodes)))

    def _linked_singly(
        self, task: Task, nodes: tuple[NodeId, ...], relations: Relations
    ) -> tuple[list[Links], array[int]]:
        """Give the relations of places each of which computes its own."""
        distinct, linked = _Distinct(), array("I")
        known: dict[tuple[int, int, int], int] = {}
        alive = []
        for (depends, depended_by), kind in zip(relations(task, nodes), self._kinds.of(nodes), strict=True):
            key = (id(depends), id(depended_by), kind)
            if key not in known:
                # What is kept alive keeps its identity.
                alive.append((depends, depended_by))
                known[key] = distinct.add(self._links(task, kind, _entries(task, depends), _entries(task, depended_by)))
            linked.append(known[key])
        return distinct.links, linked

    def _stated(self, task: Task) -> tuple[Entries, Entries]:
        if _computes_relations(task):
            self._warnings[f"the task {task.id} computes its relations: they are not in this graph"] = None
            return [], []
        return _entries(task, task.cross_depends), _entries(task, task.cross_depended_by)

    def _links(self, task: Task, number: int, depends: Entries, depended_by: Entries) -> Links:
        kind = self._kinds.known[number]
        return Links(
            self._side(task, kind, task.requires, depends),
            self._side(task, kind, task.required_for, depended_by),
        )

    def _side(self, task: Task, kind: _Kind, names: Iterable[str], cross: Entries) -> tuple[Target, ...]:
        """Give all targets of one side, each once."""
        found = [target for name in names for target in self._at(task, name, kind, tuple(Near))]
        found.extend(target for entry in cross for target in self._cross(task, kind, entry))
        return tuple({id(target): target for target in found}.values())

    def _at(self, task: Task, name: str, kind: _Kind, places: tuple[Near, ...]) -> Iterator[Target]:
        for found in self._matches(task, name):
            for near in self._kinds.near(found, kind):
                if near in places:
                    yield self._targets.setdefault((found, near), Target(found, near))

    def _matches(self, task: Task, name: str) -> tuple[str, ...]:
        """Give the tasks with instances that a name or regex means; warn when no task of the catalog is called so."""
        found = self._names.get(name)
        if found is None:
            found = self._names[name] = matching(name, self._places)
            if not found and not matching(name, self._known):
                said = f"the task {task.id} names {name}, which no task is called: nothing is waited for"
                self._warnings[said] = None
        return found

    def _cross(self, task: Task, kind: _Kind, entry: Mapping[str, Any]) -> Iterable[Target]:
        if not isinstance(entry.get("name"), str):
            raise _wrong_relation(task, entry)
        whom = next((entry[key] for key in ("tags", "role", "roles") if key in entry), EVERYONE)
        if whom is None:
            # Of the deployment itself: seen from it, that is here.
            return self._at(task, entry["name"], kind, (Near.HERE,) if kind.deployment else (Near.DEPLOYMENT,))
        if whom == "self":
            return self._at(task, entry["name"], kind, (Near.HERE, Near.RACK))
        if isinstance(whom, list | tuple | set | frozenset):
            whom = tuple(map(str, whom))
        elif not isinstance(whom, str):
            said = f"the task {task.id}: {whom!r} is neither a role nor a list of roles: it means nobody"
            self._warnings[said] = None
            return ()
        return self._by_policy(task, kind, entry, whom)

    def _by_policy(self, task: Task, kind: _Kind, entry: Mapping[str, Any], whom: Selector) -> Iterable[Target]:
        policy = entry.get("policy")
        near = tuple(self._at(task, entry["name"], kind, tuple(Near))) if policy == "nearest" else ()
        return near or self._far(task, entry["name"], whom, policy in ("any", "nearest"))

    def _far(self, task: Task, name: str, whom: Selector, only_one: bool) -> tuple[Target, ...]:
        """Give the targets on selected nodes and their racks; with ``only_one`` those at the lowest place that has
        one."""
        known = self._shared.get((name, whom, only_one))
        if known is not None:
            return known
        places = {found: self._chosen(self._places[found], whom) for found in self._matches(task, name)}
        if only_one:
            lowest = min((nodes[0] for nodes in places.values() if nodes), key=self._resolution.rank, default=None)
            places = {found: (lowest,) for found, nodes in places.items() if lowest in nodes}
        targets = tuple(self._target(found, nodes) for found, nodes in places.items() if nodes)
        self._shared[name, whom, only_one] = targets
        return targets

    def _chosen(self, nodes: tuple[NodeId, ...], whom: Selector) -> tuple[NodeId, ...]:
        """Give those of a task's places that are meant: selected nodes, and the racks in which they stand."""
        chosen = self._among.get((id(nodes), whom))
        if chosen is None:
            meant = self._resolution.nodes(whom)
            wanted: set[NodeId] = {*meant, *self._resolution.racks(meant)}
            chosen = nodes if wanted.issuperset(nodes) else tuple(node for node in nodes if node in wanted)
            self._among[id(nodes), whom] = chosen
        return chosen

    def _target(self, name: str, nodes: tuple[NodeId, ...]) -> Target:
        """Equal targets are one object: comparing objects spares comparing long tuples."""
        nodes = self._tuples.setdefault(nodes, nodes)
        return self._targets.setdefault((name, id(nodes)), Target(name, nodes))


def _computes_relations(task: Task) -> bool:
    return has_expression(task.cross_depends) or has_expression(task.cross_depended_by)


def _entries(task: Task, value: Any) -> Entries:
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
