"""Which roles are bound where: what a person asks for, what comes with it by itself, and what may be taken away again.

A role may require others. One that is ``implicit`` must be on the same node; any other may be anywhere in the
deployment or in one above it. What is not there yet is bound on the node of the role that requires it. The outcome
does not depend on the order in which things are asked for: first everything that was asked for is put in its place,
then what must be on the same node, then the rest, node by node in natural order.

The rules are those of OpenCrowbar's binding, made independent of order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import combinations

import msgspec

from rackwright.core.catalog import Role
from rackwright.core.errors import Conflict, NotFound
from rackwright.core.resolution import NodeId, natural

Roster = Mapping[NodeId, tuple[str, ...]]
"""The roles of each node by its name; of None those of the deployment itself (its services)."""

Pair = tuple[str, NodeId]
"""A role and its place."""


class Bound(msgspec.Struct, frozen=True):
    """A role that came or went by itself, and why."""

    role: str
    place: NodeId
    why: str


class Need(msgspec.Struct, frozen=True):
    """A role at a place that requires a name which is not there."""

    role: str
    place: NodeId
    name: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for: roles to bind and to take away, and whether what depends on these goes too."""

    bind: tuple[Pair, ...] = ()
    unbind: tuple[Pair, ...] = ()
    cascade: bool = False


class Settled(msgspec.Struct, frozen=True):
    """The new roster, and what came and went without having been asked for."""

    roster: dict[NodeId, tuple[str, ...]]
    bound: tuple[Bound, ...]
    unbound: tuple[Bound, ...]


def settle(
    before: Roster,
    asked: Asked,
    family: Family,
    *,
    has_run: Callable[[str, NodeId], bool] = lambda role, place: True,
) -> Settled:
    """Bind and take away what was asked, and what follows from it. ``has_run`` tells whether a role's tasks have ever
    run at a place: what never ran may go with what it depends on, wherever it is.

    Raises NotFound for an unknown role, Conflict for an abstract one, for two roles that exclude each other, and for a
    role that others still need; then the message names them.
    """
    draft = _Draft(before, family)
    for role, place in asked.bind:
        family.check(role)
        draft.put(role, None if family.is_service(role) else place)
    draft.greet(before)
    gone = draft.take(asked, has_run)
    draft.complete()
    draft.refuse_conflicts()
    return Settled(draft.roster, tuple(draft.bound), tuple(gone))


def unmet(roster: Roster, family: Family) -> list[Need]:
    """Give every requirement of a roster that nothing meets, by place in natural order."""
    return list(_Draft(roster, family).lacking())


class Family:
    """What the roles of a catalog say of one another; ``above`` holds the names that deployments above offer."""

    def __init__(self, roles: Mapping[str, Role], above: Collection[str] = ()) -> None:
        self.roles = roles
        self.above = frozenset(above)
        self.providers: dict[str, list[str]] = {}
        """By name the roles that can be bound for it."""
        for role in sorted(roles.values(), key=lambda role: role.name):
            for name in () if role.abstract else (role.name, *role.provides):
                self.providers.setdefault(name, []).append(role.name)

    @property
    def is_plain(self) -> bool:
        """True when no role says anything of another: then nothing is ever bound or refused by itself."""
        return not any(
            role.requires or role.conflicts or role.provides or role.discovery for role in self.roles.values()
        )

    def check(self, name: str) -> Role:
        """Give a role that can be bound. Raises NotFound for an unknown one, Conflict for an abstract one."""
        if name not in self.roles:
            raise NotFound(f"there is no role {name}", mend=f"the roles are {', '.join(sorted(self.roles)) or 'none'}")
        if self.roles[name].abstract:
            others = ", ".join(self.providers.get(name, ())) or "none so far"
            raise Conflict(
                f"the role {name} is abstract and cannot be bound", mend=f"bind one that provides it: {others}"
            )
        return self.roles[name]

    def is_service(self, name: str) -> bool:
        """True for a role of the deployment itself."""
        return name in self.roles and self.roles[name].service

    def stays_near(self, name: str) -> bool:
        """True when what requires this name needs it on the same node."""
        return name in self.roles and self.roles[name].implicit

    def requires(self, name: str) -> tuple[str, ...]:
        """Give what a role requires; a role that the catalog does not have requires nothing."""
        return self.roles[name].requires if name in self.roles else ()

    def offers(self, names: Iterable[str]) -> set[str]:
        """Give every name that these roles answer to."""
        return {offer for name in names for offer in (name, *(self.roles[name].provides if name in self.roles else ()))}

    def provider(self, need: Need) -> str:
        """Give the one role to be bound for what is needed. Raises NotFound when there is none, Conflict when there
        are several to choose from."""
        found = [need.name] if need.name in self.providers.get(need.name, ()) else self.providers.get(need.name, [])
        if not found:
            raise NotFound(
                f"{need.role} on {told(need.place)} requires {need.name}, which is no role, and none provides it",
                mend="add it to the catalog",
            )
        if len(found) > 1:
            raise Conflict(
                f"{need.role} on {told(need.place)} requires {need.name}, which {' and '.join(found)} provide",
                mend="bind one of them",
            )
        return found[0]

    def quarrel(self, names: tuple[str, ...]) -> tuple[str, str] | None:
        """Give two of these roles that may not be on the same node, if there are."""
        known = [self.roles[name] for name in names if name in self.roles]
        for one, other in combinations(known, 2):
            mine, theirs = self.offers([one.name]), self.offers([other.name])
            if mine & theirs or theirs.intersection(one.conflicts) or mine.intersection(other.conflicts):
                return one.name, other.name
        return None


def told(place: NodeId) -> str:
    """Give a place as messages name it."""
    return "the deployment" if place is None else place


class _Draft:
    """A roster under change. ``offered`` counts by how many places each name is offered."""

    def __init__(self, roster: Roster, family: Family) -> None:
        self.family = family
        self.roster = {place: roles for place, roles in roster.items() if roles}
        self.bound: list[Bound] = []
        self._anywhere = {offer for roles in set(self.roster.values()) for offer in family.offers(roles)}

    def put(self, role: str, place: NodeId, why: str = "") -> None:
        """Bind a role, if it is not; with ``why`` it is told as bound by itself."""
        here = self.roster.get(place, ())
        if role in here:
            return
        self.roster[place] = (*here, role)
        self._anywhere |= self.family.offers([role])
        if why:
            self.bound.append(Bound(role, place, why))

    def greet(self, before: Roster) -> None:
        """Give nodes that were not there before the roles that every node gets."""
        common = sorted(role.name for role in self.family.roles.values() if role.discovery and not role.service)
        for place in [place for place in self.roster if place is not None and not before.get(place)]:
            for role in common:
                self.put(role, place, "every new node gets it")

    def take(self, asked: Asked, has_run: Callable[[str, NodeId], bool]) -> list[Bound]:
        """Take away what was asked, with all that depends on it; gives what was not asked for."""
        if not asked.unbind:
            return []
        lacked = set(self.lacking())
        self._remove(asked.unbind)
        gone: list[Bound] = []
        while left := [need for need in self.lacking() if need not in lacked]:
            lost = self._lost([*asked.unbind, *((one.role, one.place) for one in gone)])
            far = [need for need in left if (need.name, need.place) not in lost and has_run(need.role, need.place)]
            if far or not asked.cascade:
                raise self._still_needed(far or left, cascade=not far)
            gone += [Bound(role, place, why) for (role, place), why in _reasons(left).items()]
            self._remove(_reasons(left))
        return gone

    def complete(self) -> None:
        """Bind what is required and not there: what must be on the same node first, so that the rest finds it."""
        for near in (True, False):
            for place in dict.fromkeys(need.place for need in self.lacking(near=near)):
                self._complete(place, near)

    def lacking(self, *, near: bool = False) -> Iterator[Need]:
        """Give what is required and not there, of ``near`` only what must be on the same node."""
        known: dict[tuple[str, ...], bool] = {}
        found: list[NodeId] = []
        for place, roles in self.roster.items():
            if place is None or roles not in known:
                known[roles] = next(self._lacking_at(place, near), None) is not None
            if known[roles]:
                found.append(place)
        for place in sorted(found, key=natural):
            yield from self._lacking_at(place, near)

    def refuse_conflicts(self) -> None:
        """Raise Conflict when two roles of one place exclude each other."""
        first: dict[tuple[str, ...], NodeId] = {}
        for place, roles in self.roster.items():
            first.setdefault(roles, place)
        for roles, place in first.items():
            quarrel = self.family.quarrel(roles)
            if quarrel is not None:
                one, other = quarrel
                raise Conflict(f"{one} and {other} exclude each other on {told(place)}", mend="unbind one of them")

    def _complete(self, place: NodeId, near: bool) -> None:
        while (need := next(self._lacking_at(place, near), None)) is not None:
            role = self.family.provider(need)
            service = self.family.is_service(role)
            if place is None and not service:
                raise Conflict(
                    f"the service {need.role} requires {need.name}, which no node has", mend=f"bind {role} to a node"
                )
            why = f"{need.role} requires it" if role == need.name else f"{need.role} requires {need.name}"
            self.put(role, None if service else place, why)
            if service:
                self._complete(None, near)

    def _lacking_at(self, place: NodeId, near: bool) -> Iterator[Need]:
        roles = self.roster.get(place, ())
        here: set[str] | None = None
        for role in sorted(roles):
            for name in self.family.requires(role):
                stays = place is not None and self.family.stays_near(name)
                if near and not stays:
                    continue
                if here is None:
                    here = self.family.offers((*roles, *self.roster.get(None, ())))
                if name not in here and (stays or not (name in self._anywhere or name in self.family.above)):
                    yield Need(role, place, name)

    def _lost(self, pairs: Iterable[Pair]) -> set[Pair]:
        """Names that are no longer offered, each with the place where it was."""
        return {(name, place) for role, place in pairs for name in self.family.offers([role])}

    def _remove(self, pairs: Iterable[Pair]) -> None:
        gone: dict[NodeId, set[str]] = {}
        for role, place in pairs:
            if role not in self.roster.get(place, ()):
                raise NotFound(f"{told(place)} does not have the role {role}", where=f"unbind {role}")
            gone.setdefault(place, set()).add(role)
        for place, roles in gone.items():
            left = tuple(role for role in self.roster[place] if role not in roles)
            self.roster.pop(place)
            if left:
                self.roster[place] = left
        self._anywhere = {offer for roles in set(self.roster.values()) for offer in self.family.offers(roles)}

    def _still_needed(self, needs: list[Need], *, cascade: bool) -> Conflict:
        by = [f"{need.role} on {told(need.place)}" for need in needs]
        more = f" and {len(by) - 5} more" if len(by) > 5 else ""
        name = needs[0].name
        mend = "unbind these first"
        return Conflict(
            f"{name} is still needed by {', '.join(by[:5])}{more}",
            where=f"unbind {name}",
            mend=f"{mend}, or give --cascade" if cascade else mend,
        )


def _reasons(needs: Iterable[Need]) -> dict[Pair, str]:
    """Give the roles that need something, each once, with what it is."""
    return {(need.role, need.place): f"it requires {need.name}" for need in needs}
