"""The keys of an installation, never in the database: for signing webhooks, and for sealing secrets."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rackwright.core.errors import InvalidInput
from rackwright.core.signing import KEY_LENGTH


def webhook_key(data: Path, environment: Mapping[str, str]) -> bytes:
    """The key from which the secrets of webhooks are derived (RACKWRIGHT_WEBHOOK_KEY, or webhook.key in the data
    folder). Raises InvalidInput when it is damaged or cannot be read."""
    return _key(data / "webhook.key", "RACKWRIGHT_WEBHOOK_KEY", environment)


def sealing_key(data: Path, environment: Mapping[str, str]) -> bytes:
    """The key with which passwords are sealed (RACKWRIGHT_SEALING_KEY, or sealing.key in the data folder). Raises
    InvalidInput when it is damaged or cannot be read."""
    return _key(data / "sealing.key", "RACKWRIGHT_SEALING_KEY", environment)


def image_key(data: Path, environment: Mapping[str, str]) -> bytes:
    """The secret key with which images are signed (RACKWRIGHT_IMAGE_KEY, or image.key in the data folder). Raises
    InvalidInput when it is damaged or cannot be read."""
    return _key(data / "image.key", "RACKWRIGHT_IMAGE_KEY", environment)


def _key(file: Path, variable: str, environment: Mapping[str, str]) -> bytes:
    """The key of the variable, else of the file, which is made where there is none."""
    said, where = environment.get(variable, ""), variable
    if not said:
        where = str(file)
        try:
            said = _kept(file)
        except OSError as error:
            raise InvalidInput(f"the key cannot be read: {error.strerror}", where=where, mend="mend the file") from None
    try:
        key = base64.b64decode(said, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_LENGTH:
        raise InvalidInput(
            "this is no key", where=where, mend=f"give {KEY_LENGTH} bytes in base64, the same on all hosts"
        )
    return key


def _kept(file: Path) -> str:
    """The text of the file. Of several processes that make it at once one wins; it appears whole or not at all."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as opened:
            opened.write(base64.b64encode(secrets.token_bytes(KEY_LENGTH)).decode() + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
        draft.unlink()
    return file.read_text(encoding="ascii").strip()
