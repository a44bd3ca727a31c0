"""Room for image files: how much of the disk they may have, and which go first when it is not enough.

Files are named by their SHA-256; one that is still being fetched has ``.part`` behind its name. What is being read or
fetched is never removed. Of the rest those go first that nobody will ask for, and of these the least lately used.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import structlog

MIB = 1 << 20

RESERVE = 256 * MIB
"""Bytes of the disk that images leave free: for the replica, spools and logs that share it."""

_NAME = re.compile(r"([0-9a-f]{64})(\.part)?")

log = structlog.get_logger()


class _Kept(NamedTuple):
    name: str
    sha256: str
    bytes: int
    used_at: int


class Room:
    """The room that image files have in ``folder``: at most ``limit`` bytes. ``wanted`` holds the digests of files that
    machines will ask for."""

    def __init__(self, folder: str, limit: int, reserve: int = RESERVE) -> None:
        self.folder = folder
        self.limit = limit
        self.reserve = reserve
        self.wanted: frozenset[str] = frozenset()
        self._readers: Counter[str] = Counter()

    @contextmanager
    def reading(self, sha256: str) -> Iterator[None]:
        """As long as it lasts this file is not removed."""
        self._readers[sha256] += 1
        try:
            yield
        finally:
            self._readers[sha256] -= 1
            if not self._readers[sha256]:
                del self._readers[sha256]

    def used(self) -> tuple[int, int]:
        """How many files there are, and how many bytes they have."""
        kept = self._kept()
        return len(kept), sum(file.bytes for file in kept)

    def free(self) -> int:
        """Bytes of the disk that images may still have."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize - self.reserve

    def make(self, busy: Collection[str]) -> None:
        """Remove files until the rest is within the limit. ``busy``: digests of those that are being fetched."""
        kept = self._kept()
        over = sum(file.bytes for file in kept) - self.limit
        for file in self._spare(kept, busy):
            if over <= 0:
                return
            self._remove(file)
            over -= file.bytes

    def make_some(self, busy: Collection[str]) -> bool:
        """Remove one file, for the disk is full; False when there is none to remove."""
        for file in self._spare(self._kept(), busy):
            self._remove(file)
            return True
        return False

    def _spare(self, kept: Collection[_Kept], busy: Collection[str]) -> list[_Kept]:
        """Files that may go, in the order in which they do."""
        spare = [file for file in kept if file.sha256 not in busy and file.sha256 not in self._readers]
        return sorted(spare, key=lambda file: (file.sha256 in self.wanted, file.used_at))

    def _remove(self, file: _Kept) -> None:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, file.name))
        log.info("image file removed to make room", sha256=file.sha256, bytes=file.bytes)

    def _kept(self) -> list[_Kept]:
        kept = []
        for entry in os.scandir(self.folder):
            name = _NAME.fullmatch(entry.name)
            if name is not None:
                with suppress(FileNotFoundError):
                    found = entry.stat()
                    kept.append(_Kept(entry.name, name[1], found.st_size, found.st_atime_ns))
        return kept
