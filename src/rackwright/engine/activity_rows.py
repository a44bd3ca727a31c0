"""The node tasks of an activity: the graph of its verb, laid out once for one machine, and copied for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from rackwright.core.catalog import Catalog, Role, Task
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.expansion import has_expression
from rackwright.core.linking import expand
from rackwright.core.node_task import NodeTask, State
from rackwright.core.plan import Plan, build
from rackwright.core.ports import Scope
from rackwright.core.resolution import Member
from rackwright.core.role_order import arranged

_HERE, _RACK = "machine", "rack"
"""Names of the one machine and its rack while the graph is laid out; tasks never see them."""


class Step(msgspec.Struct, frozen=True):
    """One task of an activity: the steps that wait for it, and how many it waits for itself."""

    task: Task
    priority: int
    waits: int
    children: tuple[int, ...]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """An activity for any machine: its steps in an order in which those come first that others wait for, and the roles
    and tags that a machine has while it goes on."""

    steps: tuple[Step, ...]
    roles: tuple[str, ...]
    tags: tuple[str, ...]


def layout(catalog: Catalog, graph_type: str) -> Layout:
    """Lay out a graph for one machine. A machine has every role of the catalog that a node can have.

    Raises NotFound when there is no such graph, InvalidInput when it cannot be laid out for each machine by itself.
    """
    graph = catalog.graphs.get(graph_type)
    if graph is None:
        known = ", ".join(sorted(catalog.graphs)) or "none"
        raise NotFound(f"the catalog {catalog.name} has no graph {graph_type}", mend=f"its graphs: {known}")
    for task in graph.tasks:
        _refuse(
            task, has_expression(task.cross_depends) or has_expression(task.cross_depended_by), "computes relations"
        )
    roles = [role for role in catalog.roles.values() if not (role.abstract or role.service)]
    # A node without a tag is meant by nobody, not even by a task for all.
    tags = tuple(dict.fromkeys(tag for role in roles for tag in _tags(role))) or (_HERE,)
    tasks = arranged(graph, catalog.roles, ()).tasks
    plan = build(expand(tasks, [Member(name=_HERE, tags=tags, rack=_RACK)]), {_HERE: _RACK})
    for vertex in plan.vertices:
        if vertex.task is not None:
            _refuse(vertex.task, vertex.node != _HERE, f"works on a {vertex.task.scope}")
    steps = tuple(_steps(plan))
    if not steps:
        raise InvalidInput(f"the graph {graph_type} of the catalog {catalog.name} has no task for a machine")
    return Layout(steps=steps, roles=tuple(role.name for role in roles), tags=tags)


def copies(found: Layout, nodes: Sequence[Scope], ids: range, *, deployment: int, graph: str) -> Iterator[NodeTask]:
    """The layout as node tasks of these nodes, which stand in racks. They are wanted by a person, so that destructive
    ones run too. ``ids`` holds as many ids as there are steps, for every node."""
    width = len(found.steps)
    for number, node in enumerate(nodes):
        first = ids[number * width]
        for place, step in enumerate(found.steps):
            yield NodeTask(
                id=first + place,
                deployment=deployment,
                graph=graph,
                task=step.task.id,
                scope=node.id,
                rack=node.rack,
                state=State.BLOCKED if step.waits else State.TODO,
                waits=step.waits,
                priority=step.priority,
                critical=step.task.critical,
                offline=step.task.offline,
                forced=True,
                children=tuple(first + child for child in step.children),
            )


def _steps(plan: Plan) -> Iterator[Step]:
    """The steps of a plan. What waits for a barrier waits for all that the barrier does: a machine has few of them."""
    before: list[frozenset[int]] = []
    for index in range(len(plan.vertices)):
        found = frozenset[int]()
        for parent in plan.above[index]:
            found |= {parent} if plan.vertices[parent].task is not None else before[parent]
        before.append(found)
    numbers = {index: number for number, index in enumerate(_of_tasks(plan))}
    children: Mapping[int, list[int]] = {index: [] for index in numbers}
    for index, number in numbers.items():
        for parent in before[index]:
            children[parent].append(number)
    for index in numbers:
        vertex = plan.vertices[index]
        if vertex.task is not None:
            yield Step(vertex.task, vertex.priority, len(before[index]), tuple(sorted(children[index])))


def _of_tasks(plan: Plan) -> list[int]:
    return [index for index, vertex in enumerate(plan.vertices) if vertex.task is not None]


def _tags(role: Role) -> tuple[str, ...]:
    return role.tags or (role.name,)


def _refuse(task: Task, wrong: bool, what: str) -> None:
    if wrong:
        raise InvalidInput(
            f"{task.id} {what}: an activity is carried out for each machine by itself",
            where=str(task.source),
            mend="let it work on the node, with relations that are written out",
        )
