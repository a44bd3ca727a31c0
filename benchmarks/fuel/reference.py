"""A plain evaluation of a graph, written apart from the engine: the thing to compare with.

Instance by instance, as Fuel's own serialiser did: every expression of every instance is evaluated anew over the whole
merged data of its node, and every edge is looked for and listed. Nothing of one instance helps another. It knows Fuel's
task format; of the native fields, none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from benchmarks.fuel.language import Language, View, frozen, united
from rackwright.core import legacy_expression
from rackwright.core.catalog import Selector, Task
from rackwright.core.resolution import Member
from rackwright.engine.serialization import State

Place = str | None
"""A node's name, ``master``, or None for no node."""
Pair = tuple[str, Place]
"""An edge's other end: task and place."""

_LEAVES_NOTHING = ("group", "stage", "skipped")
"""Types of tasks that have no old data."""


class _Evaluated(msgspec.Struct, frozen=True):
    """One instance: whether it runs, with what, and its relations to other nodes."""

    runs: bool
    parameters: Any
    depends: list[dict[str, Any]]
    depended_by: list[dict[str, Any]]


def reference(tasks: Sequence[Task], members: Sequence[Member], state: State, master_ip: str) -> dict[str, Any]:
    """Give the whole graph in the form of ``rackwright.engine.fuel_json``."""
    cluster = _Cluster(tasks, members)
    data = _Data(json.loads(msgspec.json.encode(state)), master_ip)
    nodes: dict[str, list[dict[str, Any]]] = {"null": []}
    for place in cluster.places():
        fresh, compared = data.view(place, compared=False), data.view(place, compared=True)
        for task in cluster.tasks_at(place):
            found = data.evaluated(task, fresh if task.type in _LEAVES_NOTHING else compared)
            nodes.setdefault(place or "null", []).append(_written(cluster, task, place, found))
    return {"graph": nodes, "metadata": {"fault_tolerance_groups": cluster.groups}}


class _Data:
    """Old and new data, and the language to ask them in."""

    def __init__(self, state: Any, master_ip: str) -> None:
        self._new, self._old = state["new"], state["old"]
        self._common = frozen(self._new["common"])
        self._old_common = frozen(self._old["common"]) if self._old else None
        self._language = Language()
        self._master_ip = master_ip

    def view(self, place: Place, *, compared: bool) -> View:
        """Give what expressions see at a place; ``compared`` with the old data, where there is some."""
        key = place or "null"
        old = frozen({})
        if compared and self._old and key in self._old["nodes"]:
            old = united(self._old_common, frozen(self._old["nodes"][key]))
        own = frozen(self._new["nodes"].get(key, {"uid": "master", "roles": ["master"]} if place == "master" else {}))
        return View(new=united(self._common, own), old=old, node=own, common=self._common)

    def evaluated(self, task: Task, view: View) -> _Evaluated:
        """Evaluate all that a task says, at one place."""
        runs = task.type not in ("stage", "skipped") and self._holds(task.condition, view)
        return _Evaluated(
            runs=runs,
            parameters=self._language.filled(task.parameters, view, self._names(view)) if runs else None,
            depends=list(_entries(self._language.filled(task.cross_depends, view))),
            depended_by=list(_entries(self._language.filled(task.cross_depended_by, view))),
        )

    def _holds(self, condition: Any, view: View) -> bool:
        if isinstance(condition, str):
            return bool(legacy_expression.parse(condition)({"settings": view.new, "cluster": view.new.get("cluster")}))
        return bool(self._language.filled(condition, view))

    def _names(self, view: View) -> dict[str, Any]:
        """What texts in parameters may hold in braces."""
        names = {
            "CLUSTER_ID": view.new.get("cluster", {}).get("id"),
            "OPENSTACK_VERSION": view.new.get("openstack_version"),
            "MASTER_IP": self._master_ip,
            "CN_HOSTNAME": view.new.get("public_ssl", {}).get("hostname"),
            "SETTINGS": view.new.get("settings"),
        }
        return {name: value for name, value in names.items() if value is not None}


class _Cluster:
    """Which task stands where."""

    def __init__(self, tasks: Sequence[Task], members: Sequence[Member]) -> None:
        self._tags = {member.name: member.tags for member in members}
        self._tasks: dict[tuple[Place, str], Task] = {}
        self.groups: list[dict[str, Any]] = []
        by_name = {task.id: task for task in tasks}
        for task in tasks:
            if task.type != "group":
                self._put(task, self.resolved(task.tags or task.roles or task.groups or ()))
        for group in (task for task in tasks if task.type == "group"):
            nodes = self.resolved(group.tags or group.roles or group.groups or ())
            for name in group.tasks if nodes else ():
                self._put(by_name[name], nodes)
            if nodes:
                allowed = _tolerance(group.fault_tolerance, len(nodes))
                self.groups.append({"name": group.id, "node_ids": nodes, "fault_tolerance": allowed})
        self._names = sorted({name for _, name in self._tasks})

    def places(self) -> list[Place]:
        """Every place with a task, in the order of the result."""
        return sorted({place for place, _ in self._tasks}, key=lambda place: place or "null")

    def tasks_at(self, place: Place) -> list[Task]:
        """The tasks of a place, by name."""
        return [self._tasks[place, name] for name in self._names if (place, name) in self._tasks]

    def resolved(self, selector: Selector) -> list[str]:
        """Give the nodes that a selector means, the lowest first."""
        if selector == "*":
            return sorted((node for node, tags in self._tags.items() if tags), key=_order)
        names = (selector,) if isinstance(selector, str) else selector
        found = {node for node, tags in self._tags.items() if any(_means(name, tag) for name in names for tag in tags)}
        return sorted(found | ({"master"} & set(names)), key=_order)

    def edges(
        self, task: Task, place: Place, near: Iterable[str], far: Iterable[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """List every instance that these relations of one instance mean, itself left out."""
        pairs = {pair for name in near for pair in self._present(name, {place, None})}
        for entry in far:
            pairs.update(self._crossing(entry, place))
        pairs.discard((task.id, place))
        return [{"name": name, "node_id": node} for name, node in sorted(pairs, key=lambda p: (str(p[1]), p[0]))]

    def _put(self, task: Task, nodes: Iterable[str]) -> None:
        places: Iterable[Place] = (None,) if task.type == "stage" else nodes
        for place in places:
            present = self._tasks.get((place, task.id))
            if present is None or task.type not in (present.type, "skipped"):
                self._tasks[place, task.id] = task

    def _present(self, name: str, places: Iterable[Place]) -> Iterator[Pair]:
        names = [known for known in self._names if _means(name, known)]
        return ((known, place) for place in places for known in names if (place, known) in self._tasks)

    def _crossing(self, entry: Mapping[str, Any], place: Place) -> list[Pair]:
        whom = next((entry[key] for key in ("tags", "role", "roles") if key in entry), "*")
        if whom is None or whom == "self":
            return list(self._present(entry["name"], (place if whom else None,)))
        chosen = self.resolved(whom if isinstance(whom, str) else tuple(whom))
        found = list(self._present(entry["name"], chosen))
        if entry.get("policy") == "any":
            lowest = min((node for _, node in found), key=_order, default=None)
            return [pair for pair in found if pair[1] == lowest]
        return found


def _written(cluster: _Cluster, task: Task, place: Place, found: _Evaluated) -> dict[str, Any]:
    kind = task.type if found.runs else "skipped"
    written: dict[str, Any] = {"id": task.id, "type": kind, "fail_on_error": found.runs and task.fail_on_error}
    if found.runs:
        written["parameters"] = {"cwd": "/", **(found.parameters or {})}
    edges = {
        "requires": cluster.edges(task, place, task.requires, found.depends),
        "required_for": cluster.edges(task, place, task.required_for, found.depended_by),
    }
    return written | {name: pairs for name, pairs in edges.items() if pairs}


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """Relations in a list; an expression in it may have given a list of its own, or nothing."""
    for entry in value or ():
        if isinstance(entry, list):
            yield from _entries(entry)
        elif entry:
            yield entry


def _means(name: str, known: str) -> bool:
    if len(name) > 1 and name[0] == name[-1] == "/":
        return re.match(name[1:-1], known) is not None
    return name == known


def _order(place: Place) -> tuple[bool, int, str]:
    """No node first, then nodes by number, then the others."""
    number = int(place) if place and place.isdecimal() else 0
    return (place is not None and not number, number, place or "")


def _tolerance(value: int | str | None, total: int) -> int:
    """How many nodes may fail: a number, ``N%``, a negative number of those that must not; None: all of them."""
    if value is None:
        return total + 1
    text = str(value)
    allowed = int(text[:-1]) * total // 100 if text.endswith("%") else int(text)
    return allowed if allowed >= 0 else max(0, total + allowed)
