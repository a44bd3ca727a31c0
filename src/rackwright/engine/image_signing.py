"""Signatures of images: Ed25519 (RFC 8032) over the digest of a manifest."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec.structs import replace

from rackwright.core.errors import InvalidInput
from rackwright.core.images import Manifest


def public_key(secret: bytes) -> str:
    """The public key, in base64, that belongs to a secret key of 32 bytes."""
    return base64.b64encode(Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()).decode()


def sign(manifest: Manifest, secret: bytes) -> Manifest:
    """The manifest with the signature by this secret key."""
    signature = Ed25519PrivateKey.from_private_bytes(secret).sign(manifest.digest.encode())
    return replace(manifest, key=public_key(secret), signature=base64.b64encode(signature).decode())


def check(manifest: Manifest, trusted: Collection[str] = ()) -> None:
    """Raise InvalidInput when the signature does not fit what the manifest says, or, where keys are ``trusted``, when
    none of these made it. Without trusted keys a manifest may be unsigned."""
    where = f"image {manifest.name}"
    if trusted and manifest.key not in trusted:
        what = "it is not signed" if not manifest.key else f"it is signed by {manifest.key}, which is not trusted"
        raise InvalidInput(what, where=where, mend="get it from its maker again, or trust the key with --trust KEY")
    if not manifest.key and not manifest.signature:
        return
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(manifest.key, validate=True))
        key.verify(base64.b64decode(manifest.signature, validate=True), manifest.digest.encode())
    except (InvalidSignature, ValueError, binascii.Error):
        mend = "it was changed after it was signed: get it from its maker again"
        raise InvalidInput("its signature does not fit", where=where, mend=mend) from None
