"""The token of a machine: what its boot URL and its agent show to the rack.

It follows from a key that only the rack has, so nobody stores it: HMAC-SHA256 over the node's id and epoch, 130 bits in
base 32. Raising the epoch makes every token that the machine was given void.
"""

from __future__ import annotations

import base64
import hmac

KEY_LENGTH = 32
"""Bytes of a rack's key."""

LENGTH = 26
"""Characters of a token."""

ENCODED = 20
"""Bytes of which base 32 makes at least as many, and no padding."""


def node_token(key: bytes, node: int, epoch: int) -> str:
    """The token of the node with this id: lower-case letters and digits, fit for a URL."""
    mac = hmac.digest(key, f"rackwright node {node} {epoch}".encode(), "sha256")
    return base64.b32encode(mac[:ENCODED]).decode().lower()[:LENGTH]


def is_token(key: bytes, node: int, epoch: int, shown: str) -> bool:
    """Whether ``shown`` is the node's token; takes the same time whatever it is."""
    return hmac.compare_digest(node_token(key, node, epoch), shown)
