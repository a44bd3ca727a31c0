"""Names in requests: what they may look like, and near ones for a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

import msgspec

from rackwright.core.errors import NotFound

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$", max_length=128)]
"""A name of a deployment or catalog: lower-case letters, digits, and ``.``, ``_``, ``-`` between them."""


def unknown(kind: str, name: str, known: Iterable[str]) -> NotFound:
    """The error for a name that is not known, with the nearest that are."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    mend = f"did you mean {' or '.join(near)}?" if near else f"`rackwright get {kind}s` lists those that are"
    return NotFound(f"no {kind} is called {name!r}", where=f"{kind} {name}", mend=mend)


def split(names: str | None) -> list[str] | None:
    """The names of a query parameter ``a,b,c``; None when it was not given."""
    return None if names is None else [name for name in names.split(",") if name]
