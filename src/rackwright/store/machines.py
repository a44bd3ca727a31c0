"""What both stores say alike about machines: their hardware in facts."""

from __future__ import annotations

from typing import Any


def macs_in(value: Any) -> frozenset[str]:
    """The MACs in a fact, in lower case with colons; what is no list of texts holds none."""
    if not isinstance(value, list):
        return frozenset()
    return frozenset(mac.lower().replace("-", ":") for mac in value if isinstance(mac, str))


def text_in(value: Any) -> str:
    """The text in a fact; what is none is empty."""
    return value if isinstance(value, str) else ""
