"""Who asked for a change of what is desired, when and from where: kept for ever by appending, never changed."""

from __future__ import annotations

from typing import Any

import msgspec


class Asked(msgspec.Struct, frozen=True):
    """Who asks: the name of the token, the address that the request came from, and the id of the request. All are empty
    when the product acts by itself."""

    by: str = ""
    address: str = ""
    request: str = ""


NOBODY = Asked()
"""The product itself."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed: in one sentence, and as values from ``before`` to ``after`` where there are such. The store
    adds who asked, and when."""

    kind: str
    """facts | node.added | node.set | node.removed | rack.added | rack.removed | catalog.added | plan.requested |
    plan.applied | plan.failed | deployment.created | deployment.deleted | deployment.stopped | ..."""
    text: str
    deployment: str | None = None
    scope: str | None = None
    before: Any = None
    after: Any = None


class ChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A change as people read it: with who asked for it, from where, and when (seconds since the epoch)."""

    id: int
    at: float
    by: str
    address: str
    request: str
    kind: str
    text: str
    deployment: str | None
    scope: str | None
    before: Any
    after: Any
