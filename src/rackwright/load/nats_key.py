"""Keys of NATS users: read once by the context ``nats_key``, used by scenarios to sign in.

A secret key is text, base32 of a prefix of two bytes, the 32 bytes of an Ed25519 key (RFC 8032) and a CRC-16; servers
send a nonce, and clients prove who they are by its signature (NATS: "NKeys").
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rackwright.core.errors import InvalidInput
from rackwright.load.contexts import Context

SHARED = "nats_key"
"""Where the secret key is among what contexts have set up."""
_USER = 20 << 3
"""The prefix of a user's public key."""
_SECRET_BYTES = 34


class NatsKeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``file`` holds the secret key of a user, ``SU...``."""

    file: str


class NatsKey(Context):
    """Reads a user's secret key where the load is started. A task file names the file only, so the key is in no result;
    load processes get it as they get all that contexts set up."""

    settings: ClassVar[Any] = NatsKeySettings

    async def setup(self) -> None:
        """Read it. Raises InvalidInput when it is none."""
        self.shared[SHARED] = read_key(Path(msgspec.convert(self.config, NatsKeySettings).file))


def read_key(file: Path) -> str:
    """The secret key in a file. Raises InvalidInput when there is none."""
    try:
        key = file.read_text(encoding="ascii").strip()
        signed_in(key, b"")
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"this is no key of a NATS user: {error}", where=str(file), mend="name the file of a secret key, SU..."
        ) from None
    return key


def signed_in(key: str, nonce: bytes) -> dict[str, str]:
    """What a client adds to CONNECT: its public key, and the signature of the nonce. Raises ValueError."""
    private = Ed25519PrivateKey.from_private_bytes(_secret(key))
    public = bytes((_USER,)) + private.public_key().public_bytes_raw()
    signature = base64.urlsafe_b64encode(private.sign(nonce)).decode().rstrip("=")
    return {"nkey": base64.b32encode(public + _check(public)).decode().rstrip("="), "sig": signature}


def _secret(key: str) -> bytes:
    """The 32 secret bytes of a key; an error never shows any of it."""
    decoded = base64.b32decode(key + "=" * (-len(key) % 8))
    body, check = decoded[:-2], decoded[-2:]
    if len(body) != _SECRET_BYTES or _check(body) != check:
        raise ValueError("it is damaged")
    return body[2:]


def _check(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(2, "little")
