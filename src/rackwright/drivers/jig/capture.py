"""Moves what a process says from its pipe to a log file: bounded in memory, bounded on disk."""

from __future__ import annotations

import asyncio
import os

from rackwright.core.errors import Permanent

piece = 256 * 1024
"""Bytes that are moved at once, so one loud process cannot starve the rest."""


class Capture:
    """A pipe whose write end goes to a process, and the file that takes what comes out of it.

    ``stopped`` is set when the output ended, or when it cannot be taken any more; ``fault`` then says why. Use as a
    context: it closes all descriptors.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.path = path
        self.limit = limit
        self.size = 0
        self.fault: Permanent | None = None
        self.stopped = asyncio.Event()
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._read, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read, False)

    def __enter__(self) -> Capture:
        """Begin to move bytes."""
        asyncio.get_running_loop().add_reader(self._read, self._move)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and close."""
        asyncio.get_running_loop().remove_reader(self._read)
        self.close_write_end()
        os.close(self._read)
        os.close(self._file)

    def close_write_end(self) -> None:
        """Close our copy of the write end, once the process has its own: else the output never ends."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def drain(self) -> None:
        """Take what is in the pipe now, without waiting for more."""
        while not self.stopped.is_set() and self._move():
            pass

    def _move(self) -> int:
        """Move one piece; gives the number of bytes."""
        try:
            data = os.read(self._read, piece)
        except BlockingIOError:
            return 0
        if not data:
            self._stop(None)
            return 0
        self._keep(data)
        return len(data)

    def _keep(self, data: bytes) -> None:
        room = self.limit - self.size
        try:
            _write_all(self._file, data[:room])
        except OSError as error:
            self._stop(_unwritable(self.path, error))
            return
        self.size += len(data[:room])
        if len(data) > room:
            mend = "let it say less, or raise the task's parameter `log_limit` (bytes)"
            self._stop(Permanent(f"it said more than the log limit of {self.limit} bytes", mend=mend))

    def _stop(self, fault: Permanent | None) -> None:
        asyncio.get_running_loop().remove_reader(self._read)
        self.fault = fault
        self.stopped.set()


def _unwritable(path: str, error: OSError) -> Permanent:
    mend = "free space on that disk, or point the rack's data folder to a larger one; then retry"
    return Permanent(f"the log could not be written: {error.strerror}", where=path, mend=mend)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def say(path: str, line: str) -> None:
    """Add one line of the jig's own to a log; raises ``Permanent`` when it cannot be written."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise _unwritable(path, error) from error


def last_lines(path: str, since: int = 0, count: int = 3, most: int = 600) -> str:
    """The last non-empty lines of a log after the byte ``since``, joined by ' | ', at most ``most`` characters; empty
    when there are none."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= file.tell() else 0, file.tell() - 4096))
            text = file.read(4096).decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])[-most:]
