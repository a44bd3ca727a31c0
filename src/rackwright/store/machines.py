"""What both stores say alike about machines: their hardware in facts, and ranges of addresses."""

from __future__ import annotations

import ipaddress
from typing import Any

MOST = 1 << 20
"""Addresses of a range that are looked at, at most."""


def macs_in(value: Any) -> frozenset[str]:
    """The MACs in a fact, in lower case with colons; what is no list of texts holds none."""
    if not isinstance(value, list):
        return frozenset()
    return frozenset(mac.lower().replace("-", ":") for mac in value if isinstance(mac, str))


def text_in(value: Any) -> str:
    """The text in a fact; what is none is empty."""
    return value if isinstance(value, str) else ""


def steps(first: str, last: str) -> int:
    """How far ``last`` is from ``first``; negative where the range is empty."""
    return min(int(ipaddress.ip_address(last)) - int(ipaddress.ip_address(first)), MOST)
