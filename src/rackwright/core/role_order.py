"""What roles say of one another, as relations of their tasks: the last tasks of a required role come before the first
tasks of the one that requires it.

The relations are written into the tasks themselves, so that all who read tasks see them: plans, serialisation, drawings
and lint. A task is of a role when it runs where one of the role's tags is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.catalog import Graph, Role, Task
from rackwright.core.digraph import knots, shortest_cycle
from rackwright.core.errors import InvalidInput
from rackwright.core.relations import flows
from rackwright.core.resolution import EVERYONE, compile_pattern, is_pattern, matching, selector_of

NEAREST = "nearest"
"""Policy of a relation to other nodes: the own node where it has the task, else the lowest place that has it."""


def arranged(graph: Graph, roles: Mapping[str, Role], services: Collection[str] | None = None) -> Graph:
    """Give a graph whose tasks follow each other as their roles say, and in which the tasks of ``services`` (the
    service roles that are bound; None: all that there are) stand on the deployment itself.

    Raises InvalidInput for roles that require each other in a ring.
    """
    if not any(role.requires or role.precedes or role.service for role in roles.values()):
        return graph
    refuse_rings(roles)
    bound = [role for role in roles.values() if role.service and (services is None or role.name in services)]
    tasks = [_at_home(task, bound) for task in graph.tasks]
    own = {name: [tasks[at] for at in _numbers(graph.tasks, role)] for name, role in roles.items()}
    orders = _Orders(roles, own)
    return msgspec.structs.replace(graph, tasks=tuple(orders.of(task) for task in tasks))


def tasks_of(role: Role, tasks: Sequence[Task]) -> list[Task]:
    """Give the tasks that run where one of the role's tags is."""
    return [tasks[number] for number in _numbers(tasks, role)]


def ring(roles: Mapping[str, Role]) -> tuple[str, ...]:
    """Give roles each of which comes after the next, and the last after the first; () when there are none."""
    follows = {
        name: [
            *(other.name for need in role.requires for other in _offering(need, roles)),
            *(other.name for other in roles.values() if name in _named(other.precedes, roles)),
        ]
        for name, role in roles.items()
    }
    found = knots(follows)
    return shortest_cycle(found[0], follows) if found else ()


def refuse_rings(roles: Mapping[str, Role]) -> None:
    """Raise InvalidInput when roles require each other in a ring; the message shows it."""
    found = ring(roles)
    if found:
        raise InvalidInput(
            f"these roles come after each other: {' -> '.join((*found, found[0]))}",
            where=str(roles[found[0]].source),
            mend="remove one of their requires or precedes",
        )


class _Orders:
    """The relations that roles add to tasks."""

    def __init__(self, roles: Mapping[str, Role], own: Mapping[str, Sequence[Task]]) -> None:
        self._roles = roles
        self._of = own
        self._last = {name: _ends(tasks, last=True) for name, tasks in own.items()}
        self._more: dict[str, tuple[list[str], list[dict[str, Any]]]] = {}
        for role in roles.values():
            for need in role.requires:
                self._relate(role, _offering(need, roles), near=need in roles and roles[need].implicit)
            before = [other for other in roles.values() if role.name in _named(other.precedes, roles)]
            for other in before:
                self._relate(role, [other], near=True)

    def of(self, task: Task) -> Task:
        """Give the task with the relations that its roles add."""
        if task.id not in self._more:
            return task
        names, entries = self._more[task.id]
        given = task.cross_depends if isinstance(task.cross_depends, list | tuple) else (task.cross_depends,)
        return msgspec.structs.replace(
            task,
            requires=tuple(dict.fromkeys((*task.requires, *names))),
            cross_depends=(*given, *entries) if entries else task.cross_depends,
        )

    def _relate(self, role: Role, before: Sequence[Role], *, near: bool) -> None:
        """Let the first tasks of a role follow the last ones of those before it."""
        shared = {task.id for other in before for task in self._of[other.name]}
        firsts = [task for task in _ends(self._of[role.name], last=False) if task.id not in shared]
        own = {task.id for task in self._of[role.name]}
        lasts = sorted({task.id for other in before for task in self._last[other.name] if task.id not in own})
        if not lasts:
            return
        everywhere = role.cluster or role.service or any(other.cluster for other in before)
        whom = sorted({tag for other in before for tag in _tags(other)})
        for task in firsts:
            names, entries = self._more.setdefault(task.id, ([], []))
            name = _one_of(lasts)
            if everywhere or task.scope != "node":
                names.append(name)
                entries.append({"name": name, "role": whom})
            elif near or all(other.service for other in before):
                names.append(name)
            else:
                entries.append({"name": name, "role": whom, "policy": NEAREST})


def _at_home(task: Task, services: Iterable[Role]) -> Task:
    if any(_is_of(task, role) for role in services):
        return msgspec.structs.replace(task, tags=None, roles=None, groups=None, scope="deployment")
    return task


def _numbers(tasks: Sequence[Task], role: Role) -> list[int]:
    return [number for number, task in enumerate(tasks) if _is_of(task, role)]


def _is_of(task: Task, role: Role) -> bool:
    """True when a task that can be carried out is chosen by one of the role's tags, and not by meaning everyone."""
    selector = selector_of(task)
    if task.type in ("group", "stage") or selector is None or selector == EVERYONE:
        return False
    names = (selector,) if isinstance(selector, str) else selector
    tags = _tags(role)
    return any(matching(name, tags) for name in names if not is_pattern(name) or _compiles(name))


def _compiles(name: str) -> bool:
    try:
        return compile_pattern(name) is not None
    except InvalidInput:
        return False


def _tags(role: Role) -> tuple[str, ...]:
    return (*(role.tags or (role.name,)), *(f"primary-{tag}" for tag in role.primary))


def _offering(name: str, roles: Mapping[str, Role]) -> list[Role]:
    """The role of this name, and all that provide it."""
    return [role for role in roles.values() if role.name == name or name in role.provides]


def _named(names: Iterable[str], roles: Mapping[str, Role]) -> set[str]:
    return {role.name for name in names for role in _offering(name, roles)}


def _ends(tasks: Sequence[Task], *, last: bool) -> list[Task]:
    """The tasks of a role that come after none of its others, or (``last``) before none: as far as that is sure on
    every node, that is, among tasks with the same selector and scope."""
    inner = {
        (before.id, after.id)
        for before in tasks
        for after in tasks
        if before is not after and _alike(before, after) and _comes_before(before, after)
    }
    held = {before if last else after for before, after in inner}
    return [task for task in tasks if task.id not in held]


def _alike(one: Task, other: Task) -> bool:
    return selector_of(one) == selector_of(other) and one.scope == other.scope


def _comes_before(before: Task, after: Task) -> bool:
    if before.id in after.requires or after.id in before.required_for:
        return True
    return any(flows(write, read) for write in before.writes for read in after.reads.values())


def _one_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"/(?:{'|'.join(map(re.escape, names))})$/"
