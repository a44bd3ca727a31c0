"""Bearer tokens: ``rw_`` + 40 random characters + 7 of checksum; a rack's token begins with ``rw_rack_``.

The prefix lets secret scanners find a leaked token. The checksum (CRC-32 of all before it, base 36) tells a token that
was cut or mistyped from one that is not known. Only the SHA-256 of a token is ever stored.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

OPERATOR_PREFIX = "rw_"
RACK_PREFIX = "rw_rack_"
_RANDOM_LENGTH = 40
_CHECKSUM_LENGTH = 7
_ALPHABET = string.ascii_letters + string.digits
_BASE_36 = string.digits + string.ascii_lowercase


def new_token(prefix: str = OPERATOR_PREFIX) -> str:
    """Make a token with 238 random bits; ``prefix`` is one of the two above."""
    body = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body)


def well_formed(token: str) -> bool:
    """True when the token is whole: right prefix, and the checksum fits."""
    body, checksum = token[:-_CHECKSUM_LENGTH], token[-_CHECKSUM_LENGTH:]
    return token.isascii() and body.startswith(OPERATOR_PREFIX) and checksum == _checksum(body)


def of_rack(token: str) -> bool:
    """True when the token says of itself that it is a rack's."""
    return token.startswith(RACK_PREFIX)


def digest(token: str) -> bytes:
    """The SHA-256 of a token: what the store keeps."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, rest = divmod(number, 36)
        digits = _BASE_36[rest] + digits
    return digits
