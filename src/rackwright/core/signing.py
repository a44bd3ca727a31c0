"""Signatures of webhooks, as the Standard Webhooks specification 1.0 says: HMAC-SHA256 over id, timestamp and body.

The secret of each webhook is derived from a key of the installation and a salt of its own: the database holds the salt
only, so a copy of the database signs nothing.
"""

from __future__ import annotations

import base64
import hmac

PREFIX = "whsec_"
KEY_LENGTH = 32
"""Bytes of the installation's key, and of a salt."""


def secret(key: bytes, salt: bytes) -> bytes:
    """The secret of the webhook with this salt: HKDF (RFC 5869) with SHA-256, one block."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, b"rackwright webhook\x01", "sha256")


def shown(secret: bytes) -> str:
    """A secret as receivers are given it."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(secret: bytes, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that sign a body; ``timestamp`` is the time of this delivery in whole seconds since the epoch."""
    signed = hmac.digest(secret, f"{id}.{timestamp}.".encode() + body, "sha256")
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def new_salt(key: bytes, chance: bytes) -> bytes:
    """A salt from KEY_LENGTH random bytes; it ends in a mark of the key, by which a wrong key is noticed."""
    return chance + _mark(key, chance)


def fits(key: bytes, salt: bytes) -> bool:
    """Whether the salt was made with this key."""
    return hmac.compare_digest(_mark(key, salt[:KEY_LENGTH]), salt[KEY_LENGTH:])


def _mark(key: bytes, chance: bytes) -> bytes:
    return hmac.digest(key, b"rackwright webhook key" + chance, "sha256")[:8]
