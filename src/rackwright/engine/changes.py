"""What a person asks of a deployment, and what it means in members and facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rackwright.core.catalog import Catalog
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.ports import Membership, Scope
from rackwright.core.resolution import tags_of
from rackwright.engine.catalogs.attributes import validate_attributes
from rackwright.engine.serialization.policy import POLICIES, POLICIES_OF_FUEL, SETTING

Attributes = dict[str, Any]
"""Values by role and attribute; None takes the person's own value back. For a catalog that is not strict also data by
section and key, for sections that are no roles; there a section may be a plain value, too."""


class Changes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes of one plan. Empty changes plan what is still to be done."""

    catalog: str | None = None
    graph: str = "deploy"
    bind: dict[str, list[str]] = {}
    """Node names by role."""
    unbind: dict[str, list[str]] = {}
    set: Attributes = {}
    """For the whole deployment."""
    set_nodes: dict[str, Attributes] = {}
    """For single nodes, by name."""


def rebind(
    catalog: Catalog, deployment: int, members: Sequence[Membership], changes: Changes, nodes: dict[str, Scope]
) -> list[Membership]:
    """The members after binding and unbinding, with the tags that their roles bring and primaries elected; one that
    is primary stays so. ``nodes`` holds every node that the changes name, and every member.

    Raises NotFound for an unknown role or node.
    """
    bound = {member.name: list(member.roles) for member in members}
    for role, names in changes.bind.items():
        if role not in catalog.roles:
            known = ", ".join(sorted(catalog.roles)) or "none"
            raise NotFound(f"the catalog {catalog.name} has no role {role}", mend=f"its roles: {known}")
        for name in names:
            if name not in nodes:
                raise NotFound(
                    f"there is no node {name}", where=f"bind {role}", mend="add it with `rackwright node add`"
                )
            roles = bound.setdefault(name, [])
            if role not in roles:
                roles.append(role)
    for role, names in changes.unbind.items():
        for name in names:
            if role not in bound.get(name, []):
                raise NotFound(f"{name} does not have the role {role}", where=f"unbind {role}")
            bound[name].remove(role)
    kept = {name: tuple(roles) for name, roles in bound.items() if roles}
    tags = tags_of(kept, catalog.roles, primaries=_primaries(members))
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
