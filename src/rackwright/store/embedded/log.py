"""The log of the server and its guard: bounded, and read to explain a failure or to see that a start goes on."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from rackwright.core.errors import RackwrightError, StoreUnavailable
from rackwright.store.embedded.folder import FULL, disk_full

LONGEST = 8 * 1024 * 1024  # bytes; one older part of at most about this size is kept
STALL = 300.0  # seconds without a new line after which a start is held to be stuck
WORTH_SAYING = ("redo", "elapsed time", "recovery", "checkpoint", "syncing")


class Log:
    """The file at ``path``. The server appends to it by itself, so it goes on when its guard is gone."""

    def __init__(self, path: Path, longest: int = LONGEST) -> None:
        self.path = path
        self._longest = longest

    def open(self) -> int:
        """A descriptor to append with."""
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def note(self, text: str) -> None:
        """Add a line of the guard's own. A log that cannot be written stops nobody."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        with suppress(OSError):
            descriptor = self.open()
            try:
                os.write(descriptor, f"{stamp} [guard {os.getpid()}] {text}\n".encode())
            finally:
                os.close(descriptor)

    def size(self) -> int:
        """Bytes in the file now."""
        return self.path.stat().st_size if self.path.exists() else 0

    def since(self, start: int) -> list[str]:
        """The lines after byte ``start``; all of them when the file was begun anew meanwhile."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(start if start <= self.size() else 0)
            return file.read().decode(errors="replace").splitlines()

    def bound(self) -> None:
        """Move the text aside when it is too long. The file itself stays, because the server has it open."""
        if self.size() <= self._longest:
            return
        with suppress(OSError):
            shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
        os.truncate(self.path, 0)


class Progress:
    """Watches the log of a server that starts, to tell a long recovery from one that is stuck."""

    def __init__(self, log: Log, stall: float = STALL) -> None:
        self._log = log
        self._stall = stall
        self._seen = log.size()
        self._moved = time.monotonic()

    def check(self) -> str | None:
        """The newest line worth saying since the last call, if any; raises StoreUnavailable when nothing moves."""
        now = time.monotonic()
        lines = self._log.since(self._seen)
        self._seen = self._log.size()
        # Refused connections are logged too, as FATAL with a DETAIL, and are no progress.
        moved = [line for line in lines if " LOG: " in line]
        if moved:
            self._moved = now
        elif now - self._moved > self._stall:
            raise StoreUnavailable(
                f"PostgreSQL is still starting and has shown no progress for {self._stall:.0f} s",
                where=str(self._log.path),
                mend="read the log; the server is left running, so a later try finds it further on",
            )
        worthy = [line for line in moved if any(word in line for word in WORTH_SAYING)]
        return message_of(worthy[-1]) if worthy else None


def explained(lines: list[str], where: Path) -> RackwrightError:
    """The error that the ``lines`` of a server that did not start speak of."""
    if any(os.strerror(number) in line for line in lines for number in FULL):
        return disk_full(str(where))
    bad = [message_of(line) for line in lines if any(word in line for word in ("FATAL:", "PANIC:", "HINT:"))]
    reason = "; ".join((bad or [message_of(line) for line in lines])[-3:]) or "it said nothing"
    return StoreUnavailable(f"PostgreSQL did not start: {reason}", where=str(where), mend="read the log")


def message_of(line: str) -> str:
    """A line of the log without its time and process."""
    _, bracket, rest = line.partition("] ")
    return (rest if bracket else line).strip()
