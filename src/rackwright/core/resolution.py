"""Roles to tags, tags to nodes: who carries which tag, and whom a selector means.

The rules are those of Fuel's tag resolver: a regex is matched at the start of a tag, ``*`` alone means every node
that has a tag, and ``*`` inside a list is an ordinary name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from rackwright.core.catalog import Role, Selector, Task
from rackwright.core.errors import InvalidInput

NodeId = str | None
"""A place where a task works: a node's name, ``master``, ``rack:<name>``, or None for the deployment itself."""

Place = TypeVar("Place", bound=NodeId)
EVERYONE = "*"
MASTER = "master"
"""Selector and name of the control node."""
RACK_PREFIX = "rack:"


class Member(msgspec.Struct, frozen=True):
    """A node of a deployment: its name, its tags (primaries elected), and the rack it stands in."""

    name: str
    tags: tuple[str, ...]
    rack: str | None = None


def rack_id(rack: str) -> str:
    """Give the place of a rack's own tasks."""
    return RACK_PREFIX + rack


def natural(name: NodeId) -> tuple[tuple[int, int, str], ...]:
    """Sort key of places: numbers in a name count as numbers (``n2`` before ``n10``); the deployment comes first."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name or "")
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def is_pattern(name: str) -> bool:
    """True when a name is a regex between slashes."""
    return len(name) > 1 and name.startswith("/") and name.endswith("/")


def compile_pattern(name: str, where: str = "") -> re.Pattern[str]:
    """Compile ``/regex/``. Raises InvalidInput that shows the regex and its fault."""
    try:
        return re.compile(name[1:-1])
    except re.error as error:
        raise InvalidInput(f"the regex {name} is wrong: {error}", where=where, mend="correct the pattern") from error


def matching(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Give those of ``known`` that a name or ``/regex/`` means, in their order. Raises InvalidInput on a bad regex."""
    if not is_pattern(name):
        return tuple(item for item in known if item == name)
    pattern = compile_pattern(name)
    return tuple(item for item in known if pattern.match(item))


class Resolution:
    """Which members a selector means. Answers are kept, so asking again costs nothing."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._racks = {member.name: rack_id(member.rack) for member in members if member.rack is not None}
        names = (member.name for member in members)
        keys = {place: natural(place) for place in (None, MASTER, *sorted({*self._racks.values()}), *names)}
        self._rank = {place: rank for rank, place in enumerate(sorted(keys, key=keys.__getitem__))}
        ordered = sorted(members, key=lambda member: self._rank[member.name])
        self._members = {member.name: member for member in ordered}
        self._by_tag: dict[str, list[str]] = {}
        for member in self._members.values():
            for tag in member.tags:
                self._by_tag.setdefault(tag, []).append(member.name)
        self._answers: dict[Selector, tuple[str, ...]] = {}

    def rack_of(self, node: NodeId) -> str | None:
        """Give the place of the rack that a member stands in; None for all else."""
        return self._racks.get(node) if node is not None else None

    def is_member(self, node: NodeId) -> bool:
        """True for a node, False for the control node, a rack and the deployment."""
        return node is not None and node in self._members

    def nodes(self, selector: Selector) -> tuple[str, ...]:
        """Give the names that a selector means, in natural order; none of them twice."""
        answer = self._answers.get(selector)
        if answer is None:
            answer = self._answers[selector] = self._resolve(selector)
        return answer

    def racks(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """Give the places of the racks in which these nodes stand, in natural order."""
        return self.ordered({self._racks[node] for node in nodes if node in self._racks})

    def ordered(self, places: Iterable[Place]) -> tuple[Place, ...]:
        """Give places in natural order."""
        return tuple(sorted(places, key=self._rank.__getitem__))

    def rank(self, place: NodeId) -> int:
        """Give the rank of a place in natural order, among all that these members have."""
        return self._rank[place]

    def _resolve(self, selector: Selector) -> tuple[str, ...]:
        if selector == EVERYONE:
            return tuple(name for name, member in self._members.items() if member.tags)
        found: set[str] = set()
        for name in (selector,) if isinstance(selector, str) else selector:
            if name == MASTER:
                found.add(MASTER)
            for tag in matching(name, self._by_tag):
                found.update(self._by_tag[tag])
        return self.ordered(found)


def selector_of(task: Task) -> Selector | None:
    """Give what decides where a task runs: the first of tags, roles and groups that is there; None without any."""
    return task.tags or task.roles or task.groups or None


def tags_of(
    bound: Mapping[str, Sequence[str]],
    roles: Mapping[str, Role],
    *,
    primaries: Mapping[str, str] | None = None,
    ready: Collection[str] = (),
    leaving: Collection[str] = (),
) -> dict[str, tuple[str, ...]]:
    """Give the sorted tags of every node from the roles that are bound to it (``bound``: node -> role names).

    Of every tag that a role lists as ``primary`` one node is elected, and carries ``primary-<tag>`` *instead*: the one
    in ``primaries`` (tag -> node) if it still has the tag, else the first that is ``ready``, else the first, in natural
    order; never one that is ``leaving``. Raises InvalidInput for a role that is not known.
    """
    plain = {node: _plain_tags(node, names, roles) for node, names in bound.items()}
    elected = {tag for names in bound.values() for name in names for tag in roles[name].primary}
    chosen: dict[str, str] = {}
    for tag in elected:
        candidates = sorted((n for n, tags in plain.items() if tag in tags and n not in leaving), key=natural)
        if candidates:
            chosen[tag] = _elect(candidates, (primaries or {}).get(tag), ready)
    return {
        node: tuple(sorted(f"primary-{tag}" if chosen.get(tag) == node else tag for tag in tags))
        for node, tags in plain.items()
    }


def _plain_tags(node: str, names: Sequence[str], roles: Mapping[str, Role]) -> set[str]:
    tags: set[str] = set()
    for name in names:
        role = roles.get(name)
        if role is None:
            known = ", ".join(sorted(roles)) or "none"
            raise InvalidInput(f"the role {name} is not known", where=f"node {node}", mend=f"known roles: {known}")
        tags.update(role.tags or (role.name,))
    return tags


def _elect(candidates: Sequence[str], kept: str | None, ready: Collection[str]) -> str:
    if kept in candidates:
        return str(kept)
    return next((node for node in candidates if node in ready), candidates[0])
