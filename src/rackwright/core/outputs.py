"""What history keeps of the facts that an attempt wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rackwright.core.facts import FactWrite
from rackwright.core.inputs import fingerprints

SMALL = 256
"""Bytes of JSON up to which a value itself is kept."""
MANY = 64
"""Facts of one attempt that are kept one by one; of more, only their number."""


def kept(writes: Sequence[FactWrite], scope: int) -> dict[str, Any]:
    """What is kept of facts, by path: ``{"value": ...}`` of a small value, else its ``{"fingerprint": ...}``. Facts on
    other scopes than the node task's own, which a rack's task writes per node, are counted under ``nodes``."""
    facts = {write.path: write.value for write in writes if write.scope == scope}
    others = {write.scope for write in writes if write.scope != scope}
    told: dict[str, Any] = {"nodes": {"count": len(others)}} if others else {}
    if len(facts) > MANY:
        return {**told, "facts": {"count": len(facts)}}
    return {**told, **{path: _kept(value) for path, value in facts.items()}}


def _kept(value: Any) -> dict[str, Any]:
    encoded = msgspec.json.encode(value)
    if len(encoded) <= SMALL:
        return {"value": value}
    return {"fingerprint": fingerprints({"": value})[""], "bytes": len(encoded)}
