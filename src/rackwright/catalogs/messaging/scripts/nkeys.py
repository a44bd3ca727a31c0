"""NATS keys with the standard library alone: made, kept in files, and used to sign.

A key pair is Ed25519 (RFC 8032, section 5.1). Its text form is base32 of a prefix, the 32 bytes and a CRC-16: ``U...``
is the public half of a user, ``SU...`` its secret one (NATS: "NKeys"). The arithmetic does not run in constant time:
good enough to prove that a cluster works, beside the machines, where nobody can time it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, -1, PRIME) % PRIME

PREFIX_SEED = 18 << 3
PREFIX_USER = 20 << 3

Point = tuple[int, int, int, int]
"""A point of the curve in extended coordinates: x/z, y/z, and x*y/z as the fourth."""


def new_seed() -> str:
    """Make the secret half of a user's key."""
    first, second = PREFIX_SEED | (PREFIX_USER >> 5), (PREFIX_USER & 31) << 3
    return _text(bytes((first, second)) + os.urandom(32))


def public_key(seed: str) -> str:
    """Give the public half, ``U...``."""
    scalar, _ = _expand(_raw(seed))
    return _text(bytes((PREFIX_USER,)) + _packed(_times(scalar, _base())))


def sign(seed: str, message: bytes) -> bytes:
    """Give the 64 bytes of the signature of a message."""
    raw = _raw(seed)
    scalar, prefix = _expand(raw)
    public = _packed(_times(scalar, _base()))
    nonce = _number(prefix + message) % ORDER
    point = _packed(_times(nonce, _base()))
    proof = (nonce + _number(point + public + message) * scalar) % ORDER
    return point + proof.to_bytes(32, "little")


def _text(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _raw(seed: str) -> bytes:
    """Give the 32 secret bytes. Raises ValueError when the text is damaged; the message does not hold it."""
    decoded = base64.b32decode(seed + "=" * (-len(seed) % 8))
    body, check = decoded[:-2], decoded[-2:]
    if len(body) != 34 or binascii.crc_hqx(body, 0).to_bytes(2, "little") != check:
        raise ValueError("the file of a client key is damaged")
    return body[2:]


def _expand(raw: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(raw).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ((1 << 254) - 8) | (1 << 254), digest[32:]


def _number(message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(message).digest(), "little")


def _base() -> Point:
    y = 4 * pow(5, -1, PRIME) % PRIME
    square = (y * y - 1) * pow(CURVE * y * y + 1, -1, PRIME)
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    x = PRIME - x if x % 2 else x
    return x, y, 1, x * y % PRIME


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % PRIME
    b = (one[1] + one[0]) * (other[1] + other[0]) % PRIME
    c = 2 * one[3] * other[3] * CURVE % PRIME
    d = 2 * one[2] * other[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _times(scalar: int, point: Point) -> Point:
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point = _add(point, point)
        scalar >>= 1
    return total


def _packed(point: Point) -> bytes:
    inverse = pow(point[2], -1, PRIME)
    x, y = point[0] * inverse % PRIME, point[1] * inverse % PRIME
    return (y | (x & 1) << 255).to_bytes(32, "little")
