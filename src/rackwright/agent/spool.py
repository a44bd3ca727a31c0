"""What attempts said and how they ended, kept in files until the rack has taken it.

A folder for each attempt, ``ID-ATTEMPT``: ``log``, ``result`` once it ended, ``taken`` once the rack has the result.
The folder is on tmpfs in a ramdisk, on disk in an installed system; so a restarted agent still knows what it did.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

KEPT = 64
"""Ended attempts that are remembered, so that one that is handed out again starts nothing."""
LARGEST_LOG = 8 << 20
"""Bytes of one attempt's log; more is left out."""

Attempt = tuple[int, int]


class Spool:
    """The attempts below one folder."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, attempt: Attempt) -> str:
        """The folder of an attempt, made if need be."""
        path = self._of(attempt)
        path.mkdir(mode=0o700, exist_ok=True)
        return str(path)

    def attempts(self) -> list[Attempt]:
        """All that are known, oldest first."""
        folders = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        pairs = (path.name.partition("-") for path in folders)
        return [(int(id), int(number)) for id, _, number in pairs if id.isdigit() and number.isdigit()]

    def knows(self, attempt: Attempt) -> bool:
        """Whether it was ever begun here."""
        return self._of(attempt).is_dir()

    def say(self, attempt: Attempt, text: str) -> None:
        """Add to its log."""
        path = self._of(attempt) / "log"
        with path.open("ab") as file:
            if file.tell() < LARGEST_LOG:
                file.write(text.encode(errors="replace"))

    def said(self, attempt: Attempt, offset: int, most: int) -> bytes:
        """At most ``most`` bytes of its log from ``offset`` on."""
        try:
            with (self._of(attempt) / "log").open("rb") as file:
                file.seek(offset)
                return file.read(most)
        except FileNotFoundError:
            return b""

    def end(self, attempt: Attempt, result: dict[str, Any]) -> None:
        """Keep how it ended; the file appears whole or not at all."""
        path = self._of(attempt)
        draft = path / "result.draft"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(result, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path / "result")

    def result(self, attempt: Attempt) -> dict[str, Any] | None:
        """How it ended; None while it has not."""
        try:
            said: dict[str, Any] = json.loads((self._of(attempt) / "result").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return said

    def take(self, attempt: Attempt) -> None:
        """The rack has its result. The oldest of those that were taken are forgotten."""
        (self._of(attempt) / "taken").touch()
        done = [other for other in self.attempts() if self.taken(other)]
        for old in done[:-KEPT]:
            shutil.rmtree(self._of(old), ignore_errors=True)

    def taken(self, attempt: Attempt) -> bool:
        """Whether the rack has its result."""
        return (self._of(attempt) / "taken").exists()

    def give_again(self, attempt: Attempt) -> None:
        """The rack asks for it again: its result is to be sent once more."""
        (self._of(attempt) / "taken").unlink(missing_ok=True)

    def _of(self, attempt: Attempt) -> Path:
        return self._folder / f"{attempt[0]}-{attempt[1]}"
