"""What there is beside nodes and racks, as people read it: networks, and the pools, zones and tags of machines."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from rackwright.core.networks import NamedNetwork

GroupKind = Literal["pool", "zone", "tag"]


class NetworkView(NamedNetwork, frozen=True, kw_only=True):
    """A network, and how full it is."""

    held: int
    """Addresses that nodes have in it."""
    free: int
    """Addresses that nodes can still be given by themselves, at least."""


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool, a zone or a tag: the nodes in it, and how many of them are ready to be allocated."""

    name: str
    nodes: int
    ready: int


class TagRuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that tags nodes: what must hold, what it reads, and how many nodes have its tag."""

    name: str
    expression: str
    reads: list[str]
    nodes: int


class Estate(Protocol):
    """The part of the port of views that tells of these; all lists are in the order of their names."""

    async def networks(self, *, names: list[str] | None = None) -> list[NetworkView]:
        """Networks by name; None: all."""

    async def groups(self, kind: GroupKind) -> list[GroupView]:
        """Pools, zones or tags that any node is in."""

    async def tag_rules(self) -> list[TagRuleView]:
        """The rules that tag nodes."""
