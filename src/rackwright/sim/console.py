"""What a machine's serial console tells of its boot: the moments that everyone can see there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

MARKS: dict[str, re.Pattern[bytes]] = {
    "firmware": re.compile(rb"SeaBIOS \(version|BdsDxe: loading Boot"),
    "first stage": re.compile(rb"iPXE initialising devices"),
    "address": re.compile(rb"Configuring \(net\d [^)]*\)\.* ok|net\d: (?:\d+\.){3}\d+/"),
    "script": re.compile(rb"/ipxe\?\S*\.\.\. ok|Rackwright: "),
    "kernel": re.compile(rb"/assets/[0-9a-f]|SYSLINUX|systemd-boot|Linux version \d|EFI stub:"),
    "init": re.compile(rb"rackwright: init at"),
    "login": re.compile(rb"\w login: "),
}
"""What is looked for, in the order in which a boot tells it."""

LOOK = 0.1
"""Seconds between two looks at the log."""
OVERLAP = 256
"""Bytes that are looked at again, for a mark may come in pieces."""


class ConsoleWatch:
    """Follows a console's log and tells each mark once in a start; ``anew`` begins another start."""

    def __init__(self, log: Path, tell: Callable[[str], None]) -> None:
        self._log, self._tell = log, tell
        self._seen: set[str] = set()
        self._offset = _size(log)
        self._rest = b""

    def anew(self) -> None:
        """The firmware begins again."""
        self._seen.clear()
        self._rest = b""
        self._offset = _size(self._log)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK)

    def look(self) -> None:
        """Take in what has been said since the last look."""
        if _size(self._log) <= self._offset:
            return
        with self._log.open("rb") as file:
            file.seek(self._offset)
            piece = file.read()
        self._offset += len(piece)
        text = self._rest + piece
        for mark, pattern in MARKS.items():
            if mark not in self._seen and pattern.search(text):
                self._seen.add(mark)
                self._tell(mark)
        self._rest = text[-OVERLAP:]


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0
