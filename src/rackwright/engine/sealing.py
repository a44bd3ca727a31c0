"""Sealing: secrets that are kept so that a copy of the database gives none of them away.

AES-256-GCM (NIST SP 800-38D) under the installation's key, with a fresh nonce of 12 bytes in front. Scope and name are
authenticated with it: a sealed text that is put at another place cannot be opened there.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rackwright.core.errors import Conflict

NONCE = 12


class Seal:
    """Seals and opens texts with a key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, scope: int, name: str, text: str) -> bytes:
        """The text, sealed for this scope and name."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, text.encode(), _place(scope, name))

    def open(self, scope: int, name: str, data: bytes) -> str:
        """The text again. Raises Conflict when it was sealed with another key, or for another place."""
        try:
            return self._cipher.decrypt(data[:NONCE], data[NONCE:], _place(scope, name)).decode()
        except InvalidTag:
            raise Conflict(
                f"the {name} was sealed with another key",
                mend="give all hosts the same sealing.key, or RACKWRIGHT_SEALING_KEY, or set the secret anew",
            ) from None


def _place(scope: int, name: str) -> bytes:
    return f"rackwright {scope} {name}".encode()
