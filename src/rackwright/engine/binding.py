"""Binding in a deployment that stands in a tree: what its roles find above it, and who below needs what it gives up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.binding import Asked, Bound, Family, Need, Roster, Settled, settle, told, unmet
from rackwright.core.catalog import Catalog, Graph, Role
from rackwright.core.errors import Conflict
from rackwright.core.facts import PEOPLE, FactWrite
from rackwright.core.ports import Deployment, Membership, Scope, Transaction
from rackwright.core.resolution import NodeId
from rackwright.core.role_order import tasks_of
from rackwright.engine.changes import SERVICES, Changes, asked_of
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.situations import chain

_SERVICES = f"desired.{SERVICES}"


class Binding(msgspec.Struct, frozen=True):
    """The roles of every node and of the deployment itself, and what came and went by itself."""

    settled: Settled
    writes: list[FactWrite]
    """The fact of the services that are bound, if it is to change."""

    @property
    def services(self) -> tuple[str, ...]:
        """The services that are bound."""
        return self.settled.roster.get(None, ())

    def told(self, deployment: str) -> dict[str, list[dict[str, str]]]:
        """What came (``bound``) and went (``unbound``) without having been asked for, for the summary of a plan."""

        def items(those: Sequence[Bound]) -> list[dict[str, str]]:
            return [
                {"node": deployment if one.place is None else one.place, "role": one.role, "why": one.why}
                for one in those
            ]

        return {"bound": items(self.settled.bound), "unbound": items(self.settled.unbound)}


class Site(msgspec.Struct, frozen=True):
    """A deployment with what decides its bindings; ``nodes`` holds every node that the changes name, and every
    member."""

    deployment: Deployment
    catalog: Catalog
    graph: Graph
    members: Sequence[Membership]
    nodes: Mapping[str, Scope]


async def bind(tx: Transaction, library: CatalogLibrary, site: Site, changes: Changes) -> Binding:
    """Bind and unbind as the changes say. Where no role says anything of another, nothing more is read for it.

    Raises NotFound for an unknown role or node, Conflict for roles that exclude each other or are still needed, here or
    in a deployment below.
    """
    services = await _services(tx, site.deployment.id) if _has_services(site.catalog) else ()
    before = _roster(site.members, services)
    asked = asked_of(site.catalog, site.deployment.name, before, changes, site.nodes)
    family = Family(site.catalog.roles)
    if not family.is_plain:
        family = Family(site.catalog.roles, await _above(tx, library, site.deployment))
    has_run = await _has_run(tx, site, asked)
    settled = settle(before, asked, family, has_run=has_run)
    if asked.unbind:
        await _refuse_what_is_needed_below(tx, library, site, before, settled.roster)
    return Binding(settled, _writes(site.deployment.id, services, settled.roster.get(None, ())))


def _has_services(catalog: Catalog) -> bool:
    return any(role.service for role in catalog.roles.values())


def _roster(members: Sequence[Membership], services: tuple[str, ...]) -> dict[NodeId, tuple[str, ...]]:
    roster: dict[NodeId, tuple[str, ...]] = {member.name: member.roles for member in members}
    return {**roster, None: services} if services else roster


def _writes(deployment: int, before: tuple[str, ...], after: tuple[str, ...]) -> list[FactWrite]:
    if after == before:
        return []
    return [FactWrite(deployment, _SERVICES, list(after) or None, PEOPLE)]


async def _services(tx: Transaction, deployment: int) -> tuple[str, ...]:
    found: list[Any] = [fact.value for fact in await tx.facts([deployment], [_SERVICES]) if fact.path == _SERVICES]
    return tuple(found[0]) if found else ()


async def _above(tx: Transaction, library: CatalogLibrary, deployment: Deployment) -> set[str]:
    """The names that the deployments above offer. These are locked, the nearest first: nobody takes away there what
    is about to be relied on here."""
    if deployment.parent is None:
        return set()
    known = await tx.deployments([deployment.id])
    offered: set[str] = set()
    for id in chain(known, deployment.parent):
        await tx.lock_deployment(id)
        offered |= _offered(await _roles(tx, library, known[id]), await _roster_of(tx, id))
    return offered


async def _roles(tx: Transaction, library: CatalogLibrary, deployment: Deployment) -> Mapping[str, Role]:
    return (await library.shelf(tx, deployment.catalog)).catalog.roles


async def _roster_of(tx: Transaction, deployment: int) -> Roster:
    return _roster(await tx.memberships(deployment), await _services(tx, deployment))


def _offered(roles: Mapping[str, Role], roster: Roster) -> set[str]:
    return Family(roles).offers({name for names in roster.values() for name in names})


async def _has_run(tx: Transaction, site: Site, asked: Asked) -> Callable[[str, NodeId], bool]:
    """Tells whether any task of a role has been begun at a place; what is not asked for is not read."""
    if not (asked.unbind and asked.cascade):
        return lambda role, place: True
    begun = {(row.scope, row.task) for row in await tx.graph_rows(site.deployment.id, site.graph.type) if row.attempt}

    def has_run(role: str, place: NodeId) -> bool:
        scope = site.deployment.id if place is None else site.nodes[place].id
        tasks = tasks_of(site.catalog.roles[role], site.graph.tasks) if role in site.catalog.roles else []
        return any((scope, task.id) in begun for task in tasks)

    return has_run


async def _refuse_what_is_needed_below(
    tx: Transaction, library: CatalogLibrary, site: Site, before: Roster, after: Roster
) -> None:
    """Raise Conflict when a deployment below requires what is no longer here."""
    roles, own = site.catalog.roles, site.deployment.id
    lost = _offered(roles, before) - _offered(roles, after)
    below = [id for id in (await tx.deployments_of([own])).get(own, []) if id != own] if lost else []
    known = await tx.deployments(below)
    for id in below:
        theirs, roster = await _roles(tx, library, known[id]), await _roster_of(tx, id)
        if not any(lost.intersection(role.requires) for role in theirs.values()):
            continue
        left = _offered(roles, after)
        for other in chain(known, known[id].parent):
            if other != own:
                left |= _offered(await _roles(tx, library, known[other]), await _roster_of(tx, other))
        needs = [need for need in unmet(roster, Family(theirs, left)) if need.name in lost]
        if needs:
            raise _needed_below(needs, known[id].name)


def _needed_below(needs: Sequence[Need], deployment: str) -> Conflict:
    by = ", ".join(f"{need.role} on {told(need.place)}" for need in needs[:5])
    more = f" and {len(needs) - 5} more" if len(needs) > 5 else ""
    return Conflict(
        f"{needs[0].name} is still needed by {by}{more} in the deployment {deployment}",
        where=f"unbind {needs[0].name}",
        mend="unbind these first",
    )
