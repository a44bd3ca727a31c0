"""Faults of what roles say of one another: names that no role has, rings, abstract roles that nobody provides."""

from __future__ import annotations

from collections.abc import Iterator

from rackwright.core.binding import Family
from rackwright.core.catalog import Catalog, Role
from rackwright.core.lint.finding import Finding, Severity, did_you_mean
from rackwright.core.role_order import ring, tasks_of

_NAMING: tuple[tuple[str, Severity], ...] = (("requires", "error"), ("precedes", "warning"), ("conflicts", "warning"))


def roles(catalog: Catalog) -> Iterator[Finding]:
    """Give every fault of the roles of a catalog."""
    for role in catalog.roles.values():
        yield from _unknown(role, catalog)
        if role.abstract and not _is_provided(role, catalog):
            message = f"role {role.name} is abstract, and no role provides it: whatever requires it cannot be bound"
            mend = f"write `provides: [{role.name}]` in a role that stands for it"
            yield Finding("warning", "no-provider", role.place("abstract"), message, mend)
        if role.service:
            yield from _not_of_the_deployment(role, catalog)
    yield from _never_together(catalog)
    yield from _ring(catalog)


def _never_together(catalog: Catalog) -> Iterator[Finding]:
    """Give the roles that cannot be bound at all: what must be on the same node excludes something there."""
    family = Family(catalog.roles)
    for role in catalog.roles.values():
        quarrel = family.quarrel(_on_one_node(role.name, family))
        if quarrel is not None and not role.abstract:
            message = f"role {role.name} can never be bound: {' and '.join(quarrel)} exclude each other on one node"
            yield Finding("error", "never-together", role.source, message, "remove one of their conflicts or requires")


def _on_one_node(name: str, family: Family) -> tuple[str, ...]:
    """The role with all that has to be on its node, as far as there is no choice."""
    found = [name]
    for one in found:
        needs = [need for need in family.requires(one) if family.stays_near(need)]
        for only in (family.providers.get(need, []) for need in needs):
            found += [role for role in only if len(only) == 1 and role not in found and not family.is_service(role)]
    return tuple(found)


def _unknown(role: Role, catalog: Catalog) -> Iterator[Finding]:
    known = {*catalog.roles, *(name for other in catalog.roles.values() for name in other.provides)}
    for key, severity in _NAMING:
        for number, name in enumerate(getattr(role, key)):
            if name not in known:
                message = f"role {role.name}: {key} names {name}, which is no role, and no role provides it"
                mend = did_you_mean(name, known) or "add the role, or remove the name"
                yield Finding(severity, "unknown-role", role.place(f"{key}.{number}"), message, mend)


def _is_provided(role: Role, catalog: Catalog) -> bool:
    return any(role.name in other.provides and not other.abstract for other in catalog.roles.values())


def _not_of_the_deployment(role: Role, catalog: Catalog) -> Iterator[Finding]:
    for graph in catalog.graphs.values():
        for task in tasks_of(role, graph.tasks):
            if task.scope != "deployment":
                message = f"task {task.id} is of the service {role.name} and works on a {task.scope}"
                mend = "write `scope: deployment`: a service is bound to the deployment itself"
                yield Finding("error", "service-scope", task.place("scope"), message, mend)


def _ring(catalog: Catalog) -> Iterator[Finding]:
    found = ring(catalog.roles)
    if found:
        first = catalog.roles[found[0]]
        message = f"these roles come after each other: {' -> '.join((*found, found[0]))}"
        yield Finding("error", "cycle", first.source, message, "remove one of their requires or precedes")
