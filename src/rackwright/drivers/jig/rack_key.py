"""The rack's own SSH key: made on its first use, shared by the jigs that sign in on machines."""

from __future__ import annotations

import os
from contextlib import suppress

import asyncssh

NAME = "id_ed25519"


def rack_key(folder: str) -> str:
    """The path of the private key in ``folder``, which is made where there is none; its public half is beside it, with
    ``.pub``. Raises OSError when it cannot be kept."""
    path = os.path.join(folder, NAME)
    if not os.path.exists(path):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        key = asyncssh.generate_private_key("ssh-ed25519", comment="rackwright")
        draft = f"{path}.{os.getpid()}"
        _write(draft + ".pub", key.export_public_key())
        _write(draft, key.export_private_key())
        # Of several that make one at the same time the first wins; the public half is there before it counts.
        with suppress(FileExistsError):
            os.link(draft, path)
            os.replace(draft + ".pub", path + ".pub")
        os.unlink(draft)
        with suppress(FileNotFoundError):
            os.unlink(draft + ".pub")
    return path


def public_key(folder: str) -> str:
    """The public half, as a line of authorized_keys."""
    return asyncssh.read_private_key(rack_key(folder)).export_public_key().decode().strip()


def _write(path: str, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
