"""Writing to whole disks: pieces in order, ioctls of the block layer (linux/fs.h), the kernel told what changed."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time
from collections.abc import Callable
from contextlib import suppress

DISCARD, SECURE_DISCARD, REREAD = 0x1277, 0x127D, 0x125F
"""BLKDISCARD, BLKSECDISCARD, BLKRRPART."""
FLUSH_EVERY = 64 << 20
"""Bytes after which what was written goes to the disk, so that the end does not take minutes and memory stays free."""
_ZEROES = bytes(1 << 20)


class Writer:
    """Bytes onto a disk from its beginning on. The first ``held`` bytes are kept back until ``finish``: a disk that
    was not written to its end has no boot sector and no partition table, so it never boots."""

    def __init__(self, path: str, held: int = 1 << 20) -> None:
        self._file = os.open(path, os.O_RDWR | _exclusive(path))
        self._held, self._head = held, bytearray()
        self.written = 0
        self._flushed = 0
        os.pwrite(self._file, bytes(min(held, size_of(path))), 0)
        os.fsync(self._file)

    def write(self, data: bytes) -> None:
        """The next bytes. Raises OSError when the disk fails or ends."""
        missing = self._held - len(self._head)
        if missing > 0:
            self._head += data[:missing]
            self.written += len(data[:missing])
            data = data[missing:]
        view = memoryview(data)
        while view:
            count = os.pwrite(self._file, view, self.written)
            self.written += count
            view = view[count:]
        if self.written - self._flushed >= FLUSH_EVERY:
            os.fdatasync(self._file)
            os.posix_fadvise(self._file, self._flushed, self.written - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed = self.written

    def finish(self) -> None:
        """All was right: write the beginning too, and have everything on the disk."""
        os.fsync(self._file)
        os.pwrite(self._file, self._head, 0)
        os.fsync(self._file)

    def close(self) -> None:
        """Let the disk go."""
        os.close(self._file)


def size_of(path: str) -> int:
    """Bytes of a disk, or of a file that stands for one."""
    with open(path, "rb") as file:
        return file.seek(0, os.SEEK_END)


def settled(act: Callable[[], None], tries: int = 20) -> None:
    """Others may look at a disk for a moment after it was written: the kernel refuses until they are done."""
    for last in [False] * (tries - 1) + [True]:
        try:
            act()
        except OSError:
            if last:
                raise
            time.sleep(0.25)
        else:
            return


def appear(path: str, patience: float = 10.0) -> None:
    """Wait for a device: the kernel makes it a moment after it has read a table. What never comes is told by who opens
    it."""
    end = time.monotonic() + patience
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.1)


def is_device(path: str) -> bool:
    """Whether it is a block device."""
    return stat.S_ISBLK(os.stat(path).st_mode)


def reread(path: str) -> None:
    """Have the kernel read the partition table again. Raises OSError when a partition is in use."""
    if is_device(path):
        with open(path, "rb") as file:
            fcntl.ioctl(file, REREAD)


def discard(path: str, start: int, length: int, secure: bool = False) -> None:
    """Tell the disk to forget a range. Raises OSError where it cannot."""
    with open(path, "r+b", buffering=0) as file:
        fcntl.ioctl(file, SECURE_DISCARD if secure else DISCARD, struct.pack("QQ", start, length))


def zero(file: int, start: int, length: int) -> None:
    """Write zeroes over a range."""
    at, end = start, start + length
    while at < end:
        at += os.pwrite(file, _ZEROES[: min(len(_ZEROES), end - at)], at)


def forget_cache(file: int) -> None:
    """Have the next read come from the disk itself."""
    with suppress(OSError):
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _exclusive(path: str) -> int:
    """The kernel refuses O_EXCL on a block device that anything uses: the last guard against writing over a mount."""
    return os.O_EXCL if is_device(path) else 0
