"""What a person asks of a deployment, and what it means in members and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.binding import Asked, Pair, Roster
from rackwright.core.catalog import Catalog
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.ports import Membership, Scope
from rackwright.core.resolution import NodeId, tags_of
from rackwright.core.subgraph import Subgraph
from rackwright.engine.catalogs.attributes import validate_attributes
from rackwright.engine.serialization.policy import POLICIES, POLICIES_OF_FUEL, SETTING

Attributes = dict[str, Any]
"""Values by role and attribute; None takes the person's own value back. For a catalog that is not strict also data by
section and key, for sections that are no roles; there a section may be a plain value, too."""

SERVICES = "service_roles"
"""The section in which a deployment keeps the services that are bound to it: people bind it, and do not set it."""
EVERY_ROLE = "*"
"""Where roles are unbound: all that the node has."""


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes of one plan. Empty changes plan what is still to be done."""

    catalog: str | None = None
    graph: str = "deploy"
    bind: dict[str, list[str]] = {}
    """Node names by role; of a service the deployment's own name."""
    unbind: dict[str, list[str]] = {}
    """The same; the role ``*`` means every one that the node has."""
    cascade: bool = False
    """What depends on a role that is unbound goes too: on the same node, and what never ran anywhere."""
    set: Attributes = {}
    """For the whole deployment."""
    set_nodes: dict[str, Attributes] = {}
    """For single nodes, by name."""
    tasks: tuple[str, ...] = ()
    """Only these (``TASK`` or ``TASK/NODE,NODE``) and ``subgraphs`` are let run; none: everything."""
    subgraphs: tuple[Subgraph, ...] = ()
    then: tuple[str, ...] = ()
    """Graphs that are planned and applied one after the other, each once the one before is active."""


def asked_of(catalog: Catalog, deployment: str, before: Roster, changes: Changes, nodes: Mapping[str, Scope]) -> Asked:
    """What the changes ask to bind and unbind. ``nodes`` holds every node that they name. A service is bound to the
    deployment, by its name; ``*`` is unbound for every role that a node has.

    Raises NotFound for an unknown role or node, InvalidInput for a service that is to be bound to a node.
    """
    bind = [(role, _place(catalog, deployment, role, name)) for role, names in changes.bind.items() for name in names]
    for role, place in bind:
        if place is not None and place not in nodes:
            raise NotFound(f"there is no node {place}", where=f"bind {role}", mend="add it with `rackwright node add`")
    unbind: list[Pair] = []
    for role, names in changes.unbind.items():
        for name in names:
            if role == EVERY_ROLE:
                unbind += [(one, name) for one in before.get(name, ())]
            else:
                unbind.append((role, _place(catalog, deployment, role, name, leaving=True)))
    return Asked(bind=tuple(bind), unbind=tuple(dict.fromkeys(unbind)), cascade=changes.cascade)


def _place(catalog: Catalog, deployment: str, role: str, name: str, *, leaving: bool = False) -> NodeId:
    if role not in catalog.roles and not leaving:
        known = ", ".join(sorted(catalog.roles)) or "none"
        raise NotFound(f"the catalog {catalog.name} has no role {role}", mend=f"its roles: {known}")
    if role not in catalog.roles or not catalog.roles[role].service:
        return name
    if name != deployment:
        raise InvalidInput(
            f"{role} is a service: it is bound to the deployment and not to {name}", mend=f"write {role}={deployment}"
        )
    return None


def memberships(
    catalog: Catalog, deployment: int, before: Sequence[Membership], roster: Roster, nodes: Mapping[str, Scope]
) -> list[Membership]:
    """The members of a roster, with the tags that their roles bring and primaries elected; one that is primary stays
    so. ``nodes`` holds every node of the roster."""
    kept = {name: roles for name, roles in roster.items() if name is not None}
    tags = tags_of(kept, catalog.roles, primaries=_primaries(before))
    return [
        Membership(
            deployment=deployment,
            scope=nodes[name].id,
            name=name,
            rack=nodes[name].rack,
            roles=kept[name],
            tags=tags[name],
        )
        for name in sorted(kept)
    ]


def _primaries(members: Sequence[Membership]) -> dict[str, str]:
    prefix = "primary-"
    return {tag.removeprefix(prefix): m.name for m in members for tag in m.tags if tag.startswith(prefix)}


def desired(catalog: Catalog, deployment: int, changes: Changes, nodes: dict[str, Scope]) -> list[FactWrite]:
    """The facts that the changes set. Raises InvalidInput with every value that its role's schema refuses.

    A section that is set by its keys is no longer the plain value that it may have been.
    """
    faults = _faults(catalog, changes.set, "set")
    for name, attributes in changes.set_nodes.items():
        if name not in nodes:
            raise NotFound(f"there is no node {name}", where="set_nodes", mend="add it with `rackwright node add`")
        faults += _faults(catalog, attributes, f"set_nodes.{name}")
    if faults:
        raise InvalidInput("some attributes are wrong", mend="see `rackwright catalog show`", faults=tuple(faults))
    writes = _writes(catalog, deployment, changes.set)
    for name, attributes in changes.set_nodes.items():
        writes += _writes(catalog, nodes[name].id, attributes)
    return writes


def _faults(catalog: Catalog, attributes: Attributes, where: str) -> list[str]:
    faults = []
    for name, values in attributes.items():
        if name == SETTING:
            faults += _faults_of_policy(values, where)
            continue
        if name == SERVICES:
            faults.append(f"{where}.{name}: services are bound and unbound, not set")
            continue
        role = catalog.roles.get(name)
        if role is None:
            faults += _faults_of_section(catalog, name, values, where)
            continue
        if not isinstance(values, dict):
            faults.append(f"{where}.{name}: the attributes of a role are a mapping")
            continue
        given = {key: value for key, value in values.items() if value is not None}
        faults += [f"{where}.{name}: {fault}" for fault in validate_attributes(role, given)]
    return faults


def _faults_of_policy(said: Any, where: str) -> list[str]:
    if where != "set":
        return [f"{where}.{SETTING}: it is set for a whole deployment"]
    known = said is None or said in POLICIES or said in POLICIES_OF_FUEL
    return [] if known else [f"{where}.{SETTING}: {said!r} is none of {', '.join(POLICIES)}"]


def _faults_of_section(catalog: Catalog, name: str, values: Any, where: str) -> list[str]:
    if catalog.strict:
        return [f"{where}: the catalog {catalog.name} has no role {name}"]
    names = [name, *(values if isinstance(values, dict) else ())]
    return [f"{where}.{name}: {one!r} cannot be part of a path" for one in names if not one or "." in one]


def _writes(catalog: Catalog, scope: int, attributes: Attributes) -> list[FactWrite]:
    leaves: dict[str, Any] = {}
    for name, values in attributes.items():
        if name in catalog.roles or (values and isinstance(values, dict)):
            leaves |= {} if name in catalog.roles else {f"desired.{name}": None}
            leaves |= {f"desired.{name}.{key}": value for key, value in values.items()}
        else:
            leaves[f"desired.{name}"] = values
    return [FactWrite(scope, path, value, PEOPLE) for path, value in leaves.items()]
