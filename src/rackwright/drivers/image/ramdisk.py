"""Ramdisks: cpio archives in the form "newc" of the kernel's documentation (driver-api/early-userspace/buffer-format).

The same files give the same bytes: they are sorted, belong to root, and all have one time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import zstandard

LEVEL = 19
"""Of zstd; the window stays within what the kernel unpacks."""
_TRAILER = "TRAILER!!!"


def pack(folder: Path, into: BinaryIO, when: int = 0, level: int = LEVEL) -> None:
    """Write all that is below ``folder`` as one ramdisk, packed by zstd. ``when``: the time of every file, in seconds
    since the epoch; ``level``: of zstd."""
    parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=23, write_checksum=True)
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(into, closefd=False) as packed:
        for number, path in enumerate(sorted(folder.rglob("*")), start=1):
            _member(packed, path, str(path.relative_to(folder)), number, when)
        packed.write(_padded(_head(_TRAILER, 0, 0, 0, 0, 0)))


def _member(packed: zstandard.ZstdCompressionWriter, path: Path, name: str, number: int, when: int) -> None:
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        data, mode = os.readlink(path).encode(), stat.S_IFLNK | 0o777
    elif stat.S_ISDIR(about.st_mode):
        data, mode = b"", stat.S_IFDIR | stat.S_IMODE(about.st_mode)
    else:
        data, mode = path.read_bytes(), stat.S_IFREG | stat.S_IMODE(about.st_mode)
    links = 2 if stat.S_ISDIR(mode) else 1
    packed.write(_padded(_head(name, number, mode, links, when, len(data))))
    packed.write(_padded(data))


def _head(name: str, number: int, mode: int, links: int, when: int, size: int) -> bytes:
    said = name.encode() + b"\0"
    fields = (number, mode, 0, 0, links, when, size, 0, 0, 0, 0, len(said), 0)
    return b"070701" + b"".join(b"%08X" % field for field in fields) + said


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
