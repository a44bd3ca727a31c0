"""Computed relations of a deployment: evaluated over its facts when its graph is planned, as the policy says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.expansion import Relations, has_expression
from rackwright.core.facts import nest
from rackwright.core.inputs import ITSELF, SURROUNDINGS
from rackwright.core.ports import Membership, Transaction
from rackwright.core.resolution import Member, NodeId
from rackwright.engine.expressions import expressions_in
from rackwright.engine.library import CatalogLibrary, Shelf
from rackwright.engine.serialization import Snapshot, State, serialize
from rackwright.engine.serialization.policy import SETTING, PolicySettings, asked
from rackwright.engine.situations import by_scope, chain

_DESIRED = "desired."
_NOWHERE: dict[str, Any] = {
    "node": {"name": None, "tags": [], "roles": []},
    "uid": None,
    "name": None,
    "fqdn": None,
    "roles": [],
}
"""What expressions see of the node where there is none."""


async def computed(
    tx: Transaction,
    library: CatalogLibrary,
    shelf: Shelf,
    deployment: int,
    tasks: Sequence[Task],
    members: Sequence[Member],
    memberships: Sequence[Membership],
    settings: PolicySettings,
) -> Relations | None:
    """Evaluate every relation that holds an expression, for all places of its task; None when there is none.

    Raises InvalidInput for an expression that fails, with task, node and place in the catalog.
    """
    wanted = [_relations_only(task) for task in tasks if _computes(task)]
    if not wanted:
        return None
    known = await tx.deployments([deployment])
    scopes = chain(known, deployment)
    found = by_scope(
        await tx.facts(
            [*scopes, *(member.scope for member in memberships)], _paths(library, wanted) | {_DESIRED + SETTING}
        )
    )
    common = _tree([shelf.defaults, *(found.get(scope, {}) for scope in reversed(scopes))])
    policy = asked(settings, common.get(SETTING))
    names = {member.name: member for member in memberships}
    nodes = {member.name: _own(names[member.name], found) for member in members}
    new = Snapshot.of({**common, **_NOWHERE, "deployment": known[deployment].name}, nodes)
    graph = await asyncio.to_thread(serialize, wanted, members, State(new), policy=policy)

    def relations(task: Task, places: tuple[NodeId, ...]) -> Iterable[tuple[Any, Any]]:
        del places
        return graph.outcomes[task.id].relations()

    return relations


def _computes(task: Task) -> bool:
    return has_expression(task.cross_depends) or has_expression(task.cross_depended_by)


def _relations_only(task: Task) -> Task:
    """The task as far as its relations need it: nothing else of it is evaluated."""
    return msgspec.structs.replace(task, condition=False, parameters=None, requires=(), required_for=())


def _paths(library: CatalogLibrary, tasks: Iterable[Task]) -> set[str]:
    """The facts that these relations may read."""
    texts = {text for task in tasks for _, text in expressions_in((task.cross_depends, task.cross_depended_by))}
    paths = {path for text in texts for path in library.compiler.paths(text)}
    return {".".join(("desired", *path)) for path in paths if not path or path[0] not in (*SURROUNDINGS, *ITSELF)}


def _own(member: Membership, facts: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    tags = list(member.tags)
    itself = {"uid": member.name, "name": member.name, "fqdn": member.name, "roles": tags}
    node = {"name": member.name, "tags": tags, "roles": list(member.roles)}
    return {**_tree([facts.get(member.scope, {})]), **itself, "node": node}


def _tree(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is desired, as a tree; later layers win."""
    leaves = {path: value for layer in layers for path, value in layer.items() if path.startswith(_DESIRED)}
    return nest((path.removeprefix(_DESIRED), value) for path, value in leaves.items())
