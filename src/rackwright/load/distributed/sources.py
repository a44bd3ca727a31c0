"""Files of scenarios by what is in them: an agent asks for one only if it does not have it yet."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rackwright.core.errors import InvalidInput


def digest_of(text: bytes) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(text).hexdigest()


class Sources:
    """Files that this host has, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, digest: str) -> bool:
        """Whether it is here."""
        return self._file(digest).exists()

    def keep(self, digest: str, text: bytes) -> None:
        """Keep a file. Raises InvalidInput when it is not what its digest says."""
        if digest_of(text) != digest:
            raise InvalidInput("a scenario's file came damaged", where=digest, mend="run the load again")
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / f".{digest}"
        draft.write_bytes(text)
        draft.replace(self._file(digest))

    def place(self, digest: str, place: str) -> str:
        """Where a class is here, that is at ``FILE.py:Class`` elsewhere."""
        return f"{self._file(digest)}:{place.rpartition(':')[2]}"

    def _file(self, digest: str) -> Path:
        return self._folder / f"{Path(digest).name}.py"
