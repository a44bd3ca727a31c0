"""Files that a server of the rack reads: for the rack alone, and whole or not there."""

from __future__ import annotations

import contextlib
import os

from rackwright.core.errors import Retryable


def write_whole(path: str, text: str) -> None:
    """Have this text in the file, and its folder; nobody ever reads half of it. Raises ``Retryable`` when the disk does
    not take it."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)
    except OSError as error:
        what = f"what a server is told cannot be written: {error.strerror}"
        raise Retryable(what, where=path, mend="make room on the rack's disk") from error


def read_lines(path: str) -> list[str]:
    """The lines of a file; none when it cannot be read."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        return file.read().splitlines()
    return []
