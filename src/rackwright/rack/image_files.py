"""Files on the rack's disk as the image cache needs them: whole or not there, and known to be what their name says."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

import structlog

MINUTE_NS = 60 * 10**9

log = structlog.get_logger()


def stamp(path: str) -> tuple[int, int]:
    """What changes when a file is written; (-1, -1) when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def used_now(path: str) -> None:
    """Note the use of a file in its access time, once a minute."""
    with suppress(OSError):
        found, now = os.stat(path), time.time_ns()
        if now - found.st_atime_ns > MINUTE_NS:
            os.utime(path, ns=(now, found.st_mtime_ns))


def size(path: str) -> int:
    """Its bytes; 0 when there is none."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


@contextmanager
def opened(path: str, offset: int) -> Iterator[BinaryIO]:
    """The file, to go on at ``offset``; what it has beyond is dropped."""
    with open(path, "r+b" if offset else "wb") as file:
        file.truncate(offset)
        file.seek(offset)
        yield file


def is_sound(path: str, sha256: str) -> bool:
    """Whether the file is there as it must be; one that is damaged is removed."""
    if not os.path.exists(path):
        return False
    if digest_of(path) == sha256:
        return True
    log.error("a cached file was damaged and is fetched anew", path=path)
    os.unlink(path)
    return False


def digest_of(path: str) -> str:
    """Its SHA-256, hexadecimal."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_full(error: OSError) -> bool:
    """Whether the disk, or what this user may have of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: str, data: bytes) -> None:
    """Write it, whole or not at all; several may do so at once."""
    draft = f"{path}.{secrets.token_hex(4)}.new"
    try:
        with open(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)
        raise
