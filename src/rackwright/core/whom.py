"""Whom: the nodes that something is said to, by what they have in common."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Whom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes that have all of this; an empty one means every node."""

    labels: dict[str, str] = {}
    rack: str | None = None
    pool: str | None = None
    zone: str | None = None
    tags: list[str] = []
    word: str | None = None
    """Of machines: ready, deployed, ..."""


class WhomErrands(Protocol):
    """The part of the store's port that finds nodes."""

    async def whom(self, wanted: Whom) -> list[str]:
        """The names of these nodes, in order."""
